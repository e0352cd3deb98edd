"""Where did two networks move apart most? For a comparison in which no layers and channels are named.

With photographs the measure is 1 - Pearson's correlation of a channel's mean activation in both networks. Without, it
is how far the filter of the channel moved, relative to its length (`featurediff.measures.weight_change`).
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of
from feature_vis.networks.structure import require_layer_shapes
from featurediff.measures.activation_statistics import correlation
from featurediff.measures.receptive_fields import maps
from featurediff.measures.weight_change import weight_change

__all__ = ["activations_moved", "most_moved_layers", "sample_channels", "weights_moved"]

Moved = dict[str, np.ndarray]  # layer -> (K,): 0 for a channel that did not move, or that cannot be measured


def activations_moved(
    base: nn.Module, tuned: nn.Module, layers: Collection[str], batches: Iterable[Tensor], size: tuple[int, int]
) -> Moved:
    """Show photographs to both networks. `batches`: (B, 3, height, width) of `size`, normalised, on their device.

    Raises:
        InputError: layers that do not exist, or fewer than 3 photographs, which have no meaningful correlation.
    """
    axes = {layer: axis for layer, (_, axis) in require_layer_shapes(base, layers, size).items()}
    means: dict[str, list[np.ndarray]] = {layer: [] for layer in axes}  # (2, B, K) each
    with (
        activations_of(base.eval(), axes, axes=axes) as in_base,
        activations_of(tuned.eval(), axes, axes=axes) as in_tuned,
        torch.no_grad(),
    ):
        for pictures in batches:
            sides = in_base(pictures), in_tuned(pictures)
            for layer, parts in means.items():
                of_both = (maps(side[layer]).mean(2, dtype=torch.float64).cpu().numpy() for side in sides)
                parts.append(np.stack(list(of_both)))
    if sum(part.shape[1] for part in next(iter(means.values()), [])) < 3:
        raise InputError("fewer than 3 photographs can be shown to the networks: their activations cannot be compared")
    joined = {layer: np.concatenate(parts, 1) for layer, parts in means.items()}  # (2, N, K) each
    return {layer: np.nan_to_num(1 - correlation(activations), nan=0.0) for layer, activations in joined.items()}


def weights_moved(base: nn.Module, tuned: nn.Module, layers: Collection[str], size: tuple[int, int]) -> Moved:
    """`size`: height and width of a picture that the networks take."""
    table = weight_change(base, tuned, layers, size=size)
    rows = {layer: table[table["layer"] == layer].sort_values("channel") for layer in layers}
    return {layer: np.nan_to_num(found["weight_change"].to_numpy(np.float64), nan=0.0) for layer, found in rows.items()}


def most_moved_layers(moved: Mapping[str, np.ndarray], count: int) -> list[str]:
    """The `count` layers whose channels moved most on average, in the network's order; never one that did not move."""
    means = {layer: float(values.mean()) for layer, values in moved.items()}
    most = sorted((layer for layer in moved if means[layer] > 0), key=lambda layer: -means[layer])[:count]
    return [layer for layer in moved if layer in most]


def sample_channels(moved: np.ndarray, count: int) -> list[int]:
    """Channels to compare: one half moved most, the other half is evenly spaced among the rest, by how far they moved.

    Whether a channel changed more than its layer can only be judged against channels that were not chosen for it.
    """
    order = np.argsort(-moved, kind="stable").tolist()
    most = (count + 1) // 2
    rest = order[most:]
    spaced = np.linspace(0, max(len(rest) - 1, 0), min(count - most, len(rest))).round().astype(int)
    return sorted({*order[:most], *(rest[place] for place in spaced)})
