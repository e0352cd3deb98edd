"""Penalties on the picture itself, for being rough or far from grey.

All take pictures, (B, C, H, W) in [0, 1], and give one number for each, (B,): 0 for an even grey picture, and the
larger, the worse. They take means where lucid takes sums, so that a weight means the same at every picture size.

Source: lucid `optvis/objectives.py` (`total_variation`, `L1`, `L2`, `blur_input_each_step`).
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from feature_vis.errors import InputError

__all__ = ["REGULARIZERS", "blur", "l1", "l2", "penalty", "total_variation"]

_GREY = 0.5


def total_variation(pictures: Tensor) -> Tensor:
    """Mean difference to the next pixel, to the right plus downwards: (B, C, H, W) in [0, 1] -> (B,) in [0, 2].

    Anisotropic, as in `tf.image.total_variation`, which sums. H and W must be at least 2.
    """
    right = (pictures[..., :, 1:] - pictures[..., :, :-1]).abs()  # (B, C, H, W - 1)
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs()  # (B, C, H - 1, W)
    return _mean(right) + _mean(down)


def l1(pictures: Tensor) -> Tensor:
    """Mean distance from grey: (B, C, H, W) in [0, 1] -> (B,) in [0, 0.5]."""
    return _mean((pictures - _GREY).abs())


def l2(pictures: Tensor) -> Tensor:
    """Root mean square distance from grey: (B, C, H, W) in [0, 1] -> (B,) in [0, 0.5].

    Unlike `l1` it penalises large deviations more than small ones.
    """
    # The root has no gradient at 0, the value of an even grey picture. lucid adds 1e-6 under the root, but to a sum; to
    # a mean that would be too much.
    tiny = 1e-12
    return torch.sqrt(_mean((pictures - _GREY) ** 2) + tiny)


def blur(pictures: Tensor) -> Tensor:
    """Half the mean square distance to the picture's own blurred copy: (B, C, H, W) in [0, 1] -> (B,) in [0, 0.5].

    No gradient flows through the copy, so a gradient step of length k · C · H · W gives `(1 - k) picture + k copy`, as
    if the picture were blurred a little at each step. The copy weighs a pixel twice as much as each of its eight
    neighbours; at the border it takes the neighbours that exist.
    """
    with torch.no_grad():
        # the sum over 3 × 3 pixels plus the middle one again; pooling is much faster than convolving
        total = 9 * F.avg_pool2d(pictures, 3, stride=1, padding=1)  # (B, C, H, W)
        present = 9 * F.avg_pool2d(torch.ones_like(pictures[:1, :1]), 3, stride=1, padding=1)  # (1, 1, H, W)
        copy = (total + pictures) / (present + 1)  # (B, C, H, W)
    return 0.5 * _mean((pictures - copy) ** 2)


REGULARIZERS: dict[str, Callable[[Tensor], Tensor]] = {
    "total_variation": total_variation,
    "l1": l1,
    "l2": l2,
    "blur": blur,
}


def penalty(pictures: Tensor, weights: Mapping[str, float]) -> Tensor:
    """Weight × regularizer, summed: (B, C, H, W) in [0, 1], weights by name in `REGULARIZERS` -> (B,).

    Zero without weights. It is subtracted from an objective that is maximised.

    Raises:
        InputError: no such regularizer; the message lists them.
    """
    if unknown := sorted(set(weights) - set(REGULARIZERS)):
        raise InputError(f"no regularizer is called {unknown[0]!r}: choose from {', '.join(REGULARIZERS)}")
    total = pictures.new_zeros(len(pictures))
    for name, weight in weights.items():
        if weight:  # a weight of 0 takes no time, and gives no 0 · infinity
            total = total + weight * REGULARIZERS[name](pictures)
    return total


def _mean(values: Tensor) -> Tensor:
    """(B, …) -> (B,)."""
    return values.flatten(1).mean(1)
