"""Random transforms between the picture and the network: the picture must excite under all of them.

One contract: `draw(transforms, steps, seed…)` → all random numbers of one picture's run, `apply(pictures,
transforms, draws, steps)` → what the network sees. Every picture is moved by its own draws, so what it becomes
does not depend on its company. The geometric parts of one step are composed into one affine matrix and sampled
once; the original sampled four times and lost sharpness with each.

The parts come in one order: pad, translate, scale, rotate, translate, trim, crop, flip, blur, noise.

Sources: transfer-visualization `feature_vis/transforms.py`, lucid `optvis/transform.py`, lucent
`optvis/transform.py`, Horama `maco_fv.py` (crops with noise).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.seeding import generator

__all__ = ["PRESETS", "Draws", "Transforms", "apply", "draw", "frame", "resolve", "warp"]

# What lies outside the picture: its mirror image, or one grey value in [0, 1].
Fill = Literal["reflection"] | float


@dataclass(frozen=True)
class Transforms:
    """What one step may do to a picture, in this order; each part is drawn uniformly. The default does nothing.

    `pad`: pixels put on each side, filled with `fill`. `translate`: largest shift before and after scaling and
    rotating, in whole pixels to either side. `scale`: the factors to choose from; above 1 magnifies. `rotate`: the
    angles to choose from, in degrees. `trim`: pixels cut off each side again. `crop`: smallest and largest share
    of the side that a random window keeps, resized to the full frame. `flip`: mirror left and right, half the
    time. `blur`: largest standard deviation of a Gaussian, in pixels. `noise`: standard deviation of what is added
    to each value, for colours in [0, 1]. `fill`: "reflection" about the border pixels, or a grey value.

    Raises:
        InputError: a value outside its range.
    """

    pad: int = 0
    translate: tuple[int, int] = (0, 0)
    scale: tuple[float, ...] = (1.0,)
    rotate: tuple[float, ...] = (0.0,)
    trim: int = 0
    crop: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    blur: float = 0.0
    noise: float = 0.0
    fill: Fill = "reflection"

    def __post_init__(self) -> None:
        if min(self.pad, self.trim, *self.translate, self.blur, self.noise) < 0:
            raise InputError(f"pad, translate, trim, blur and noise cannot be negative: {self}")
        if not self.scale or min(self.scale) <= 0:
            raise InputError(f"scale {self.scale}: at least one factor, each above 0")
        if not self.rotate:
            raise InputError("rotate (): at least one angle, such as 0")
        if not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise InputError(f"crop {self.crop}: the smallest and the largest share of the side, above 0, at most 1")
        if self.fill != "reflection" and not (isinstance(self.fill, int | float) and 0 <= self.fill <= 1):
            raise InputError(f'fill {self.fill!r}: "reflection" or a grey value from 0 to 1')

    @property
    def moves(self) -> bool:
        """Whether any pixel changes its place; padding that is trimmed off again moves none."""
        still = self.pad == self.trim and not any(self.translate) and not any(self.rotate) and not self.flip
        return not still or set(self.scale) != {1.0} or self.crop != (1.0, 1.0)

    def scaled(self, factor: float) -> "Transforms":
        """The same relative to a picture `factor` times as large; whole pixels stay whole (halves go up).

        Raises:
            InputError: a factor that is not above 0.
        """
        if not factor > 0:
            raise InputError(f"transforms cannot be scaled by {factor}: the factor must be above 0")
        return replace(
            self,
            pad=_rounded(self.pad * factor),
            translate=(_rounded(self.translate[0] * factor), _rounded(self.translate[1] * factor)),
            trim=_rounded(self.trim * factor),
            blur=self.blur * factor,
        )


@dataclass(frozen=True, eq=False)
class Draws:
    """All random numbers of one picture's run of T steps, on the CPU.

    `matrices`: (T, 2, 3), see `warp`. `windows`: (T, 2), x and y of the cropped window's centre, in half-sides of
    the window, None without crops. `sigmas`: (T,), of the blur in pixels, None without blur. `seed`: the noise of
    a step is drawn from it when it is needed; stored for a whole run it would outgrow the network.
    """

    matrices: Tensor
    windows: Tensor | None
    sigmas: Tensor | None
    seed: tuple[str | int, ...]


def resolve(named: str | Mapping[str, Any]) -> Transforms:
    """The preset of that name, or the transforms of these settings.

    Raises:
        InputError: no such preset or setting; the message names them all.
    """
    if isinstance(named, str):
        if named not in PRESETS:
            raise InputError(f"no transforms are called {named!r}: choose one of {', '.join(PRESETS)}")
        return PRESETS[named]
    known = [known.name for known in fields(Transforms)]
    if unknown := sorted(set(named) - set(known)):
        raise InputError(f"transforms have no {', '.join(unknown)}: they have {', '.join(known)}")
    # a config's lists are tuples here
    settings: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in named.items()}
    return Transforms(**settings)


def frame(size: tuple[int, int], transforms: Transforms) -> tuple[int, int]:
    """(H, W) of the picture -> (H', W') that the network sees.

    Raises:
        InputError: the transforms trim the picture away.
    """
    margin = 2 * (transforms.pad - transforms.trim)
    height, width = size[0] + margin, size[1] + margin
    if min(height, width) < 1:
        raise InputError(f"these transforms trim {-margin} px off a picture of {size[0]} × {size[1]}: nothing is left")
    return height, width


def draw(transforms: Transforms, steps: int, *seed: str | int) -> Draws:
    """One picture's random numbers for all its steps, from the given seed alone.

    A longer run begins with the draws of a shorter one. Presets that differ only in their ranges draw alike: the
    same seed shifts, scales and turns by the same share of them.
    """
    u = torch.rand((steps, 6), generator=generator(*seed, "transforms"))  # (T, 6)
    before = _whole_numbers(u[:, 0:2], transforms.translate[0])  # (T, 2), pixels
    after = _whole_numbers(u[:, 2:4], transforms.translate[1])  # (T, 2), pixels
    factor = _choice(u[:, 4], transforms.scale)  # (T,)
    angle = torch.deg2rad(_choice(u[:, 5], transforms.rotate))  # (T,)

    # a pixel of the frame → one of the picture: p_in = R(-angle) (p_out - after) / factor - before
    cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
    linear = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)  # (T, 2, 2)
    shift = -(linear @ after.unsqueeze(-1)) - before.unsqueeze(-1)  # (T, 2, 1)

    # their own stream, so that a preset without them draws as it did before they existed
    v = torch.rand((steps, 5), generator=generator(*seed, "windows"))  # (T, 5)
    windows = None
    if transforms.crop != (1.0, 1.0):
        smallest, largest = transforms.crop
        share = smallest + (largest - smallest) * v[:, 0:1]  # (T, 1)
        linear = linear * share.unsqueeze(-1)
        windows = (2 * v[:, 1:3] - 1) * (1 - share) / share  # (T, 2), from one edge of the frame to the other
    if transforms.flip:
        side = torch.where(v[:, 3] < 0.5, -1.0, 1.0)  # (T,)
        linear = linear * torch.stack([side, torch.ones_like(side)], -1).unsqueeze(-2)  # x alone
    sigmas = v[:, 4] * transforms.blur if transforms.blur else None  # (T,)
    return Draws(torch.cat([linear, shift], -1), windows, sigmas, seed)


def apply(pictures: Tensor, transforms: Transforms, draws: Sequence[Draws], steps: Sequence[int]) -> Tensor:
    """Each picture under its own draws for its own step: (B, C, H, W) in [0, 1] -> (B, C, H', W'), see `frame`.

    `draws`: one a picture, from `draw` with the same transforms. `steps`: one a picture, from 0. Pictures that
    nothing happens to come back as they are. Only noise leaves [0, 1]: cut off there, it would be a bias for dark
    and bright pictures. Differentiable; the random numbers go to wherever the pictures are.

    Raises:
        InputError: not one of each a picture, a step that was not drawn, or nothing left of the picture.
    """
    if not len(pictures) == len(draws) == len(steps):
        raise InputError(f"{len(pictures)} pictures, {len(draws)} draws, {len(steps)} steps: one of each a picture")
    for drawn, step in zip(draws, steps, strict=True):
        if not 0 <= step < len(drawn.matrices):
            raise InputError(f"step {step} was not drawn: there are {len(drawn.matrices)}, from 0")
    height, width = frame((pictures.shape[-2], pictures.shape[-1]), transforms)
    if transforms.moves:
        matrices = torch.stack([drawn.matrices[step] for drawn, step in zip(draws, steps, strict=True)])  # (B, 2, 3)
        windows = _of_steps([drawn.windows for drawn in draws], steps)
        if windows is not None:
            centre = windows * torch.tensor([width / 2, height / 2])  # (B, 2), pixels of the window
            moved = matrices[:, :, 2:] + matrices[:, :, :2] @ centre.unsqueeze(-1)  # (B, 2, 1)
            matrices = torch.cat([matrices[:, :, :2], moved], -1)
        pictures = warp(pictures, matrices, (height, width), transforms.fill)
    sigmas = _of_steps([drawn.sigmas for drawn in draws], steps)
    if sigmas is not None:
        pictures = _blur(pictures, sigmas, math.ceil(3 * transforms.blur))
    if transforms.noise:
        noise = [
            torch.randn(pictures.shape[1:], generator=generator(*drawn.seed, "noise", step))
            for drawn, step in zip(draws, steps, strict=True)
        ]
        pictures = pictures + transforms.noise * _beside(torch.stack(noise), pictures)
    return pictures


def warp(pictures: Tensor, matrices: Tensor, size: tuple[int, int] | None = None, fill: Fill = "reflection") -> Tensor:
    """Sample each picture under its own matrix, bilinearly: (B, C, H, W), (B, 2, 3) -> (B, C, H', W').

    A matrix maps a pixel of the result to one of the picture, `p_in = A p_out + b`, both (x, y) counted in pixels
    from their own centres. `size`: (H', W'), the picture's own by default. `fill`: what lies outside the picture;
    "reflection" mirrors it about the centres of its border pixels, endlessly. Pictures in float32 or float64:
    narrower types cannot hold the positions.
    """
    height, width = pictures.shape[-2:]
    to_height, to_width = size or (height, width)
    # grid_sample's units have the centres of the corner pixels at ±1 (align_corners); so reflection is about them
    rows = matrices.to(pictures.dtype).split(1, 1)  # twice (B, 1, 3)
    units = [row / (max(side - 1, 1) / 2) for row, side in zip(rows, (width, height), strict=True)]
    matrices = _beside(torch.cat(units, 1), pictures)  # (B, 2, 3)
    # The map is affine, so the grid is a sum of what x and what y contribute: a tenth of the time of affine_grid,
    # which multiplies every single position by the matrix.
    across = matrices[:, :, 0:1] * _positions(to_width, matrices)  # (B, 2, W')
    down = matrices[:, :, 1:2] * _positions(to_height, matrices) + matrices[:, :, 2:3]  # (B, 2, H')
    grid = (down.unsqueeze(3) + across.unsqueeze(2)).permute(0, 2, 3, 1)  # (B, H', W', 2)
    if fill == "reflection":
        return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    # only zero can be put outside: so the value meant is zero meanwhile
    return F.grid_sample(pictures - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=True) + fill


def _blur(pictures: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Gaussian of each picture's own standard deviation: (B, C, H, W), (B,) pixels -> (B, C, H, W).

    The borders are mirrored with their outermost pixels repeated: then every pixel gives away as much as it
    counts, and the mean colour stays.
    """
    batch, channels, height, width = pictures.shape
    offsets = torch.arange(-radius, radius + 1)  # (K,)
    # a standard deviation near 0 leaves one weight of 1 in the middle
    weights = torch.exp(-0.5 * (offsets / sigmas.clamp(min=1e-3).unsqueeze(1)) ** 2)  # (B, K)
    weights = weights / weights.sum(1, keepdim=True)
    kernel = _beside(weights.repeat_interleave(channels, 0), pictures).unsqueeze(1)  # (B · C, 1, K)
    planes = pictures.reshape(1, batch * channels, height, width)
    planes = F.conv2d(_mirrored(planes, 2, radius), kernel.unsqueeze(3), groups=batch * channels)
    planes = F.conv2d(_mirrored(planes, 3, radius), kernel.unsqueeze(2), groups=batch * channels)
    return planes.reshape(batch, channels, height, width)


