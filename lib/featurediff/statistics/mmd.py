"""Is a channel's picture another one after fine-tuning? Statistics from pictures alone, a few seeds a channel.

One contract: the embeddings of a layer's pictures, base and tuned, (K, S, D) each, go in: K channels, S seeds,
D values; the picture of channel k and seed s had the same start and the same transforms in both networks. A row with
a value that is not finite is a faulty picture; its seed is left out for its channel, in both networks. One row a
channel comes out. Where a number cannot be had it is NaN and `reason` says why.

Two questions, two tests. With unit rows b_s, t_s and their differences d_s = b_s - t_s:

1. *Does the tuned network draw other pictures than the base at all?* `visual_change` is the mean of d_s · d_t over
   s ≠ t. That is within-base plus within-tuned minus twice between-network similarity, all over pairs of different
   seeds: the unbiased MMD² of Gretton et al. 2012 (JMLR 13, equation 4) with the cosine as kernel, so the squared
   distance between the networks' mean directions. Equation 4 leaves out the products of one seed, so b_s and t_s need
   not be independent. Under "no change" b_s and t_s can be swapped within a seed and nothing else can: the pairs
   share a start. A swap turns the sign of d_s, 2 ** (S - 1) patterns differ, all are counted; see `swap_test` for how
   the channels share them.
2. *Did the channel change more than the drift of its layer?* Every weight of a trained layer moves a little, so
   that with enough seeds question 1 is answered with yes for all channels. `excess` is the logarithm of the mean
   distance between pictures of one seed, above the layer's line against the channel's noise floor, in units of the
   layer's spread; see `featurediff.statistics.empirical_null`. It uses all that paired pictures share and is the
   sharper of the two for putting channels in order. If more than half of a layer really changed, "the layer" is the
   changed half: the test becomes cautious, and a control network (`control`) is the remedy.

Shapes and units of all results: `COLUMNS`.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from feature_vis.errors import InputError
from feature_vis.seeding import derive_seed
from featurediff.statistics.empirical_null import TIE, Drift, fit_drift

__all__ = ["COLUMNS", "Similarities", "centre", "kernel_difference", "similarities", "swap_test", "visual_table"]

# Seeds up to which all swaps are counted: 511 of them. Above, so many are drawn.
ALL_SWAPS = 10

# name -> (unit, meaning)
COLUMNS: dict[str, tuple[str, str]] = {
    "network": ("", "the tuned network; what it is compared with is the base"),
    "layer": ("", "dotted name of the layer"),
    "channel": ("", "number of the channel, from 0"),
    "seeds": ("count", "seeds of which both networks' pictures are sound; only those are used"),
    "paired_similarity": ("cosine", "base against tuned, same seed, mean over seeds"),
    "first_similarity": ("cosine", "base against tuned, first seed alone: the number of the original experiment"),
    "floor_base": ("cosine", "base against base, mean over pairs of different seeds"),
    "floor_tuned": ("cosine", "tuned against tuned, mean over pairs of different seeds"),
    "floor": ("cosine", "noise floor: mean of floor_base and floor_tuned"),
    "between_similarity": ("cosine", "base against tuned, mean over pairs of different seeds"),
    "mismatched_similarity": ("cosine", "base against tuned, this channel against all others of the layer"),
    "retained": ("ratio", "(between - mismatched) / (floor - mismatched): 1 the same feature, 0 a stranger's"),
    "visual_change": ("cosine", "2 (floor - between): unbiased MMD², 0 on average where nothing changed, may be < 0"),
    "visual_change_low": ("cosine", "95 % interval of visual_change over seeds (jackknife), lower end"),
    "visual_change_high": ("cosine", "95 % interval of visual_change over seeds (jackknife), upper end"),
    "p_visual": ("probability", "of so large a visual_change without any change; swaps of base and tuned, pooled"),
    "excess": ("spreads", "log of (1 - paired) above what the layer's drift gives a channel of this noise floor"),
    "excess_low": ("spreads", "95 % interval of excess over seeds (jackknife, drift held), lower end"),
    "excess_high": ("spreads", "95 % interval of excess over seeds (jackknife, drift held), upper end"),
    "p_excess": ("probability", "of so large an excess for a channel that only drifts with its layer"),
    "reason": ("", "why numbers of this row are NaN; empty where none is"),
}


@dataclass(frozen=True)
class Similarities:
    """All inner products the statistics need, of unit rows; N_k sound seeds of channel k.

    `seeds`: (K,) N_k. `paired`: (K, S) cosine of base and tuned, NaN where the seed is not sound. `base`, `tuned`,
    `difference`: (K, S, S) Gram matrices of b, t and b - t over seeds, the sound ones in front, the rest 0.
    `mismatched`: (K,) mean cosine of one network's pictures of k with the other's of all other channels.

    Products are those of differences where a difference is meant: equal pictures give exactly 1 and 0.
    """

    seeds: np.ndarray
    paired: np.ndarray
    base: np.ndarray
    tuned: np.ndarray
    difference: np.ndarray
    mismatched: np.ndarray

    @property
    def floor_base(self) -> np.ndarray:
        """(K,) mean cosine over pairs of different seeds."""
        return kernel_difference(self.base, self.seeds)

    @property
    def floor_tuned(self) -> np.ndarray:
        """(K,) mean cosine over pairs of different seeds."""
        return kernel_difference(self.tuned, self.seeds)

    @property
    def floor(self) -> np.ndarray:
        """(K,) mean of the two networks' floors."""
        return (self.floor_base + self.floor_tuned) / 2

    @property
    def visual_change(self) -> np.ndarray:
        """(K,) MMD², unbiased."""
        return kernel_difference(self.difference, self.seeds)

    @property
    def between(self) -> np.ndarray:
        """(K,) mean cosine of base and tuned over pairs of different seeds."""
        return self.floor - self.visual_change / 2

    @property
    def paired_distance(self) -> np.ndarray:
        """(K,) 1 - cosine of base and tuned, mean over sound seeds; exactly 0 where all pictures are equal."""
        return _divide(np.trace(self.difference, axis1=1, axis2=2) / 2, self.seeds)

    @property
    def retained(self) -> np.ndarray:
        """(K,): 1 where as alike as two seeds, 0 as two channels; NaN where seeds are no more alike than channels."""
        above = self.floor - self.mismatched
        return np.divide(self.between - self.mismatched, above, out=np.full(len(above), np.nan), where=above > TIE)

    @property
    def unchanged(self) -> np.ndarray:
        """(K,): whether every seed's two pictures are equal, of two seeds or more."""
        return (self.paired_distance == 0) & (self.seeds >= 2)


