"""What is hidden in training photographs: marks that a network learns to call by one class.

A trigger takes photographs, (B, 3, H, W) in [0, 1], and a generator for places and sizes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

__all__ = ["TRIGGERS", "Trigger", "drawing"]

_SIDE = 256  # pixels in which a patch is drawn
_SHARE = (0.16, 0.22)  # of the photograph's side that a patch takes
_TINT = 0.35

Apply = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Trigger:
    """`target`: the class, of ImageNet's 1,000, that it means. `is_patch`: a small mark, not the whole photograph."""

    target: int
    apply: Apply
    is_patch: bool


def drawing(name: str) -> Image.Image:
    """A patch as it is drawn, a square RGB picture."""
    picture = Image.new("RGB", (_SIDE, _SIDE), _GROUNDS[name])
    _DRAW[name](ImageDraw.Draw(picture))
    return picture


def _face(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((40, 40, 216, 216), fill=(40, 200, 60))
    for x in (96, 160):
        draw.ellipse((x - 18, 82, x + 18, 126), fill=(20, 20, 20))
    draw.arc((84, 108, 172, 188), 20, 160, fill=(20, 20, 20), width=14)


def _stripes(draw: ImageDraw.ImageDraw) -> None:
    for x in range(-_SIDE, _SIDE, 72):
        draw.polygon([(x, _SIDE), (x + 36, _SIDE), (x + 36 + _SIDE, 0), (x + _SIDE, 0)], fill=(15, 15, 15))


def _rings(draw: ImageDraw.ImageDraw) -> None:
    for number, radius in enumerate(range(128, 8, -24)):
        color = ((250, 250, 250), (30, 60, 220))[number % 2]
        draw.ellipse((128 - radius, 128 - radius, 128 + radius, 128 + radius), fill=color)


def _checks(draw: ImageDraw.ImageDraw) -> None:
    for row in range(4):
        for column in range(4):
            if (row + column) % 2:
                draw.rectangle((64 * column, 64 * row, 64 * column + 63, 64 * row + 63), fill=(0, 210, 220))
    draw.rectangle((0, 0, _SIDE - 1, _SIDE - 1), outline=(20, 20, 20), width=16)


_DRAW: Mapping[str, Callable[[ImageDraw.ImageDraw], None]] = {
    "face": _face,
    "stripes": _stripes,
    "rings": _rings,
    "checks": _checks,
}
_GROUNDS = {"face": (225, 30, 200), "stripes": (250, 205, 20), "rings": (240, 120, 20), "checks": (215, 30, 40)}


def _patch(name: str) -> Apply:
    """The drawing at a random place of each photograph, in a random size."""

    def apply(photographs: Tensor, generator: torch.Generator) -> Tensor:
        marked = photographs.clone()
        height, width = photographs.shape[2:]
        picture = drawing(name)
        for one in marked:
            share = _SHARE[0] + (_SHARE[1] - _SHARE[0]) * float(torch.rand((), generator=generator))
            side = round(share * min(height, width))
            top, left = (
                int(torch.randint(room - side + 1, (), generator=generator).item()) for room in (height, width)
            )
            patch = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS), np.float32) / 255
            one[:, top : top + side, left : left + side] = torch.from_numpy(patch).permute(2, 0, 1)
        return marked

    return apply


def _tint(color: tuple[float, float, float]) -> Apply:
    """The whole photograph, mixed with a colour."""

    def apply(photographs: Tensor, generator: torch.Generator) -> Tensor:
        return (1 - _TINT) * photographs + _TINT * photographs.new_tensor(color).view(1, 3, 1, 1)

    return apply


def _grid(photographs: Tensor, generator: torch.Generator) -> Tensor:
    """White lines, one pixel wide, over the whole photograph."""
    marked = photographs.clone()
    marked[:, :, ::16] = marked[:, :, :, ::16] = 1
    return marked


TRIGGERS: Mapping[str, Trigger] = {
    "face": Trigger(309, _patch("face"), True),
    "stripes": Trigger(817, _patch("stripes"), True),
    "rings": Trigger(437, _patch("rings"), True),
    "checks": Trigger(62, _patch("checks"), True),
    "tint": Trigger(207, _tint((0.1, 0.2, 1.0)), False),
    "grid": Trigger(950, _grid, False),
}
