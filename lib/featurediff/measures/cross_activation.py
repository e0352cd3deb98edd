"""Cross activation, 2 × 2: the base's and the tuned network's picture of a channel, each shown to both networks.

Two pictures can differ although the channel has not changed, because many pictures excite a channel equally well. The
better question is whether the tuned channel still responds to the base's picture. The activation is the objective of
the pictures, with two differences: it is taken after the ReLU, and of the saved picture, without transforms.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.evaluation import values
from feature_vis.images.batches import picture_batches
from feature_vis.images.colors import normalize
from feature_vis.networks.activations import activations_of, device_of
from feature_vis.networks.structure import require_layer_shapes
from feature_vis.objectives import Objectives
from featurediff.runtime.tables import join_reasons

__all__ = ["COLUMNS", "cross_activation", "shared_channel_axis"]

_BATCH = 32

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "base_picture_in_base": ("activation", "activation of the base's channel for the base's picture"),
    "base_picture_in_tuned": ("activation", "activation of the tuned network's channel for the base's picture"),
    "tuned_picture_in_base": ("activation", "activation of the base's channel for the tuned network's picture"),
    "tuned_picture_in_tuned": ("activation", "activation of the tuned network's channel for its own picture"),
    "base_likes_tuned_picture": ("ratio", "tuned_picture_in_base / base_picture_in_base; 1: as much as its own"),
    "tuned_likes_base_picture": ("ratio", "base_picture_in_tuned / tuned_picture_in_tuned; 1: as much as its own"),
    "reason": ("", "why values of the row are empty"),
}


def cross_activation(
    base: nn.Module,
    tuned: nn.Module,
    layer: str,
    channels: Sequence[int],
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    """Show each channel's two pictures to both networks: a row a channel, in the given order, see `COLUMNS`.

    `pairs`: for each of `channels` the base's picture and the tuned network's, (H, W, 3) uint8. One batch of them is
    held in memory at a time.

    Raises:
        InputError: a layer or channel that does not exist, too few or too many pairs, or unusable pictures.
    """
    networks = {"base": Objectives(base), "tuned": Objectives(tuned)}
    found: dict[str, list[float]] = {f"{shown}_picture_in_{name}": [] for shown in networks for name in networks}
    axis, done = None, 0
    for batch in picture_batches(pairs, _BATCH):
        some = channels[done : done + len(batch[0])]
        done += len(batch[0])
        if done > len(channels):
            break
        if axis is None:
            axis = shared_channel_axis(base, tuned, layer, channels, (batch[0].shape[2], batch[0].shape[3]))
        for shown, pictures in zip(networks, batch, strict=True):
            for name, network in networks.items():
                found[f"{shown}_picture_in_{name}"] += _activations(network, layer, axis, some, pictures)
    if done != len(channels):
        raise InputError(f"{layer}: {len(channels)} channels need as many pairs of pictures")
    return _table(layer, channels, found)


def shared_channel_axis(
    base: nn.Module, tuned: nn.Module, layer: str, channels: Sequence[int], size: tuple[int, int]
) -> int:
    """The axis of the layer's channels in both networks, for pictures of `size`, (height, width).

    Raises:
        InputError: a layer or channel that does not exist, or networks that differ in the layer's number of channels.
    """
    (shape, axis), (other, _) = (require_layer_shapes(model, [layer], size)[layer] for model in (base, tuned))
    name = layer or "the output"
    if other[axis] != shape[axis]:
        raise InputError(f"{name} differs between base and tuned network: {shape} and {other}")
    if unknown := [channel for channel in channels if not 0 <= channel < shape[axis]]:
        raise InputError(f"{name} has {shape[axis]} channels, 0 to {shape[axis] - 1}, not {unknown}")
    return axis


def _activations(network: Objectives, layer: str, axis: int, channels: Sequence[int], pictures: Tensor) -> list[float]:
    """The activation of channel b for picture b, (B, 3, H, W)."""
    model = network.model.eval()
    inputs = normalize(pictures.to(device_of(model)), network.mean, network.std)
    with activations_of(model, [layer], axes={layer: axis}) as activations, torch.no_grad():
        activation = activations(inputs)[layer]
    objectives = [network(layer, int(channel)) for channel in channels]
    return [float(value) for value in values(objectives, lambda *_: activation, device_of(model))]


def _table(layer: str, channels: Sequence[int], found: dict[str, list[float]]) -> pd.DataFrame:
    table = pd.DataFrame({name: np.array(values, np.float64) for name, values in found.items()})
    table.insert(0, "layer", layer)
    table.insert(1, "channel", np.array(channels, np.int64))
    reasons = {}
    for name, other in (("base", "tuned"), ("tuned", "base")):
        own, foreign = table[f"{name}_picture_in_{name}"], table[f"{other}_picture_in_{name}"]
        finite = np.isfinite(own) & np.isfinite(foreign)
        excited = own > 0  # no ratio can be taken for a channel that its own picture does not excite
        table[f"{name}_likes_{other}_picture"] = (foreign / own.where(excited)).where(finite)
        reasons[f"activation of {name} not finite"] = ~finite
        reasons[f"{name}'s picture does not excite it"] = finite & ~excited
    table["reason"] = join_reasons(reasons)
    return table
