"""One number for all measures: do pictures, activations and weights together say that a channel changed?

Each part is a distance between the channel in the base and in the tuned network. Each is standardised by the null of
its layer (`featurediff.statistics.empirical_null`), so that neither its units nor the drift of the layer count. The
mean of the parts is standardised once more in the same way, because the parts depend on one another. No part has a
weight that was tuned.

If a layer has no values of a part at all (there are no probe images), the part is left out for all its channels, and
`combined_parts` says which parts were used. If one channel lacks a part that the others have, its number could not be
compared with theirs and is NaN. The ratios of cross activation are not among the parts: they saw the least of planted
changes (`benchmarks/RESULTS.md`).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from featurediff.statistics.empirical_null import EmpiricalNull, fit_null, log_above_zero
from featurediff.statistics.unchanged import distance_from_unchanged

__all__ = ["COLUMNS", "PARTS", "add_combined_score"]

# name: (unit, meaning)
COLUMNS: Mapping[str, tuple[str, str]] = {
    "combined": ("spreads", "mean of the standardised parts, above the layer's middle"),
    "p_combined": ("probability", "of a combined number this large in a channel that only drifts with its layer"),
    "combined_parts": ("", "the columns that combined is made of"),
    "combined_reason": ("", "why combined is empty"),
}

_SCORES = ("excess", "response_excess")  # standardised already
_DISTANCES = ("correlation", "weight_change")  # to be standardised
PARTS = (*_SCORES, *_DISTANCES)


def add_combined_score(table: pd.DataFrame) -> pd.DataFrame:
    """The table of one layer with the columns of `COLUMNS`; the parts are those of `PARTS` among its columns."""
    scores = {name: _score(name, table[name].to_numpy(float)) for name in PARTS if name in table}
    used = [name for name, score in scores.items() if np.isfinite(score).any()]
    lacking = [", ".join(name for name in used if np.isnan(scores[name][row])) for row in range(len(table))]
    null, mean = EmpiricalNull(reason="the layer has none of its parts"), np.full(len(table), np.nan)
    if used:
        mean = np.mean([scores[name] for name in used], 0)  # NaN where a part is NaN
        null = fit_null(mean)
    combined = null.score(mean)
    return table.assign(
        combined=combined,
        p_combined=null.p_value(combined),
        combined_parts=" + ".join(used),
        combined_reason=[f"no {names}" if names else null.reason for names in lacking],
    )


def _score(name: str, values: np.ndarray) -> np.ndarray:
    """A part, standardised by the null of its layer; NaN where the channel or the layer has none."""
    if name in _SCORES:
        return values
    distance = distance_from_unchanged(name, values)
    logs = log_above_zero(distance)
    return fit_null(logs, int((distance == 0).sum())).score(logs)
