"""Is a channel's picture a different one after fine-tuning? Statistics of pictures alone, with a few seeds a channel.

Input: the embeddings of a layer's pictures in the base and in the tuned network, (K, S, D) each, of K channels, S seeds
and D values. Channel k's pictures of seed s have the same start and the same transforms in both networks. A row with a
value that is not finite is a failed picture; its seed is left out for its channel, in both networks. Output: a table
with a row for each channel. A number that cannot be computed is NaN, and `reason` says why. `COLUMNS` has the units.

There are two questions, and a test for each. Let b_s and t_s be unit rows, and d_s = b_s - t_s.

1. *Does the tuned network draw different pictures at all?* `visual_change` is the mean of d_s · d_t over all s ≠ t. It
   is the similarity within the base plus that within the tuned network minus twice that between them, each over pairs
   of different seeds: the unbiased MMD² of Gretton et al. 2012 (JMLR 13, equation 4) with the cosine as kernel, and so
   the squared distance between the networks' mean directions. Equation 4 leaves out the products of one seed, so b_s
   and t_s may depend on each other. If nothing changed, b_s and t_s can be swapped within a seed. A swap flips the sign
   of d_s. There are 2 ** (S - 1) different sign patterns, and all are counted; see `sign_flip_test`.
2. *Did the channel change more than its layer drifts?* Training moves every weight of a layer a little, so with enough
   seeds the answer to question 1 is yes for all channels. `excess` is the logarithm of the mean distance between
   pictures of one seed, above the layer's line against the channel's noise floor, in units of the layer's spread; see
   `featurediff.statistics.empirical_null`. It uses all that paired pictures share, and orders channels more sharply.
   If more than half of a layer really changed, the test becomes cautious; a second training (`control_of` in the
   config) then says how much of the change is the task.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from feature_vis.errors import InputError
from feature_vis.seeding import derive_seed
from featurediff.runtime.tables import join_reasons
from featurediff.statistics.empirical_null import TIE, EmpiricalNull, fit_distance_null

__all__ = ["COLUMNS", "Similarities", "mmd2_unbiased", "sign_flip_test", "similarities", "visual_table"]

# Up to this many seeds all sign patterns are counted (511 of them); with more seeds, so many are drawn.
ALL_SIGNS = 10

# name -> (unit, meaning)
COLUMNS: dict[str, tuple[str, str]] = {
    "network": ("", "the tuned network, which is compared with the base"),
    "layer": ("", "dotted name of the layer"),
    "channel": ("", "number of the channel, from 0"),
    "seeds": ("count", "seeds whose pictures are sound in both networks; only these are used"),
    "paired_similarity": ("cosine", "base against tuned, same seed, mean over seeds"),
    "first_similarity": ("cosine", "base against tuned, first seed alone: the number of the original experiment"),
    "floor_base": ("cosine", "base against base, mean over pairs of different seeds"),
    "floor_tuned": ("cosine", "tuned against tuned, mean over pairs of different seeds"),
    "floor": ("cosine", "noise floor: mean of floor_base and floor_tuned"),
    "between_similarity": ("cosine", "base against tuned, mean over pairs of different seeds"),
    "mismatched_similarity": ("cosine", "base against tuned, this channel against all others of the layer"),
    "retained": ("ratio", "(between - mismatched) / (floor - mismatched): 1 the same picture, 0 another channel's"),
    "visual_change": ("cosine", "2 (floor - between): unbiased MMD², 0 on average where nothing changed, may be < 0"),
    "visual_change_low": ("cosine", "95 % interval of visual_change over seeds (jackknife), lower end"),
    "visual_change_high": ("cosine", "95 % interval of visual_change over seeds (jackknife), upper end"),
    "p_visual": ("probability", "of a visual_change this large if nothing changed; sign flips, pooled over the layer"),
    "excess": ("spreads", "log of (1 - paired_similarity) above what the layer's drift predicts at this noise floor"),
    "excess_low": ("spreads", "95 % interval of excess over seeds (jackknife, the layer's drift fixed), lower end"),
    "excess_high": ("spreads", "95 % interval of excess over seeds (jackknife, the layer's drift fixed), upper end"),
    "p_excess": ("probability", "of an excess this large in a channel that only drifts with its layer"),
    "reason": ("", "why numbers of this row are empty"),
}


@dataclass(frozen=True)
class Similarities:
    """All inner products that the statistics need, of unit rows; channel k has N_k sound seeds.

    The Gram matrices have the sound seeds first and zeros for the rest. Where a difference is meant, its own products
    are kept, so that equal pictures give exactly 1 and 0.
    """

    seeds: np.ndarray  # (K,) N_k
    paired: np.ndarray  # (K, S) cosine of base and tuned, NaN where the seed is not sound
    base: np.ndarray  # (K, S, S) Gram matrix of b over seeds
    tuned: np.ndarray  # (K, S, S) of t
    difference: np.ndarray  # (K, S, S) of b - t
    mismatched: np.ndarray  # (K,) mean cosine of a network's pictures of k and the other's of all other channels

    @property
    def floor_base(self) -> np.ndarray:
        """(K,) mean cosine over pairs of different seeds."""
        return _mean_of_pairs(self.base, self.seeds)

    @property
    def floor_tuned(self) -> np.ndarray:
        """(K,) mean cosine over pairs of different seeds."""
        return _mean_of_pairs(self.tuned, self.seeds)

    @property
    def floor(self) -> np.ndarray:
        """(K,) mean of the two networks' floors."""
        return (self.floor_base + self.floor_tuned) / 2

    @property
    def visual_change(self) -> np.ndarray:
        """(K,) unbiased MMD²."""
        return mmd2_unbiased(self.difference, self.seeds)

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
        """(K,) 1: as alike as two seeds, 0: as two channels; NaN where seeds are no more alike than channels."""
        above = self.floor - self.mismatched
        return np.divide(self.between - self.mismatched, above, out=np.full(len(above), np.nan), where=above > TIE)

    @property
    def unchanged(self) -> np.ndarray:
        """(K,) whether the two pictures of every seed are equal, of two seeds or more."""
        return (self.paired_distance == 0) & (self.seeds >= 2)


