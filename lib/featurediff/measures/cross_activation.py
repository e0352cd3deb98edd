"""Cross activation, 2 × 2: the base's and the tuned network's picture of a channel, each shown to both networks.

Two pictures can differ although the channel has not changed: many pictures excite a channel equally well. What
tells is whether the tuned channel still answers to the base's picture. The activation is the objective that the
pictures were optimised for, with two differences: it is taken after the ReLU, and without transforms, of the
picture as it was saved.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.arrays import check_picture
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD, normalize
from feature_vis.networks.activations import activations_of, layer_shapes
from feature_vis.objectives import Objectives, values

__all__ = ["COLUMNS", "cross_activation"]

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "base_picture_in_base": ("activation", "the base's channel, looking at the base's picture"),
    "base_picture_in_tuned": ("activation", "the tuned network's channel, looking at the base's picture"),
    "tuned_picture_in_base": ("activation", "the base's channel, looking at the tuned network's picture"),
    "tuned_picture_in_tuned": ("activation", "the tuned network's channel, looking at its own picture"),
    "base_likes_tuned_picture": ("ratio", "tuned_picture_in_base / base_picture_in_base; 1: as much as its own"),
    "tuned_likes_base_picture": ("ratio", "base_picture_in_tuned / tuned_picture_in_tuned; 1: as much as its own"),
    "reason": ("", "why values of the row are empty"),
}


def cross_activation(
    base: nn.Module,
    tuned: nn.Module,
    layer: str,
    channels: Sequence[int],
    base_pictures: Iterable[np.ndarray],
    tuned_pictures: Iterable[np.ndarray],
    *,
    batch: int = 32,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> pd.DataFrame:
    """Show each channel's two pictures to both networks: a row a channel, in the given order, see `COLUMNS`.

    Pictures are (H, W, 3) uint8, one for each of `channels`, as an array (N, H, W, 3) or one after the other; those
    of a batch have one size. A batch is held in memory at a time.

    Raises:
        InputError: a layer or channel that does not exist, too few or too many pictures, or unusable ones.
    """
    networks = {"base": Objectives(base, mean, std), "tuned": Objectives(tuned, mean, std)}
    pictures = {"base": iter(base_pictures), "tuned": iter(tuned_pictures)}
    found: dict[str, list[float]] = {f"{shown}_picture_in_{name}": [] for shown in pictures for name in networks}
    for start in range(0, len(channels), batch):
        some = channels[start : start + batch]
        for shown, rest in pictures.items():
            shots = _stacked(list(islice(rest, len(some))), some, shown)  # (B, 3, H, W) in [0, 1]
            for name, network in networks.items():
                found[f"{shown}_picture_in_{name}"] += _activations(network, layer, some, shots)
    for shown, rest in pictures.items():
        if next(rest, None) is not None:
            raise InputError(f"there are more pictures of {shown} than the {len(channels)} channels")
    return _table(layer, channels, found)


def _activations(network: Objectives, layer: str, channels: Sequence[int], pictures: Tensor) -> list[float]:
    """Of channel b for picture b."""
    model = network.model.eval()
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    shapes, problems = layer_shapes(model, [layer], (pictures.shape[2], pictures.shape[3]))
    if problems:
        raise InputError("\n".join(problems))
    inputs = normalize(pictures.to(device), network.mean, network.std)
    with activations_of(model, [layer], axes={layer: shapes[layer][1]}) as activations, torch.no_grad():
        answer = activations(inputs)[layer]
    objectives = [network(layer, int(channel)) for channel in channels]
    return [float(value) for value in values(objectives, lambda _source, _layer: answer, device)]


def _stacked(pictures: list[np.ndarray], channels: Sequence[int], shown: str) -> Tensor:
    """(B, 3, H, W) in [0, 1]"""
    if len(pictures) < len(channels):
        raise InputError(f"there is no picture of {shown} for channel {channels[len(pictures)]}")
    for channel, picture in zip(channels, pictures, strict=True):
        check_picture(picture)
        if picture.shape != pictures[0].shape:
            sizes = " and ".join(f"{one.shape[1]}×{one.shape[0]}" for one in (pictures[0], picture))
            raise InputError(f"the pictures of {shown} differ in size, at channel {channel}: {sizes} px")
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def _table(layer: str, channels: Sequence[int], found: dict[str, list[float]]) -> pd.DataFrame:
    table = pd.DataFrame({name: np.array(values, np.float64) for name, values in found.items()})
    table.insert(0, "layer", layer)
    table.insert(1, "channel", np.array(channels, np.int64))
    reasons: list[pd.Series] = []
    for name, other in (("base", "tuned"), ("tuned", "base")):
        own, foreign = table[f"{name}_picture_in_{name}"], table[f"{other}_picture_in_{name}"]
        finite = np.isfinite(own) & np.isfinite(foreign)
        excited = own > 0  # of a channel that its own picture does not excite, no share can be taken
        table[f"{name}_likes_{other}_picture"] = (foreign / own.where(excited)).where(finite)
        reasons.append(pd.Series("", index=table.index).mask(~finite, f"activation of {name} not finite"))
        reasons.append(pd.Series("", index=table.index).mask(finite & ~excited, f"{name}'s picture does not excite it"))
    table["reason"] = ["; ".join(filter(None, row)) for row in zip(*reasons, strict=True)]
    return table