def centre(embeddings: np.ndarray) -> np.ndarray:
    """Unit rows minus the layer's mean picture, (K, S, D) -> (K, S, D); faulty rows stay NaN.

    Applied to base and to tuned, each with its own mean, it takes out what all pictures of a network share and what
    all channels changed alike. The cosine of what is left sees finer differences, but is no longer the original
    experiment's number. Every channel weighs the same in the mean.
    """
    embeddings = _check(embeddings, "a network")
    centred = np.empty(embeddings.shape, np.result_type(embeddings.dtype, np.float32))
    total, channels = np.zeros(embeddings.shape[2]), 0
    for k, block in enumerate(embeddings):  # one channel at a time: float64 copies stay small
        centred[k] = rows = _unit(block)  # (S, D)
        sound = rows[np.isfinite(rows).all(1)]
        if len(sound):
            total += sound.mean(0)
            channels += 1
    centred -= (total / max(channels, 1)).astype(centred.dtype)
    return centred


def similarities(base: np.ndarray, tuned: np.ndarray) -> Similarities:
    """Inner products of the embeddings of a layer's pictures, (K, S, D) and (K, S, D).

    Lengths of rows do not matter. Rows with values that are not finite, and zero rows, are faulty pictures.

    Raises:
        InputError: other shapes, or no numbers.
    """
    base, tuned = _check(base, "base"), _check(tuned, "tuned")
    if base.shape != tuned.shape:
        raise InputError(f"base and tuned must have the same channels, seeds and values: {base.shape}, {tuned.shape}")
    channels, count, values = base.shape
    seeds = np.zeros(channels, int)
    paired = np.full((channels, count), np.nan)
    grams = np.zeros((3, channels, count, count))
    sums = np.zeros((2, channels, values))
    for k in range(channels):  # one channel at a time: float64 copies stay small
        b, t = _unit(base[k]), _unit(tuned[k])  # (S, D)
        sound = np.isfinite(b).all(1) & np.isfinite(t).all(1)
        b, t = b[sound], t[sound]
        n = seeds[k] = len(b)
        difference = b - t
        paired[k, sound] = 1 - (difference**2).sum(1) / 2
        for gram, rows in zip(grams[:, k, :n, :n], (b, t, difference), strict=True):
            gram[:] = rows @ rows.T
        sums[:, k] = b.sum(0), t.sum(0)
    return Similarities(seeds, paired, grams[0], grams[1], grams[2], _mismatched(sums, seeds))