def similarities(base: np.ndarray, tuned: np.ndarray) -> Similarities:
    """Inner products of the embeddings of a layer's pictures, (K, S, D) and (K, S, D).

    The lengths of rows do not matter. Zero rows, and rows with a value that is not finite, are failed pictures.

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
    for k in range(channels):  # one channel at a time, so that the float64 copies stay small
        b, t = _unit(base[k]), _unit(tuned[k])  # (S, D)
        sound = np.isfinite(b).all(1) & np.isfinite(t).all(1)
        b, t = b[sound], t[sound]  # (N, D)
        n = seeds[k] = len(b)
        difference = b - t
        paired[k, sound] = 1 - (difference**2).sum(1) / 2
        for gram, rows in zip(grams[:, k, :n, :n], (b, t, difference), strict=True):
            gram[:] = rows @ rows.T
        sums[:, k] = b.sum(0), t.sum(0)
    return Similarities(seeds, paired, grams[0], grams[1], grams[2], _mismatched(sums, seeds))


def mmd2_unbiased(difference: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Unbiased MMD² (Gretton et al. 2012, equation 4), (K, S, S) and (K,) -> (K,); NaN below two seeds.

    `difference`: the Gram matrices of b - t over seeds. `seeds`: how many of each are sound.
    """
    return _mean_of_pairs(difference, seeds)