def _mirrored(pictures: Tensor, dim: int, radius: int) -> Tensor:
    """`radius` more pixels on both sides of one dimension: `b a | a b c d | d c`, as often as needed."""
    side = pictures.shape[dim]
    index = torch.arange(-radius, side + radius, device=pictures.device) % (2 * side)
    return pictures.index_select(dim, torch.minimum(index, 2 * side - 1 - index))


def _positions(side: int, like: Tensor) -> Tensor:
    """(side,) positions of the pixels, from the centre."""
    return torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2


def _of_steps(rows: Sequence[Tensor | None], steps: Sequence[int]) -> Tensor | None:
    """Each picture's (T, …) at its own step -> (B, …); None where the pictures have none."""
    chosen = [row[step] for row, step in zip(rows, steps, strict=True) if row is not None]
    return torch.stack(chosen) if chosen else None


def _beside(drawn: Tensor, pictures: Tensor) -> Tensor:
    """The numbers in the pictures' type, on their device. Not blocking: the device is given no pause for it."""
    return drawn.to(pictures.device, pictures.dtype, non_blocking=True)


def _choice(u: Tensor, values: Sequence[float]) -> Tensor:
    """[0, 1) -> one of the values, each as likely."""
    return torch.tensor(values, dtype=u.dtype)[(u * len(values)).long()]