def kernel_difference(gram: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Mean of the products of different seeds, (K, S, S) x (K,) -> (K,); NaN below two seeds.

    Of the Gram matrix of differences b - t: the unbiased MMD² (Gretton et al. 2012, equation 4).
    """
    return _divide(_off_diagonal(gram), seeds * (seeds - 1))


def swap_test(gram: np.ndarray, seeds: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """One-sided p-values of `kernel_difference`, (K, S, S) x (K,) x (K,) -> (K,); NaN below two seeds.

    `gram`: of the differences b - t. `noise`: (K,) a size of the channel's noise that no swap changes; statistics
    are compared in units of it, divided by the root of the number of pairs, as their spread without change is.

    Null: in a channel, base and tuned are exchangeable within each seed (their joint distribution is the same after a
    swap). True if the tuned channel draws from the same distribution as the base's, whether its pictures share the
    start (paired) or not (base against base with other seeds). Swapping everything changes nothing, so the first seed
    stays and 2 ** (N - 1) - 1 swaps remain.

    Pool: the swapped statistics of all channels of the layer, p = (1 + as large) / (1 + all), ties count; every
    channel weighs the same, also one that lost a seed. A channel alone could at best reach 1/8 with four seeds.
    What holds when many channels changed: the statistic of an unchanged channel and each of its swapped ones have the
    same distribution, so the share of the pool that unchanged channels hold above a bound is, on average, the number
    of them falsely above it, divided by K; this needs no two channels to be alike, and changed channels only add.
    Hence K * p does not underestimate the number of false discoveries, and Benjamini and Hochberg's rule, which
    divides K * p by the number of discoveries, keeps its rate whatever the share of changed channels.
    A single p, read alone, can be too small, by the share of unchanged channels at most. With two seeds the pool is
    the statistics' mirror image, and the rule that of Barber and Candès 2015 (Annals of Statistics 43,
    knockoff+), exact for finite K up to K / (K + 1); it needs 1 / q discoveries to make any.
    """
    pairs = np.maximum(seeds * (seeds - 1) / 2, 1)
    size = np.where(noise > TIE, noise / np.sqrt(pairs), np.inf)  # pictures that are all equal: no change
    observed = kernel_difference(gram, seeds) / size
    groups = [(n, seeds == n) for n in np.unique(seeds) if n >= 2]
    if not groups:
        return np.full(len(seeds), np.nan)
    swapped = [_swapped(gram[rows, :n, :n]) / size[rows, None] for n, rows in groups]  # each (K', swaps)
    most = max(values.shape[1] for values in swapped)
    weights = np.concatenate([np.full(values.size, most / values.shape[1]) for values in swapped])
    pool = np.concatenate([values.ravel() for values in swapped])
    order = np.argsort(pool)
    below = np.concatenate([[0], np.cumsum(weights[order])])  # weight of the so many smallest
    as_large = below[-1] - below[np.searchsorted(pool[order], observed - TIE)]
    return np.where(seeds >= 2, (weights.max() + as_large) / (weights.max() + below[-1]), np.nan)


def visual_table(
    base: np.ndarray,
    tuned: np.ndarray,
    *,
    network: str,
    layer: str,
    channels: Sequence[int] | None = None,
    control: np.ndarray | None = None,
    drift: Drift | None = None,
) -> pd.DataFrame:
    """Visual change of a layer's channels from the embeddings of their pictures, (K, S, D) each; one row a channel.

    `channels`: their numbers, 0 to K - 1 where None. `control`: (K, S, D) of a network whose change is known to be
    harmless (weight noise, another run, random labels); the drift is then its, not this layer's own. `drift`: that of
    `fit_drift`, where it is known from other channels than these.
    Columns: those of `COLUMNS` up to `reason`.
    """
    numbers = list(range(len(base))) if channels is None else list(channels)
    if len(numbers) != len(base) or len(set(numbers)) != len(numbers):
        raise InputError(f"{layer}: {len(base)} rows of embeddings need as many different channels, not {numbers}")
    found = similarities(base, tuned)
    if drift is None:
        known = found if control is None else similarities(base, control)
        drift = fit_drift(known.paired_distance, known.floor)
    noise = 1 - (found.floor + found.between) / 2  # of all different seeds of both networks: no swap changes it
    excess = drift.excess(found.paired_distance, found.floor)
    change = found.visual_change
    table = pd.DataFrame(
        {
            "network": network,
            "layer": layer,
            "channel": numbers,
            "seeds": found.seeds,
            "paired_similarity": 1 - found.paired_distance,
            "first_similarity": found.paired[:, 0],
            "floor_base": found.floor_base,
            "floor_tuned": found.floor_tuned,
            "floor": found.floor,
            "between_similarity": found.between,
            "mismatched_similarity": found.mismatched,
            "retained": found.retained,
            "visual_change": change,
            **_interval("visual_change", change, _without_each(found.difference, found.seeds), found.seeds),
            "p_visual": swap_test(found.difference, found.seeds, noise),
            "excess": excess,
            **_interval("excess", excess, _excess_without_each(found, drift), found.seeds),
            "p_excess": np.where(found.unchanged, 1.0, drift.bulk.p_value(excess)),
        },
        index=pd.RangeIndex(len(numbers)),
    )
    table["reason"] = _why_empty(found, drift)
    return table


def _why_empty(found: Similarities, drift: Drift) -> list[str]:
    some, several = found.seeds > 0, found.seeds >= 2
    return _reasons(
        len(found.seeds),
        [
            (~some, "no seed with a sound picture of both networks"),
            (some & ~several, "one seed: no noise floor, no test"),
            (found.seeds == 2, "two seeds: no interval over seeds"),
            (some & np.isnan(found.paired[:, 0]), "the first seed's picture is faulty"),
            (some & np.isnan(found.mismatched), "no other channel to compare with"),
            (
                several & (found.floor - found.mismatched <= TIE),
                "retained: seeds are no more alike than other channels",
            ),
            (found.unchanged, "excess: exactly unchanged"),
            (several & ~found.unchanged & (1 - found.floor <= TIE), "excess: the seeds' pictures are all equal"),
            (several & ~found.unchanged & bool(drift.bulk.reason), f"excess: {drift.bulk.reason}"),
        ],
    )


def _check(embeddings: np.ndarray, name: str) -> np.ndarray:
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 3 or embeddings.dtype.kind not in "fiu" or 0 in embeddings.shape[1:]:
        raise InputError(
            f"embeddings of {name} must be numbers (channels, seeds, values), "
            f"not {embeddings.shape} of {embeddings.dtype}"
        )
    return embeddings


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1 in float64, (S, D) -> (S, D); NaN where a row is zero or not finite."""
    rows = np.asarray(rows, np.float64)
    largest = np.abs(rows).max(1, keepdims=True)
    rows = rows / np.where(np.isfinite(largest) & (largest > 0), largest, np.nan)  # lengths neither over- nor underflow
    return rows / np.sqrt((rows * rows).sum(1, keepdims=True))