def sign_flip_test(difference: np.ndarray, seeds: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """One-sided p-values of `mmd2_unbiased`, (K, S, S), (K,) and (K,) -> (K,); NaN below two seeds.

    `difference`: the Gram matrices of b - t. `noise`: (K,) a measure of the channel's noise that no swap changes.
    Statistics are divided by it, and multiplied by the root of the number of pairs, since that is their spread if
    nothing changed.

    Null hypothesis: in a channel, base and tuned are exchangeable within each seed, i.e. a swap leaves their joint
    distribution as it is. This is true if both draw from one distribution, whether their pictures share the start
    (paired) or not (base against base with other seeds). A swap of all seeds changes nothing, so the first seed keeps
    its sign and 2 ** (N - 1) - 1 patterns remain.

    Pool: a channel alone could at best reach 1/8 with four seeds, so the flipped statistics of all channels of the
    layer are pooled: p = (1 + as large) / (1 + all). Ties count as large. All channels have the same weight, also one
    that lost a seed. This is what holds if many channels changed: the statistic of an unchanged channel and each of its
    flipped ones have the same distribution. So the share of the pool that unchanged channels hold above a bound is, on
    average, the number of them that are falsely above it, divided by K. No two channels need to be alike, and changed
    channels only add to the pool. Hence K * p does not underestimate the number of false discoveries, and the rule of
    Benjamini and Hochberg, which divides K * p by the number of discoveries, keeps its rate whatever the share of
    changed channels is. A single p, read alone, can be too small, by the share of unchanged channels at most. With two
    seeds the pool is the mirror image of the statistics, and the rule is that of Barber and Candès 2015 (Annals of
    Statistics 43, knockoff+), exact for finite K up to K / (K + 1); it then takes 1 / q discoveries to make any.
    """
    pairs = np.maximum(seeds * (seeds - 1) / 2, 1)
    size = np.where(noise > TIE, noise / np.sqrt(pairs), np.inf)  # pictures that are all equal did not change
    observed = mmd2_unbiased(difference, seeds) / size  # (K,)
    groups = [(n, seeds == n) for n in np.unique(seeds) if n >= 2]
    if not groups:
        return np.full(len(seeds), np.nan)
    flipped = [_flipped(difference[rows, :n, :n]) / size[rows, None] for n, rows in groups]  # of each group (K', P)
    most = max(values.shape[1] for values in flipped)
    weights = np.concatenate([np.full(values.size, most / values.shape[1]) for values in flipped])  # (sum of K' P,)
    pool = np.concatenate([values.ravel() for values in flipped])
    order = np.argsort(pool)
    below = np.concatenate([[0], np.cumsum(weights[order])])  # total weight of the n smallest
    as_large = below[-1] - below[np.searchsorted(pool[order], observed - TIE)]  # (K,)
    return np.where(seeds >= 2, (weights.max() + as_large) / (weights.max() + below[-1]), np.nan)


def visual_table(
    base: np.ndarray,
    tuned: np.ndarray,
    *,
    network: str,
    layer: str,
    channels: Sequence[int] | None = None,
    null: EmpiricalNull | None = None,
) -> pd.DataFrame:
    """How the pictures of a layer's channels changed, from their embeddings, (K, S, D) each; a row for each channel.

    `channels`: their numbers, 0 to K - 1 where None. `null`: that of `fit_distance_null` where it is known from other
    channels than these. The columns are those of `COLUMNS`.

    Raises:
        InputError: other shapes, no numbers, or numbers of channels that do not fit.
    """
    numbers = list(range(len(base))) if channels is None else list(channels)
    if len(numbers) != len(base) or len(set(numbers)) != len(numbers):
        raise InputError(f"{layer}: {len(base)} rows of embeddings need as many different channels, not {numbers}")
    found = similarities(base, tuned)
    if null is None:
        null = fit_distance_null(found.paired_distance, found.floor)
    noise = 1 - (found.floor + found.between) / 2  # of all different seeds of both networks: no swap changes it
    excess = null.excess(found.paired_distance, found.floor)
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
            "p_visual": sign_flip_test(found.difference, found.seeds, noise),
            "excess": excess,
            **_interval("excess", excess, _excess_without_each(found, null), found.seeds),
            "p_excess": np.where(found.unchanged, 1.0, null.p_value(excess)),
        },
        index=pd.RangeIndex(len(numbers)),
    )
    table["reason"] = _why_empty(found, null)
    return table


