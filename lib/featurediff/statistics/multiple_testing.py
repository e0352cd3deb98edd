"""What many channels' numbers say together: corrected for their number, ranked, counted, and compared in their order.

The numbers themselves, and their p-values, are those of `featurediff.statistics.mmd`,
`featurediff.measures.picture_responses` and `featurediff.statistics.combined_score`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from feature_vis.errors import InputError, close_names
from feature_vis.seeding import derive_seed
from featurediff.statistics import mmd as visual_change
from featurediff.statistics.empirical_null import FEW_CHANNELS

__all__ = [
    "COLUMNS",
    "add_q_values",
    "agreement",
    "q_values",
    "rank_channels",
    "share_interval",
    "spearman",
    "summarise",
]

# Columns p_<test>, in the order in which their results are shown; a table may lack some.
TESTS = ("visual", "excess", "response", "joined")

# Channels are ranked by the first of these that the table has numbers of: how much more their pictures changed than
# their layer's, which has an interval and is what a reader of pictures sees; with one seed by all measures together.
RANKED_BY = ("excess", "joined")

# name -> (unit, meaning)
COLUMNS: dict[str, tuple[str, str]] = {
    **visual_change.COLUMNS,
    **{
        f"q_{test}": ("probability", f"p_{test} corrected over all channels of the table (Benjamini and Hochberg)")
        for test in TESTS
    },
    "rank": ("", "1 is the most changed; empty where the number it is ranked by is NaN"),
}


def q_values(p: np.ndarray) -> np.ndarray:
    """False discovery rate at which each p would be a discovery (Benjamini and Hochberg 1995); NaN left out."""
    p = np.asarray(p, float)
    known = np.isfinite(p)
    q = np.full(p.shape, np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")
    return q


def add_q_values(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `q_<test>` beside each `p_<test>`, corrected over all its rows: pass all layers of a network."""
    return table.assign(**{f"q_{test}": q_values(table[f"p_{test}"].to_numpy(float)) for test in _tests(table, "p")})


def rank_channels(table: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """The table with `rank`, most changed first; ties in the order of rows, rows without a number last, unranked.

    `by`: the first of `RANKED_BY` that has numbers where None.
    """
    if by is None:
        by = next((name for name in RANKED_BY if name in table and table[name].notna().any()), RANKED_BY[0])
    if by not in table:
        raise InputError(f"channels cannot be ranked by {by!r}{close_names(by, list(table.columns))}")
    rank = table[by].rank(method="first", ascending=False).astype("Int64")
    return table.assign(rank=rank).sort_values("rank", kind="stable", ignore_index=True)


def share_interval(found: int, tested: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a share (Wilson 1927, JASA 22); NaN where nothing was tested.

    It speaks of the layer where some of its channels were drawn at random; where all were tested it says how far
    the share would vary among layers of so many alike channels.
    """
    if not 0 <= found <= tested:
        raise InputError(f"{found} of {tested} is no share")
    if tested == 0:
        return np.nan, np.nan
    interval = stats.binomtest(found, tested).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def summarise(table: pd.DataFrame, by: Sequence[str] = ("network", "layer"), rate: float = 0.05) -> pd.DataFrame:
    """How many channels changed: one row a group and test, for a table of `add_q_values`.

    Columns: `by`, test (`visual`: other pictures at all; those of what exceeds the layer's drift: `excess` of the
    pictures, `response` of the answers to them, `joined` of all that was measured), channels, tested, changed, share of
    the tested and its interval share_low, share_high, reason. Groups in the order of the table.
    """
    rows = []
    for name, group in table.groupby(list(by), sort=False):
        for test in _tests(table, "q"):
            q = group[f"q_{test}"].dropna()
            changed, tested = int((q <= rate).sum()), len(q)
            low, high = share_interval(changed, tested)
            rows.append(
                {
                    **dict(zip(by, name, strict=True)),
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
    columns = [*by, "test", "channels", "tested", "changed", "share", "share_low", "share_high", "reason"]
    return pd.DataFrame(rows, columns=columns)


def spearman(
    x: np.ndarray, y: np.ndarray, *seed: str | int, level: float = 0.95, draws: int = 2000
) -> tuple[float, float, float]:
    """Spearman's rank correlation of (K,) and (K,), and its interval from a bootstrap over channels (percentiles).

    Pairs with a NaN are left out. `seed`: parts of the generator's seed. All three are NaN where a side is constant
    or fewer than `FEW_CHANNELS` pairs remain.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < FEW_CHANNELS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(derive_seed("spearman", *seed))
    drawn = rng.integers(len(x), size=(draws, len(x)))  # (draws, K)
    low, high = np.nanquantile(_rank_correlation(x[drawn], y[drawn]), [(1 - level) / 2, (1 + level) / 2])
    return float(stats.spearmanr(x, y).statistic), float(low), float(high)


def agreement(
    table: pd.DataFrame, first: str, second: str, *, seed: int, by: Sequence[str] = ("network", "layer")
) -> pd.DataFrame:
    """Do two columns put the channels in the same order? One row a group, in the order of the table.

    Columns: `by`, first, second, channels (where both are known), spearman, spearman_low, spearman_high, reason.
    A group's draws do not depend on the other groups.
    """
    rows = []
    for name, group in table.groupby(list(by), sort=False):
        known = group[[first, second]].dropna()
        rho, low, high = spearman(
            known[first].to_numpy(float), known[second].to_numpy(float), seed, *map(str, name), first, second
        )
        few = f"{len(known)} channels with both numbers, {FEW_CHANNELS} are needed"
        why = few if len(known) < FEW_CHANNELS else "a column is constant"
        rows.append(
            {
                **dict(zip(by, name, strict=True)),
                "first": first,
                "second": second,
                "channels": len(known),
                "spearman": rho,
                "spearman_low": low,
                "spearman_high": high,
                "reason": why if np.isnan(rho) else "",
            }
        )
    columns = [*by, "first", "second", "channels", "spearman", "spearman_low", "spearman_high", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _tests(table: pd.DataFrame, prefix: str) -> list[str]:
    return [test for test in TESTS if f"{prefix}_{test}" in table]


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's, row by row, (N, K) x (N, K) -> (N,); NaN where a row is constant."""
    x, y = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    size = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return (x * y).sum(1) / np.where(size > 0, size, np.nan)
