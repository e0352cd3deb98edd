"""Which pictures failed: those that stayed grey, and those that excite their channel no more than the start did.

The grey rule is the original's: the scores of a layer are sorted, and everything below the first jump is grey. Three
things differ from it, on purpose:

- The score is the distance to uniform mid-grey, in float64. The original's uint8 arithmetic overflowed (80² = 6400 =
  25 * 256 became 0), and it measured against each picture's own grey-scale copy, so that a strong picture without
  colour looked like a failed one.
- A jump counts only if all pictures below it are near grey (`max_contrast`). The scores of good pictures are spread,
  the more so the fewer they are, and have jumps of their own; without the bound, good pictures would be dropped.
- If all pictures of a layer are near grey, there is no such jump, and all of them failed.

Source: Chobanyan, transfer-visualization `transfer/find_bad_channels.py`.
"""

import numpy as np
import pandas as pd

from feature_vis.errors import InputError
from feature_vis.images.arrays import check_picture
from featurediff.runtime.tables import join_reasons

__all__ = ["MAX_CONTRAST", "MID_GREY", "contrast", "failed_of", "find_failed", "grey_channels", "grey_score"]

# 8-bit value of 0.5, the middle of the sigmoid, where pictures start.
MID_GREY = 128.0

# Root mean square in grey levels of 255. The noise that a picture starts from has 0.6 to 0.9 (32 to 512 px). Pictures
# of a ResNet-18 that did move reach 25 to 57 within 64 steps at 64 px. 12 leaves a factor of two towards good pictures,
# where a mistake would drop a true result, and a factor above ten towards pictures that never moved.
MAX_CONTRAST = 12.0

_KEYS = ["network", "layer", "channel", "seed"]
_COLUMNS = [*_KEYS, "score", "contrast", "activation_start", "activation_reached"]


def grey_score(picture: np.ndarray) -> float:
    """Root of the summed squared residuals of a picture, (H, W, 3) uint8, to uniform mid-grey; 0 is mid-grey."""
    check_picture(picture)
    return float(np.linalg.norm((picture.astype(np.float64) - MID_GREY).ravel()))


def contrast(picture: np.ndarray) -> float:
    """Root mean square of a picture's residuals to mid-grey, 0 to 128 grey levels: the score at any size."""
    return grey_score(picture) / picture.size**0.5


def find_failed(table: pd.DataFrame, *, jump: float = 0.1, max_contrast: float | None = MAX_CONTRAST) -> pd.DataFrame:
    """The failed pictures: columns network, layer, channel, score, reason, seed.

    `table`: of `featurediff.rendering.picture_table`, of any number of networks and layers. `jump`, `max_contrast`: see
    `grey_channels`. The reasons are `grey`, `activation did not rise` (it ended no higher than it started) and
    `activation not finite`, joined by "; ". Networks and layers keep the order of the table; channels are sorted.

    Raises:
        InputError: missing columns, a seed of a channel that comes twice, or scores that are not numbers.
    """
    _check(table)
    table = table.reset_index(drop=True)
    grey = pd.Series(False, index=table.index)
    for _, layer in table.groupby(["network", "layer"], sort=False):
        grey[layer.index] = grey_channels(layer["score"].to_numpy(), layer["contrast"].to_numpy(), jump, max_contrast)
    activations = table[["activation_start", "activation_reached"]].astype(float)
    finite = pd.Series(np.isfinite(activations).all(axis=1), index=table.index)
    stuck = finite & (activations["activation_reached"] <= activations["activation_start"])
    reasons = {"grey": grey, "activation did not rise": stuck, "activation not finite": ~finite}
    table["reason"] = join_reasons(reasons)
    # factorize numbers the names in the order in which they come first
    order = pd.DataFrame({name: pd.factorize(table[name])[0] for name in ("network", "layer")})
    order[["channel", "seed"]] = table[["channel", "seed"]]
    sorted_rows = table.loc[order.sort_values(_KEYS).index]
    return sorted_rows.loc[
        sorted_rows["reason"] != "", ["network", "layer", "channel", "score", "reason", "seed"]
    ].reset_index(drop=True)


def grey_channels(
    scores: np.ndarray, contrasts: np.ndarray, jump: float = 0.1, max_contrast: float | None = MAX_CONTRAST
) -> np.ndarray:
    """Which pictures of one layer are grey, (N,) scores and contrasts -> (N,) bool, in the given order.

    The cut is the first gap between neighbouring sorted scores that is larger than `jump` times the largest score. All
    pictures below it are grey if each of them is below `max_contrast`. If all pictures of the layer are below
    `max_contrast`, all are grey. With `max_contrast=None` the cut alone decides, as in the original.
    """
    near_grey = np.zeros(len(scores), bool) if max_contrast is None else contrasts < max_contrast
    if len(scores) == 0 or near_grey.all():
        return near_grey
    order = np.argsort(scores, kind="stable")
    jumps = np.flatnonzero(np.diff(scores[order]) > jump * scores.max())
    below = order[: jumps[0] + 1] if len(jumps) else order[:0]
    grey = np.zeros(len(scores), bool)
    grey[below] = max_contrast is None or bool(near_grey[below].all())
    return grey


def _check(table: pd.DataFrame) -> None:
    if missing := [name for name in _COLUMNS if name not in table]:
        raise InputError(f"the table of pictures has no column {', '.join(missing)}")
    if (twice := table.duplicated(_KEYS)).any():
        network, layer, channel, seed = table.loc[twice, _KEYS].iloc[0]
        raise InputError(f"the table of pictures has channel {channel} of {network}, {layer}, seed {seed} twice")
    if not np.isfinite(table[["score", "contrast"]].astype(float)).all(axis=None):
        raise InputError("the table of pictures has scores that are not numbers: make it again from the pictures")


def failed_of(failed: pd.DataFrame, network: str, layer: str) -> set[tuple[int, int]]:
    """The failed pictures of a network's layer, (channel, seed), in the table of `find_failed`."""
    rows = failed[(failed["network"] == network) & (failed["layer"] == layer)]
    return set(rows[["channel", "seed"]].itertuples(index=False, name=None))
