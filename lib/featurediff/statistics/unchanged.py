"""A control that costs nothing: what training did not touch must come out as exactly unchanged.

If a frozen layer shows a change, something moved (batch-norm statistics, say), or two runs did not see the same
pictures or noise, or a measure is wrong. Then the run stops.
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from feature_vis.errors import InputError

__all__ = ["EXPECTED", "FrozenLayerChanged", "check_frozen", "distance_from_unchanged"]

# column: (value of an unchanged channel, tolerance). For equal pictures and weights the measures are exact by
# construction, and so is the correlation of equal activations. But a library that may choose among kernels (cuDNN) may
# sum in another order in the second pass. That changes an activation by at most e = 1e-6 of its size (float32's 6e-8
# times the root of some hundred terms), and lowers the correlation by (e * size / std)²: below 1e-6 as long as the
# activation varies by more than a thousandth of its size.
EXPECTED: Mapping[str, tuple[float, float]] = {
    "cosine": (1.0, 0.0),
    "correlation": (1.0, 1e-6),
    "picture_correlation": (1.0, 1e-6),
    "weight_change": (0.0, 0.0),
    "weight_cosine": (1.0, 0.0),
}


def distance_from_unchanged(column: str, values: np.ndarray) -> np.ndarray:
    """How far values of a column of `EXPECTED` are from an unchanged channel's, any shape; 0 within its tolerance."""
    unchanged, tolerance = EXPECTED[column]
    distance = np.abs(values - unchanged)
    return np.where(distance <= tolerance, 0.0, distance)


class FrozenLayerChanged(RuntimeError):
    """A frozen layer changed: no result of the run can be trusted before the cause is found."""


def check_frozen(
    tables: Iterable[pd.DataFrame],
    frozen: Mapping[str, Collection[str]],
    expected: Mapping[str, tuple[float, float]] = EXPECTED,
) -> int:
    """Make sure that the channels of frozen layers are unchanged; returns how many values were looked at.

    `tables` have the columns network, layer, channel and some of `expected`. `frozen`: network -> its frozen layers.
    `expected`: column -> the value of an unchanged channel, and a tolerance. Empty values are skipped; their own column
    of reasons says why they are empty.

    Raises:
        FrozenLayerChanged: all deviations, by network, layer and column, with the channels.
        InputError: a table without the columns that name a channel.
    """
    looked_at = 0
    problems = []
    for table in tables:
        if missing := [name for name in ("network", "layer", "channel") if name not in table]:
            raise InputError(f"the table to check for changes of frozen layers has no column {', '.join(missing)}")
        for network, layers in frozen.items():
            for layer in layers:
                rows = table[(table["network"] == network) & (table["layer"] == layer)]
                for column in (name for name in expected if name in rows):
                    value, tolerance = expected[column]
                    values = rows[column].to_numpy(np.float64)
                    looked_at += int((~np.isnan(values)).sum())
                    deviations = np.abs(values - value)
                    if (off := deviations > tolerance).any():
                        found = _deviations(rows["channel"].to_numpy()[off], deviations[off])
                        problems.append(f"  {network}, {layer}: {column} must be {value:g}; {found}")
    if problems:
        raise FrozenLayerChanged("frozen layers must come out as unchanged, but changed:\n" + "\n".join(problems))
    return looked_at


def _deviations(channels: np.ndarray, deviations: np.ndarray) -> str:
    shown = ", ".join(str(channel) for channel in channels[:10]) + (", …" if len(channels) > 10 else "")
    place = deviations.argmax()
    most = f"most in {channels[place]}, by {deviations[place]:.3g}"
    return f"it differs in {len(channels)} of the channels ({shown}), {most}"