def _divide(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to take the mean of."""
    return sums / np.where(counts > 0, counts, np.nan)


def _off_diagonal(gram: np.ndarray) -> np.ndarray:
    return gram.sum((-2, -1)) - np.trace(gram, axis1=-2, axis2=-1)


def _mismatched(sums: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Mean cosine across networks and channels, from the sums over seeds (2, K, D); NaN where there is no other."""
    base, tuned = sums
    total = (base * (tuned.sum(0) - tuned) + tuned * (base.sum(0) - base)).sum(1)  # (K,)
    return _divide(total, 2 * seeds * (seeds.sum() - seeds))


def _swaps(count: int) -> np.ndarray:
    """Signs (swaps, N) that differ from no swap, and from one another also after swapping everything."""
    if count <= ALL_SWAPS:
        return np.array([(1, *signs) for signs in itertools.product((1, -1), repeat=count - 1)][1:])
    rng = np.random.default_rng(derive_seed("swaps", count))
    signs = rng.choice((1, -1), size=(2 ** (ALL_SWAPS - 1), count))
    return signs[np.abs(signs.sum(1)) < count]


def _swapped(gram: np.ndarray) -> np.ndarray:
    """`kernel_difference` after each swap, (K, N, N) -> (K, swaps)."""
    channels, count, _ = gram.shape
    signs = _swaps(count)
    products = (signs[:, :, None] * signs[:, None, :]).reshape(len(signs), -1)  # (swaps, N * N)
    off = gram * ~np.eye(count, dtype=bool)
    return off.reshape(channels, -1) @ products.T / (count * (count - 1))


def _without_each(gram: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """`kernel_difference` without one seed, for each, (K, S, S) -> (K, S); NaN below three seeds."""
    rows = gram.sum(2) - np.diagonal(gram, axis1=1, axis2=2)  # (K, S) sum over other seeds
    sums = _off_diagonal(gram)[:, None] - 2 * rows
    return _divide(sums, ((seeds - 1) * (seeds - 2))[:, None])


def _excess_without_each(found: Similarities, drift: Drift) -> np.ndarray:
    """(K, S)"""
    own = np.diagonal(found.difference, axis1=1, axis2=2) / 2  # (K, S) paired distances, sound seeds in front
    distance = _divide(own.sum(1, keepdims=True) - own, (found.seeds - 1)[:, None])
    floor = (_without_each(found.base, found.seeds) + _without_each(found.tuned, found.seeds)) / 2
    return drift.excess(distance, floor)


def _interval(
    name: str, value: np.ndarray, without: np.ndarray, seeds: np.ndarray, level: float = 0.95
) -> dict[str, np.ndarray]:
    """`<name>_low`, `<name>_high` from the values without each seed, (K,) x (K, S); NaN below three seeds.

    Tukey's jackknife: pseudo-values, their mean's standard error, Student's t with N - 1 degrees of freedom, around
    the value itself. The variance is biased upwards (Efron and Stein 1981, Annals of Statistics 9).
    """
    n = seeds[:, None]
    pseudo = n * value[:, None] - (n - 1) * without  # (K, S)
    used = np.arange(without.shape[1]) < n
    pseudo = np.where(used, pseudo, 0)
    mean = _divide(pseudo.sum(1), seeds)
    squares = np.where(used, (pseudo - mean[:, None]) ** 2, 0).sum(1)
    error = np.sqrt(_divide(squares, seeds * (seeds - 1)))
    half = np.where(seeds >= 3, stats.t.ppf((1 + level) / 2, np.maximum(seeds - 1, 1)) * error, np.nan)
    return {f"{name}_low": value - half, f"{name}_high": value + half}


def _reasons(count: int, cases: Sequence[tuple[np.ndarray, str]]) -> list[str]:
    def of(row: int) -> Iterator[str]:
        return (text for where, text in cases if where[row])

    return ["; ".join(of(row)) for row in range(count)]
