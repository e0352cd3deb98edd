"""What the numbers of many channels say together: corrected for their number, ranked, counted, and compared by order.

The numbers and their p-values come from `featurediff.statistics.mmd`, `featurediff.measures.picture_responses` and
`featurediff.statistics.combined_score`.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from feature_vis.errors import InputError
from feature_vis.seeding import derive_seed
from featurediff.statistics import mmd
from featurediff.statistics.empirical_null import FEW_CHANNELS

__all__ = [
    "COLUMNS",
    "RATE",
    "add_q_values",
    "agreement",
    "bootstrap_interval",
    "q_values",
    "rank_agreement",
    "rank_channels",
    "share_interval",
    "summarise",
]

# A channel changed if its q-value is not above this false discovery rate.
RATE = 0.05

# Columns p_<test>, in the order in which their results are shown; a table may lack some.
TESTS = ("visual", "excess", "response", "combined")

# Channels are ranked by the first of these columns that has numbers. `excess` has an interval, and says what a reader
# sees: how much more than their layer's the channel's pictures changed. With one seed only `combined` has numbers.
RANKED_BY = ("excess", "combined")

# name -> (unit, meaning)
COLUMNS: dict[str, tuple[str, str]] = {
    **mmd.COLUMNS,
    **{
        f"q_{test}": ("probability", f"p_{test} corrected over all channels of the table (Benjamini and Hochberg)")
        for test in TESTS
    },
    "rank": ("", "1 is the most changed channel; empty where the number it is ranked by is empty"),
}


def q_values(p: np.ndarray) -> np.ndarray:
    """False discovery rate at which each p would be a discovery (Benjamini and Hochberg 1995); NaN are left out."""
    p = np.asarray(p, float)
    known = np.isfinite(p)
    q = np.full(p.shape, np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q


def add_q_values(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `q_<test>` for each `p_<test>`, corrected over all its rows: pass all layers of a network."""
    return table.assign(**{f"q_{test}": q_values(table[f"p_{test}"].to_numpy(float)) for test in _tests(table, "p")})


def rank_channels(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `rank`, most changed first; ties in the order of rows, rows without a number last and unranked."""
    by = next((name for name in RANKED_BY if name in table and table[name].notna().any()), RANKED_BY[0])
    rank = table[by].rank(method="first", ascending=False).astype("Int64")
    return table.assign(rank=rank).sort_values("rank", kind="stable", ignore_index=True)


def share_interval(found: int, tested: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson (1927, JASA 22); NaN where nothing was tested.

    If the tested channels are a random sample, this is an interval for their layer. If all channels were tested, it
    says how far the share would vary among layers of so many alike channels.
    """
    if not 0 <= found <= tested:
        raise InputError(f"{found} of {tested} is no share")
    if tested == 0:
        return np.nan, np.nan
    interval = stats.binomtest(found, tested).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """How many channels changed, for a table of `add_q_values`: a row for each network, layer and test, in the order of
    the table, then a row for each network and test over all its layers (layer `all`).

    `test` is `visual` (the pictures changed at all), or one of those that look for more change than the layer's drift:
    `excess` of the pictures, `response` of the answers to pictures, `combined` of all measures. `share` is that of
    the changed among the tested channels, with its interval.
    """
    rows = []
    for part in (table, table.assign(layer="all")):
        for (network, layer), group in part.groupby(["network", "layer"], sort=False):
            for test in _tests(table, "q"):
                q = group[f"q_{test}"].dropna()
                changed, tested = int((q <= RATE).sum()), len(q)
                low, high = share_interval(changed, tested)
                rows.append(
                    {
                        "network": network,
                        "layer": layer,
                        "test": test,
                        "channels": len(group),
                        "tested": tested,
                        "changed": changed,
                        "share": changed / tested if tested else np.nan,
                        "share_low": low,
                        "share_high": high,
                        "reason": "" if tested else "no channel could be tested",
                    }
                )
    counted = ["channels", "tested", "changed", "share", "share_low", "share_high", "reason"]
    return pd.DataFrame(rows, columns=["network", "layer", "test", *counted])


def bootstrap_interval(
    statistic: Callable[..., np.ndarray], columns: Sequence[np.ndarray], *seed: str | int
) -> tuple[float, float]:
    """95 % interval of a statistic of columns, (K,) each: percentiles of a bootstrap over the K channels.

    `statistic(*columns, axis)`: (…, K) each -> (…). Resamples without a value (NaN) are left out. `seed`: parts of the
    generator's seed.
    """
    rng = np.random.default_rng(derive_seed(*seed))
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")  # SciPy warns of resamples that are constant
        drawn = stats.bootstrap(
            columns, statistic, n_resamples=2000, paired=True, vectorized=True, method="percentile", rng=rng
        ).bootstrap_distribution
    if np.isnan(drawn).all():
        return np.nan, np.nan
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def rank_agreement(x: np.ndarray, y: np.ndarray, *seed: str | int) -> dict[str, object]:
    """Do two numbers of K channels, (K,) each, put them in the same order?

    The result has `channels` (how many have both numbers), `spearman` with its bootstrap interval `spearman_low` and
    `spearman_high`, and `reason`, why these are NaN. `seed`: parts of the generator's seed.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    found = dict.fromkeys(("spearman", "spearman_low", "spearman_high"), np.nan)
    if len(x) < FEW_CHANNELS:
        reason = f"{len(x)} channels with both numbers, {FEW_CHANNELS} are needed"
    elif np.ptp(x) == 0 or np.ptp(y) == 0:
        reason = "a column is constant"
    else:
        reason = ""
        low, high = bootstrap_interval(_spearman, (x, y), "spearman", *seed)
        found = {"spearman": float(_spearman(x, y)), "spearman_low": low, "spearman_high": high}
    return {"channels": len(x), **found, "reason": reason}


def agreement(table: pd.DataFrame, first: str, second: str, *, seed: int) -> pd.DataFrame:
    """`rank_agreement` of two columns, a row for each network and layer in the order of the table.

    What is drawn for one layer does not depend on the others.
    """
    rows: list[Mapping[str, object]] = []
    for (network, layer), group in table.groupby(["network", "layer"], sort=False):
        x, y = group[first].to_numpy(float), group[second].to_numpy(float)
        found = rank_agreement(x, y, seed, str(network), str(layer), first, second)
        rows.append({"network": network, "layer": layer, "first": first, "second": second, **found})
    ranks = ["channels", "spearman", "spearman_low", "spearman_high", "reason"]
    return pd.DataFrame(rows, columns=["network", "layer", "first", "second", *ranks])


def _tests(table: pd.DataFrame, prefix: str) -> list[str]:
    return [test for test in TESTS if f"{prefix}_{test}" in table]


def _spearman(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Spearman's rank correlation along an axis: Pearson's, of ranks."""
    return stats.pearsonr(stats.rankdata(x, axis=axis), stats.rankdata(y, axis=axis), axis=axis).statistic
