"""Where did two networks move apart most? For who compares them and names no layers and channels.

By activations on photographs, where there are some: 1 - Pearson's correlation of a channel's mean activation in both.
By weights elsewhere: how far the filter that makes the channel moved, a share of its length
(`featurediff.measures.weight_change`).
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of, layer_shapes
from featurediff.measures.accumulators import Moments
from featurediff.measures.receptive_fields import maps
from featurediff.measures.weight_change import weight_change

__all__ = ["activations_moved", "choose_channels", "choose_layers", "weights_moved"]

Moved = dict[str, np.ndarray]  # layer -> (K,): 0 where a channel did not move, or nobody can tell


def activations_moved(
    base: nn.Module, tuned: nn.Module, layers: Collection[str], batches: Iterable[Tensor], size: tuple[int, int]
) -> Moved:
    """Show photographs to both networks: `batches`, (B, 3, height, width), of `size`, normalised, on their device.

    Raises:
        InputError: layers that do not exist, or fewer than 3 photographs, of which no correlation can be taken.
    """
    shapes, problems = layer_shapes(base, layers, size)
    if problems:
        raise InputError("\n".join(problems))
    axes = {layer: axis for layer, (_, axis) in shapes.items()}
    moments = {layer: Moments(shape[axis]) for layer, (shape, axis) in shapes.items()}
    with (
        activations_of(base.eval(), layers, axes=axes) as in_base,
        activations_of(tuned.eval(), layers, axes=axes) as in_tuned,
        torch.no_grad(),
    ):
        for pictures in batches:
            before, after = in_base(pictures), in_tuned(pictures)
            for layer, sums in moments.items():
                means = (maps(side[layer]).mean(2, dtype=torch.float64) for side in (before, after))
                sums.add(np.stack([mean.cpu().numpy() for mean in means]))
    if min((sums.count for sums in moments.values()), default=0) < 3:
        raise InputError("fewer than 3 photographs can be shown to the networks: nothing can be said of their answers")
    return {layer: np.nan_to_num(1 - sums.correlation(), nan=0.0) for layer, sums in moments.items()}


def weights_moved(base: nn.Module, tuned: nn.Module, layers: Collection[str], size: tuple[int, int]) -> Moved:
    """`size`: height and width of a picture that the networks take."""
    table = weight_change(base, tuned, layers, size=size)
    rows = {layer: table[table["layer"] == layer].sort_values("channel") for layer in layers}
    return {layer: np.nan_to_num(found["weight_change"].to_numpy(np.float64), nan=0.0) for layer, found in rows.items()}


def choose_layers(moved: Mapping[str, np.ndarray], count: int) -> list[str]:
    """The `count` layers whose channels moved most, in the mean, in the network's order; none that did not move."""
    means = {layer: float(values.mean()) for layer, values in moved.items()}
    most = sorted((layer for layer in moved if means[layer] > 0), key=lambda layer: -means[layer])[:count]
    return [layer for layer in moved if layer in most]


def choose_channels(moved: np.ndarray, count: int) -> list[int]:
    """Half of them those that moved most, the other half evenly spaced among the others, from most to least moved.

    What a channel changed more than its layer can be said only beside channels that were not chosen for it.
    """
    order = np.argsort(-moved, kind="stable").tolist()
    most = (count + 1) // 2
    rest = order[most:]
    spaced = np.linspace(0, max(len(rest) - 1, 0), min(count - most, len(rest))).round().astype(int)
    return sorted({*order[:most], *(rest[place] for place in spaced)})
