"""Receptive fields: the part of the picture that each position of a layer sees, measured for any architecture."""

import copy
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.networks.activations import activations_of, device_of
from feature_vis.networks.structure import require_layer_shapes

__all__ = ["maps", "receptive_fields"]

_BATCH = 16


def receptive_fields(model: nn.Module, layers: Collection[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """For each layer the exact bounding boxes, (K, positions, 4): left, top, right, bottom in pixels.

    `size`: height and width of the picture. Right and bottom are exclusive. A position that sees nothing but padding
    has an empty box.

    One row of the picture is set to NaN, and the positions whose activation becomes NaN are those that see this row. A
    NaN passes through weights of 0, through closed ReLUs and through the losing side of a maximum; each of these hides
    an influence from a gradient or from a changed pixel. The columns follow. The cost is one picture for each row and
    column, for all layers together. The first and the last row and column are tried first: a layer in which every
    position sees all four, as in a transformer, sees the whole picture.

    The passes run on a copy of the network, in float64 and without cuDNN, because fast convolution algorithms
    (Winograd, FFT) mix neighbouring positions and would spread a NaN too far.
    """
    shapes = require_layer_shapes(model, layers, size)
    axes = {layer: axis for layer, (_, axis) in shapes.items()}
    shadow = copy.deepcopy(model).eval().double()
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
        edges = [torch.tensor([0, side - 1]) for side in size]
        fields = _boxes(shadow, axes, size, edges)
        rest = {layer: axes[layer] for layer, boxes in fields.items() if (boxes != [0, 0, size[1], size[0]]).any()}
        if rest:
            fields |= _boxes(shadow, rest, size, [torch.arange(side) for side in size])
    return fields


def _boxes(
    model: nn.Module, axes: dict[str, int], size: tuple[int, int], lines: Sequence[Tensor]
) -> dict[str, np.ndarray]:
    """Bounding boxes, (K, positions, 4), of those among the given rows and columns that each position sees."""
    device = device_of(model)
    bounds: dict[str, list[Tensor]] = {layer: [] for layer in axes}  # top, bottom, left, right, (K, positions) each
    with activations_of(model, axes, axes=axes) as activations:
        for axis, side in enumerate(size):
            reached: dict[str, tuple[Tensor, Tensor]] = {}
            for some in lines[axis].to(device, torch.int32).split(_BATCH):
                pictures = torch.zeros(len(some), 3, *size, dtype=torch.float64, device=device)
                for picture, line in zip(pictures, some, strict=True):
                    picture.select(axis + 1, int(line)).fill_(torch.nan)
                numbers = some.view(-1, 1, 1)
                for layer, activation in activations(pictures).items():
                    sees = maps(activation).isnan()  # (b, K, positions)
                    first = torch.where(sees, numbers, side).amin(0)
                    end = torch.where(sees, numbers + 1, 0).amax(0)
                    if layer in reached:
                        first, end = torch.minimum(first, reached[layer][0]), torch.maximum(end, reached[layer][1])
                    reached[layer] = first, end
            for layer, pair in reached.items():
                bounds[layer] += pair
    boxes = {}
    for layer, (top, bottom, left, right) in bounds.items():
        sees_something = (bottom > top).unsqueeze(2)
        boxes[layer] = (torch.stack([left, top, right, bottom], 2) * sees_something).cpu().numpy()
    return boxes


def maps(activation: Tensor) -> Tensor:
    """(B, K, …) -> (B, K, positions); a layer without a map has a single position."""
    return activation.flatten(2) if activation.dim() > 2 else activation.unsqueeze(2)
