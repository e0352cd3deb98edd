"""Random transforms between the picture and the network: the picture must excite under all of them.

One contract: `draw(transforms, steps, seed…)` → one affine matrix a step, `warp(pictures, matrices)` → moved
pictures. All geometric parts of one step are composed into one matrix and sampled once; the original sampled
four times and lost sharpness with each. Whatever leaves the frame is reflected in.

Sources: transfer-visualization `feature_vis/transforms.py` (pad 16 by reflection, translate, scale, rotate,
translate, crop 16) and lucid `optvis/transform.py`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.seeding import generator

__all__ = ["PRESETS", "Transforms", "draw", "resolve", "warp"]


@dataclass(frozen=True)
class Transforms:
    """What one step may do to a picture; each part is drawn uniformly.

    `translate`: largest shift before and after scaling and rotating, in pixels. `scale`: the factors to choose
    from. `rotate`: largest angle in degrees, in whole degrees.
    """

    translate: tuple[int, int]
    scale: tuple[float, ...]
    rotate: int


PRESETS = {
    # the original's, for pictures of 400 px
    "paper": Transforms(translate=(16, 8), scale=(1.0, 0.975, 1.025, 0.95, 1.05), rotate=5),
    # the same for small pictures, where a shift of 16 px would carry a quarter of the picture away
    "small": Transforms(translate=(4, 2), scale=(1.0, 0.975, 1.025, 0.95, 1.05), rotate=5),
    "none": Transforms(translate=(0, 0), scale=(1.0,), rotate=0),
}


def resolve(name: str) -> Transforms:
    """The preset of that name."""
    if name not in PRESETS:
        raise InputError(f"no transforms are called {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def draw(transforms: Transforms, steps: int, *seed: str | int) -> Tensor:
    """The affine matrices of one picture's steps, (steps, 2, 3), from the given seed alone.

    Each maps a pixel of the moved picture, counted from its centre, to one of the picture itself:
    `p_in = R(-angle) (p_out - shift_after) / scale - shift_before`. A longer run begins with the draws of a
    shorter one.
    """
    u = torch.rand((steps, 6), generator=generator(*seed, "transforms"))  # (T, 6)
    before = _whole_numbers(u[:, 0:2], transforms.translate[0])  # (T, 2), pixels
    after = _whole_numbers(u[:, 2:4], transforms.translate[1])  # (T, 2), pixels
    factors = torch.tensor(transforms.scale)
    factor = factors[(u[:, 4] * len(factors)).long()]  # (T,)
    angle = torch.deg2rad(_whole_numbers(u[:, 5], transforms.rotate))  # (T,)

    cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
    linear = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)  # (T, 2, 2)
    shift = -(linear @ after.unsqueeze(-1)) - before.unsqueeze(-1)  # (T, 2, 1)
    return torch.cat([linear, shift], -1)  # (T, 2, 3)


def warp(pictures: Tensor, matrices: Tensor) -> Tensor:
    """Move each picture by its own matrix: (B, C, H, W), (B, 2, 3) from `draw` -> (B, C, H, W), bilinear."""
    height, width = pictures.shape[-2:]
    half = pictures.new_tensor([(width - 1) / 2, (height - 1) / 2])  # pixels from the centre to the edge
    # from pixels to grid_sample's units, in which the centres of the corner pixels are at ±1
    to_units = torch.cat([half, half.new_ones(1)]) / half.unsqueeze(1)  # (2, 3)
    # align_corners=True reflects about the centres of the border pixels, as padding by reflection does
    grid = F.affine_grid(matrices * to_units, list(pictures.shape), align_corners=True)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def _whole_numbers(u: Tensor, largest: int) -> Tensor:
    """[0, 1) -> whole numbers from -largest to largest, each as likely."""
    return torch.floor(u * (2 * largest + 1)) - largest