def _why_empty(found: Similarities, null: EmpiricalNull) -> list[str]:
    some, several = found.seeds > 0, found.seeds >= 2
    changed = several & ~found.unchanged
    return join_reasons(
        {
            "no seed has a sound picture of both networks": ~some,
            "one seed: no noise floor, no test": some & ~several,
            "two seeds: no interval over seeds": found.seeds == 2,
            "the first seed's picture failed": some & np.isnan(found.paired[:, 0]),
            "no other channel to compare with": some & np.isnan(found.mismatched),
            "retained: seeds are no more alike than other channels": several & (found.floor - found.mismatched <= TIE),
            "excess: exactly unchanged": found.unchanged,
            "excess: the seeds' pictures are all equal": changed & (1 - found.floor <= TIE),
            f"excess: {null.reason}": changed & bool(null.reason),
        }
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
    """Sum over pairs of different seeds, (K, S, S) -> (K,)."""
    return gram.sum((-2, -1)) - np.trace(gram, axis1=-2, axis2=-1)


def _mean_of_pairs(gram: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Mean over pairs of different seeds, (K, S, S) and (K,) -> (K,); NaN below two seeds."""
    return _divide(_off_diagonal(gram), seeds * (seeds - 1))


def _mismatched(sums: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Mean cosine across networks and channels, from the sums over seeds (2, K, D); NaN where there is no other."""
    base, tuned = sums
    total = (base * (tuned.sum(0) - tuned) + tuned * (base.sum(0) - base)).sum(1)  # (K,)
    return _divide(total, 2 * seeds * (seeds.sum() - seeds))


def _sign_patterns(count: int) -> np.ndarray:
    """Patterns of signs of N seeds, (P, N), of which none flips no seed or all of them."""
    if count <= ALL_SIGNS:
        return np.array([(1, *signs) for signs in itertools.product((1, -1), repeat=count - 1)][1:])
    rng = np.random.default_rng(derive_seed("swaps", count))
    signs = rng.choice((1, -1), size=(2 ** (ALL_SIGNS - 1), count))
    return signs[np.abs(signs.sum(1)) < count]


def _flipped(difference: np.ndarray) -> np.ndarray:
    """`mmd2_unbiased` after each pattern of sign flips, (K, N, N) -> (K, P)."""
    channels, count, _ = difference.shape
    signs = _sign_patterns(count)
    products = (signs[:, :, None] * signs[:, None, :]).reshape(len(signs), -1)  # (P, N * N)
    off = difference * ~np.eye(count, dtype=bool)
    return off.reshape(channels, -1) @ products.T / (count * (count - 1))


def _without_each(gram: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Mean over pairs without each seed in turn, (K, S, S) and (K,) -> (K, S); NaN below three seeds."""
    rows = gram.sum(2) - np.diagonal(gram, axis1=1, axis2=2)  # (K, S) sum over the other seeds
    sums = _off_diagonal(gram)[:, None] - 2 * rows
    return _divide(sums, ((seeds - 1) * (seeds - 2))[:, None])


def _excess_without_each(found: Similarities, null: EmpiricalNull) -> np.ndarray:
    """Excess without each seed in turn, (K, S)."""
    own = np.diagonal(found.difference, axis1=1, axis2=2) / 2  # (K, S) paired distances, sound seeds in front
    distance = _divide(own.sum(1, keepdims=True) - own, (found.seeds - 1)[:, None])
    floor = (_without_each(found.base, found.seeds) + _without_each(found.tuned, found.seeds)) / 2
    return null.excess(distance, floor)


def _interval(name: str, value: np.ndarray, without: np.ndarray, seeds: np.ndarray) -> dict[str, np.ndarray]:
    """95 % interval over seeds, as `<name>_low` and `<name>_high`, (K,) each; NaN below three seeds.

    `value`: (K,). `without`: (K, S) the value without each seed in turn. Tukey's jackknife: the standard error of the
    pseudo-values' mean, and Student's t with N - 1 degrees of freedom, around the value itself. The variance is
    biased upwards (Efron and Stein 1981, Annals of Statistics 9).
    """
    n = seeds[:, None]
    pseudo = n * value[:, None] - (n - 1) * without  # (K, S)
    used = np.arange(without.shape[1]) < n
    pseudo = np.where(used, pseudo, 0)
    mean = _divide(pseudo.sum(1), seeds)
    squares = np.where(used, (pseudo - mean[:, None]) ** 2, 0).sum(1)
    error = np.sqrt(_divide(squares, seeds * (seeds - 1)))
    half = np.where(seeds >= 3, stats.t.ppf(0.975, np.maximum(seeds - 1, 1)) * error, np.nan)
    return {f"{name}_low": value - half, f"{name}_high": value + half}
