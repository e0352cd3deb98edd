"""One number for all that was measured: do pictures, activations and weights say together that a channel changed?

Each part is a distance between the channel in the base and in the tuned network. Each is standardised by the bulk of
its layer (`featurediff.statistics.empirical_null`), so that units and how far the layer drifted fall out; the parts'
mean is standardised once more in the same way, which takes up that they depend on one another. No part has a weight
that was tuned to anything.

A part that the layer does not have at all (no probe images) is left out of all its channels, and `joined_parts` says
which were used; where a single channel lacks one that the others have, its number would not compare with theirs and is
NaN. No parts are the ratios of cross activation: of all they saw least of planted changes (`benchmarks/RESULTS.md`).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from featurediff.statistics.empirical_null import Bulk, fit_bulk, log_above_zero
from featurediff.statistics.unchanged import EXPECTED

__all__ = ["COLUMNS", "PARTS", "join_scores"]

# name: (unit, meaning)
COLUMNS: Mapping[str, tuple[str, str]] = {
    "joined": ("spreads", "mean of the standardised parts, above the layer's middle"),
    "p_joined": ("probability", "of so large a value of joined for a channel that only drifts with its layer"),
    "joined_parts": ("", "the columns that joined is made of: those that the layer has"),
    "joined_reason": ("", "why joined is empty"),
}

# Standardised already, and to be standardised: distances from what `EXPECTED` says of an unchanged channel.
_SCORES = ("excess", "response_excess")
_DISTANCES = ("correlation", "weight_change")
PARTS = (*_SCORES, *_DISTANCES)


def join_scores(table: pd.DataFrame) -> pd.DataFrame:
    """The table of one layer with the columns of `COLUMNS`; parts are those of `PARTS` that are among its columns."""
    scores = {name: _score(name, table[name].to_numpy(float)) for name in PARTS if name in table}
    used = [name for name, score in scores.items() if np.isfinite(score).any()]
    lacking = [", ".join(name for name in used if np.isnan(scores[name][row])) for row in range(len(table))]
    bulk, mean = Bulk(reason="the layer has none of its parts"), np.full(len(table), np.nan)
    if used:
        mean = np.mean([scores[name] for name in used], 0)  # NaN where one part is
        bulk = fit_bulk(mean)
    joined = bulk.score(mean)
    return table.assign(
        joined=joined,
        p_joined=bulk.p_value(joined),
        joined_parts=" + ".join(used),
        joined_reason=[f"no {names}" if names else bulk.reason for names in lacking],
    )


def _score(name: str, values: np.ndarray) -> np.ndarray:
    """A part standardised by the layer's bulk; NaN where the channel, or the layer, has none."""
    if name in _SCORES:
        return values
    unchanged, rounding = EXPECTED[name]
    distance = np.abs(values - unchanged)
    equal = distance <= rounding
    logs = log_above_zero(np.where(equal, 0, distance))
    return fit_bulk(logs, int(equal.sum())).score(logs)
