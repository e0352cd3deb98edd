"""Random transforms between the picture and the network: the picture must excite under all of them.

`draw(transforms, steps, seed…)` draws all random numbers for one picture's steps, `stack` puts those of a batch on its
device, and `apply(pictures, transforms, draws.at(steps))` gives what the network sees. Every picture has its own draws,
so it does not depend on the others in its batch. The geometric parts of a step are composed into one affine matrix and
sampled once; the original sampled four times and lost sharpness each time.

The order is always: pad, translate, scale, rotate, translate, trim, crop, flip, blur, noise.

Sources: transfer-visualization `feature_vis/transforms.py`, lucid `optvis/transform.py`, lucent
`optvis/transform.py`, Horama `maco_fv.py` (crops with noise).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.seeding import generator

__all__ = ["PRESETS", "Draws", "Transforms", "apply", "draw", "frame", "resolve", "stack", "warp"]

# What lies outside the picture: its mirror image, or one grey value in [0, 1].
Fill = Literal["reflection"] | float


@dataclass(frozen=True)
class Transforms:
    """What one step may do to a picture, in this order; each part is drawn uniformly. The default does nothing.

    Raises:
        InputError: a value outside its range.
    """

    pad: int = 0  # pixels added on each side, filled with `fill`
    translate: tuple[int, int] = (0, 0)  # largest shift before and after scaling and rotating, whole pixels either way
    scale: tuple[float, ...] = (1.0,)  # the factors to choose from; above 1 magnifies
    rotate: tuple[float, ...] = (0.0,)  # the angles to choose from, degrees
    trim: int = 0  # pixels cut off each side again
    crop: tuple[float, float] = (1.0, 1.0)  # smallest and largest share of the side in a random window, then enlarged
    flip: bool = False  # mirror left and right, half the time
    blur: float = 0.0  # largest standard deviation of a Gaussian, pixels
    noise: float = 0.0  # standard deviation of what is added to each value, for colours in [0, 1]
    fill: Fill = "reflection"  # about the border pixels, or a grey value

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
        stays = self.pad == self.trim and not any(self.translate) and not any(self.rotate) and not self.flip
        return not stays or set(self.scale) != {1.0} or self.crop != (1.0, 1.0)

    def scaled(self, factor: float) -> "Transforms":
        """The same transforms for a picture `factor` times as large; whole pixels stay whole (halves round up).

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
    """All random numbers for T steps of one picture, (T, …), or of several, (B, T, …); for one step of each, (B, …).

    The noise itself is computed from its key when it is needed: for all steps it would take more memory than a network.
    """

    matrices: Tensor  # (…, 2, 3), see `warp`
    windows: Tensor | None  # (…, 2), x and y of the cropped window's centre, in half-sides of the window
    sigmas: Tensor | None  # (…), standard deviation of the blur in pixels
    noise_keys: Tensor | None  # (…), int64, see `_noise`

    def at(self, steps: Tensor) -> "Draws":
        """Each picture's own step: (B, T, …), (B,) from 0 to T - 1 -> (B, …)."""
        places = torch.arange(len(steps), device=steps.device), steps
        windows, sigmas, keys = (part if part is None else part[places] for part in self._optional)
        return Draws(self.matrices[places], windows, sigmas, keys)

    @property
    def _optional(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        return self.windows, self.sigmas, self.noise_keys


def resolve(named: str | Mapping[str, Any]) -> Transforms:
    """The preset of that name, or the transforms of these settings.

    Raises:
        InputError: no such preset or setting; the message lists them.
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
    """One picture's random numbers for all its steps, which depend on the seed only.

    More steps begin with the draws of fewer. With the same seed, presets that differ only in their ranges shift, scale
    and rotate by the same share of their ranges.
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

    # a stream of their own, so that presets without them draw as they did before these existed
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
    keys = None
    if transforms.noise:
        keys = torch.randint(-(2**63), 2**63 - 1, (steps,), generator=generator(*seed, "noise"))  # (T,)
    return Draws(torch.cat([linear, shift], -1), windows, sigmas, keys)


def stack(draws: Sequence[Draws], device: torch.device | str = "cpu") -> Draws:
    """Draws of B pictures for as many steps by the same transforms, (T, …) each -> (B, T, …) on the device."""
    windows, sigmas, keys = (
        None if parts[0] is None else torch.stack(parts).to(device)
        for parts in zip(*(drawn._optional for drawn in draws), strict=True)
    )
    return Draws(torch.stack([drawn.matrices for drawn in draws]).to(device), windows, sigmas, keys)


def apply(pictures: Tensor, transforms: Transforms, draws: Draws) -> Tensor:
    """Each picture under its own draws: (B, C, H, W) in [0, 1] -> (B, C, H', W'), see `frame`.

    `draws`: of one step, (B, …), made with the same transforms, on the pictures' device. Only noise leaves [0, 1];
    clipping it would bias dark and bright pictures. Differentiable; nothing is copied from or to the device.

    Raises:
        InputError: draws for another number of pictures, or transforms that leave nothing of the picture.
    """
    if len(pictures) != len(draws.matrices):
        raise InputError(f"{len(pictures)} pictures need as many draws, not {len(draws.matrices)}")
    height, width = frame((pictures.shape[-2], pictures.shape[-1]), transforms)
    if transforms.moves:
        matrices = draws.matrices  # (B, 2, 3)
        if draws.windows is not None:
            x, y = draws.windows[:, 0:1] * (width / 2), draws.windows[:, 1:2] * (height / 2)  # (B, 1), window's pixels
            shift = matrices[:, :, 2] + matrices[:, :, 0] * x + matrices[:, :, 1] * y  # (B, 2)
            matrices = torch.cat([matrices[:, :, :2], shift.unsqueeze(2)], -1)
        pictures = warp(pictures, matrices, (height, width), transforms.fill)
    if draws.sigmas is not None:
        pictures = _blur(pictures, draws.sigmas, math.ceil(3 * transforms.blur))
    if draws.noise_keys is not None:
        pictures = pictures + transforms.noise * _noise(draws.noise_keys, pictures)
    return pictures


def warp(pictures: Tensor, matrices: Tensor, size: tuple[int, int] | None = None, fill: Fill = "reflection") -> Tensor:
    """Sample each picture under its own matrix, bilinearly: (B, C, H, W), (B, 2, 3) -> (B, C, H', W').

    A matrix maps a pixel of the result to one of the picture, `p_in = A p_out + b`, both (x, y) in pixels from their
    own centres; it lies on the pictures' device. `size`: (H', W'), by default the picture's own. `fill`: what lies
    outside the picture; "reflection" mirrors it about the centres of its border pixels, endlessly. Pictures are float32
    or float64: narrower types cannot hold the positions.
    """
    height, width = pictures.shape[-2:]
    to_height, to_width = size or (height, width)
    # with align_corners, grid_sample has the corner pixels' centres at ±1 and reflects about them
    rows = matrices.to(pictures.dtype).split(1, 1)  # twice (B, 1, 3)
    units = [row / (max(side - 1, 1) / 2) for row, side in zip(rows, (width, height), strict=True)]
    matrices = torch.cat(units, 1)  # (B, 2, 3)
    # The map is affine, so the grid is the sum of a part that depends on x and one that depends on y. This takes a
    # tenth of the time of affine_grid, which multiplies every position by the matrix.
    across = matrices[:, :, 0:1] * _positions(to_width, matrices)  # (B, 2, W')
    down = matrices[:, :, 1:2] * _positions(to_height, matrices) + matrices[:, :, 2:3]  # (B, 2, H')
    grid = (down.unsqueeze(3) + across.unsqueeze(2)).permute(0, 2, 3, 1)  # (B, H', W', 2)
    if fill == "reflection":
        return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    # grid_sample can fill with zero only, so the fill value is zero meanwhile
    return F.grid_sample(pictures - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=True) + fill


def _blur(pictures: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Blur each picture by a Gaussian of its own standard deviation: (B, C, H, W), (B,) pixels -> (B, C, H, W).

    Borders are mirrored with the outermost pixels repeated, which keeps the mean colour.
    """
    batch, channels, height, width = pictures.shape
    offsets = torch.arange(-radius, radius + 1, device=pictures.device)  # (K,)
    # a standard deviation near 0 leaves one weight of 1 in the middle
    weights = torch.exp(-0.5 * (offsets / sigmas.clamp(min=1e-3).unsqueeze(1)) ** 2)  # (B, K)
    weights = weights / weights.sum(1, keepdim=True)
    kernel = weights.to(pictures.dtype).unsqueeze(1).expand(-1, channels, -1).reshape(batch * channels, 1, -1)
    planes = pictures.reshape(1, batch * channels, height, width)
    planes = F.conv2d(_mirrored(planes, 2, radius), kernel.unsqueeze(3), groups=batch * channels)
    planes = F.conv2d(_mirrored(planes, 3, radius), kernel.unsqueeze(2), groups=batch * channels)
    return planes.reshape(batch, channels, height, width)


def _mirrored(pictures: Tensor, dim: int, radius: int) -> Tensor:
    """Extend one dimension by `radius` pixels on both sides: `b a | a b c d | d c`, mirrored as often as needed."""
    side = pictures.shape[dim]
    index = torch.arange(-radius, side + radius, device=pictures.device) % (2 * side)
    return pictures.index_select(dim, torch.minimum(index, 2 * side - 1 - index))


def _positions(side: int, like: Tensor) -> Tensor:
    """(side,): the pixels' positions, measured from the centre."""
    return torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2


def _noise(keys: Tensor, like: Tensor) -> Tensor:
    """Independent normal values from counters: (B,) int64, (B, C, H, W) -> (B, C, H, W) of `like`'s type, std 1.

    A picture's values are SplitMix64's outputs (Steele, Lea and Flood 2014) for the seed `key`, and each of them gives
    four: its 16-bit parts choose among 65,536 quantiles of the normal distribution, the outermost at ±4.3. All of it is
    arithmetic of whole numbers, so every device and every batch gets the same values.
    """
    count = math.prod(like.shape[1:])
    counters = torch.arange(1, math.ceil(count / 4) + 1, device=keys.device)  # (N,)
    state = keys.unsqueeze(1) + counters * _signed(0x9E3779B97F4A7C15)  # (B, N), modulo 2 ** 64
    for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state ^= _shifted(state, bits)
        state *= _signed(factor)
    state ^= _shifted(state, 31)
    parts = state.view(torch.int16)[:, :count].int() & 0xFFFF  # (B, C · H · W), the lowest part of each number first
    return _normal_quantiles(like.device, like.dtype).index_select(0, parts.flatten()).view(like.shape)


@lru_cache(maxsize=8)
def _normal_quantiles(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(65536,), increasing: the middle of each of as many equally likely parts."""
    with torch.inference_mode(False):  # a tensor made in inference mode could never be used for gradients
        shares = (torch.arange(65536, dtype=torch.float64) + 0.5) / 65536
        return torch.special.ndtri(shares).to(device, dtype)


def _shifted(values: Tensor, bits: int) -> Tensor:
    """int64 shifted right as if it had no sign."""
    return values >> bits & ((1 << 64 - bits) - 1)


def _signed(value: int) -> int:
    """The int64 with the bits of a 64-bit number without a sign."""
    return value - 2**64 if value >= 2**63 else value


def _choice(u: Tensor, values: Sequence[float]) -> Tensor:
    """[0, 1) -> one of the values, all equally likely."""
    return torch.tensor(values, dtype=u.dtype)[(u * len(values)).long()]


def _whole_numbers(u: Tensor, largest: int) -> Tensor:
    """[0, 1) -> whole numbers from -largest to largest, all equally likely."""
    return torch.floor(u * (2 * largest + 1)) - largest


def _rounded(pixels: float) -> int:
    return math.floor(pixels + 0.5)


_ORIGINAL_SCALE = (1.0, 0.975, 1.025, 0.95, 1.05)
_ORIGINAL_ROTATE = tuple(range(-5, 6))

PRESETS = {
    # The original's, for pictures of 400 px. The original shifts by fractions of a pixel and loses what leaves the
    # padded frame. Here shifts are whole pixels, and the mirror image continues outside.
    "paper": Transforms(pad=16, translate=(16, 8), scale=_ORIGINAL_SCALE, rotate=_ORIGINAL_ROTATE, trim=16),
    # the same for small pictures, where a shift of 16 px would carry a quarter of the picture away
    "small": Transforms(translate=(4, 2), scale=_ORIGINAL_SCALE, rotate=_ORIGINAL_ROTATE),
    # standard_transforms of lucid and lucent: pad 12 with grey, jitter 8, scale, rotate (0 more often), jitter 4.
    # Their jitter of 8 cuts 8 px off the frame at a random place: a shift of ±4, and 4 px trimmed off each side.
    # So the network sees 12 px more than the picture has.
    "lucid": Transforms(
        pad=12,
        fill=0.5,
        translate=(8 // 2, 4 // 2),
        scale=tuple(1 + (i - 5) / 50 for i in range(11)),
        rotate=(*range(-10, 11), *[0] * 5),
        trim=8 // 2 + 4 // 2,
    ),
    # Crops with noise, after MACO and Horama. Theirs keep 0.2 to 0.3 of 1280 px and are many per step. Here there is
    # one per step, of a picture that the network could see whole, so the windows are larger.
    "crops": Transforms(crop=(0.4, 0.9), noise=0.08),
    "none": Transforms(),
}