def _whole_numbers(u: Tensor, largest: int) -> Tensor:
    """[0, 1) -> whole numbers from -largest to largest, each as likely."""
    return torch.floor(u * (2 * largest + 1)) - largest


def _rounded(pixels: float) -> int:
    return math.floor(pixels + 0.5)


_ORIGINAL_SCALE = (1.0, 0.975, 1.025, 0.95, 1.05)
_ORIGINAL_ROTATE = tuple(range(-5, 6))

PRESETS = {
    # The original's, for pictures of 400 px. It shifts by fractions of a pixel and loses what leaves the padded
    # frame; here shifts are whole, and the mirror image goes on.
    "paper": Transforms(pad=16, translate=(16, 8), scale=_ORIGINAL_SCALE, rotate=_ORIGINAL_ROTATE, trim=16),
    # the same for small pictures, where a shift of 16 px would carry a quarter of the picture away
    "small": Transforms(translate=(4, 2), scale=_ORIGINAL_SCALE, rotate=_ORIGINAL_ROTATE),
    # lucid's and lucent's standard_transforms: pad 12 with grey, jitter 8, scale, rotate (0 more often), jitter 4.
    # A jitter of 8 there cuts 8 px off the frame at a random place: a shift of ±4 and 4 px trimmed off each side.
    # So the network sees 12 px more than the picture has.
    "lucid": Transforms(
        pad=12,
        fill=0.5,
        translate=(8 // 2, 4 // 2),
        scale=tuple(1 + (i - 5) / 50 for i in range(11)),
        rotate=(*range(-10, 11), *[0] * 5),
        trim=8 // 2 + 4 // 2,
    ),
    # Crops with noise, after MACO and Horama. Theirs keep 0.2 to 0.3 of 1280 px, many a step; here one a step of a
    # picture the network could see whole, so the windows are larger.
    "crops": Transforms(crop=(0.4, 0.9), noise=0.08),
    "none": Transforms(),
}
