"""The part of a picture that each unit of a layer can see: its receptive field, measured for any architecture."""

import copy
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of, device_of, layer_shapes

__all__ = ["Fields", "channel_axes", "crop", "maps", "receptive_fields"]

Fields = dict[str, np.ndarray]  # layer -> (K, places, 4): left, top, right, bottom of each unit's receptive field


def receptive_fields(model: nn.Module, layers: Collection[str], size: tuple[int, int], *, batch: int = 16) -> Fields:
    """The part of a picture of `size`, (height, width), that each unit can see, exactly: its bounding box in pixels.

    Measured, for any architecture: a row of NaN is put into a picture, and the units that come out as NaN see that
    row. A NaN passes weights of 0, closed ReLUs and the losing side of a maximum, all of which hide an influence
    from a gradient or from a changed pixel. Then columns; so it takes as many pictures as the size has rows and
    columns, once for all layers. A unit that sees nothing but padding has an empty box.

    A layer of which every unit sees the first and the last row and column, as in a transformer, sees the whole picture,
    and is not looked at further.

    The copy of the network that is used computes in float64 and without cuDNN, since fast convolutions (Winograd,
    FFT) mix neighbouring places and would carry a NaN too far.
    """
    axes = channel_axes(model, layers, size)
    shadow = copy.deepcopy(model).eval().double()
    rest, fields = list(layers), {}
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
        edges = _bounds(shadow, rest, axes, size, [torch.tensor([0, side - 1]) for side in size], batch)
        for layer, (top, bottom, left, right) in edges.items():
            if (
                all((end == side).all() for end, side in ((bottom, size[0]), (right, size[1])))
                and not (top | left).any()
            ):
                fields[layer] = _boxes(top, bottom, left, right)
        rest = [layer for layer in rest if layer not in fields]
        if rest:
            lines = [torch.arange(side) for side in size]
            fields |= {
                layer: _boxes(*found) for layer, found in _bounds(shadow, rest, axes, size, lines, batch).items()
            }
    return fields


def crop(picture: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """The patch of a picture, (H, W, …), in a box left, top, right, bottom, such as a row of `top_images` has."""
    left, top, right, bottom = (int(side) for side in box)
    height, width = picture.shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InputError(f"a picture of {width}×{height} px has no patch {(left, top, right, bottom)}")
    return picture[top:bottom, left:right]


def _bounds(
    model: nn.Module,
    layers: Sequence[str],
    axes: dict[str, int],
    size: tuple[int, int],
    lines: Sequence[Tensor],
    batch: int,
) -> dict[str, list[Tensor]]:
    """Of the given rows and columns those that each unit sees: the first, and the one after the last, (K, places) each:
    rows' first and end, columns' first and end.
    """
    device = device_of(model)
    bounds: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    with activations_of(model, layers, axes=axes) as activations:
        for axis, side in enumerate(size):
            reached: dict[str, tuple[Tensor, Tensor]] = {}
            for some in lines[axis].to(device, torch.int32).split(batch):
                pictures = torch.zeros(len(some), 3, *size, dtype=torch.float64, device=device)
                for picture, line in zip(pictures, some, strict=True):
                    picture.select(axis + 1, int(line)).fill_(torch.nan)
                numbers = some.view(-1, 1, 1)
                for layer, activation in activations(pictures).items():
                    sees = maps(activation).isnan()  # (b, K, places)
                    first = torch.where(sees, numbers, side).amin(0)
                    end = torch.where(sees, numbers + 1, 0).amax(0)
                    if layer in reached:
                        first, end = torch.minimum(first, reached[layer][0]), torch.maximum(end, reached[layer][1])
                    reached[layer] = first, end
            for layer, pair in reached.items():
                bounds[layer] += pair
    return bounds


def _boxes(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> np.ndarray:
    """(K, places) each -> (K, places, 4) left, top, right, bottom; zeros where nothing is seen."""
    boxes = torch.stack([left, top, right, bottom], 2) * (bottom > top).unsqueeze(2)
    return boxes.cpu().numpy()


def channel_axes(model: nn.Module, layers: Collection[str], size: tuple[int, ...]) -> dict[str, int]:
    """Where each layer's channels stand."""
    shapes, problems = layer_shapes(model, layers, (size[0], size[1]))
    if problems:
        raise InputError("\n".join(problems))
    return {layer: axis for layer, (_, axis) in shapes.items()}


def maps(activation: Tensor) -> Tensor:
    """(B, K, …) -> (B, K, places); a layer without a map has one place."""
    return activation.flatten(2) if activation.dim() > 2 else activation.unsqueeze(2)
