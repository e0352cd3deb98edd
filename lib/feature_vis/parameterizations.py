"""Parameterizations: the numbers that are optimised, and how they make a picture.

All follow one contract, `Parameterization`, for pictures of `size` (height, width) in pixels and `channels` C:

- `shape`: P, the shape of the one tensor that holds one picture;
- `start(*seed)` -> (*P): noise to start from, on the CPU, which depends on the seed only;
- `image(parameters)`: (B, *P) -> (B, C, H, W), in the decorrelated basis (`feature_vis.images.colors.to_rgb` makes
  colours of it), around zero, differentiable, each picture independent of the others in the batch;
- `parameters_of(image)`: (C, H, W) -> (*P), or (B, C, H, W) -> (B, *P): the parameters that show this picture, or the
  closest one that can be shown;
- `grown(parameters, larger)`: (B, *P) -> (B, *P'), the same picture for a parameterization of the same kind and
  channels that is at least as large.

Parameters of a wrong shape, a picture of a wrong size and a `larger` that is smaller raise InputError.

A step of the optimizer changes all numbers alike. Parameterizations differ in which frequencies of the picture that
changes, and by how much. Only `Maco` also limits which pictures can be shown.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from feature_vis.errors import InputError
from feature_vis.images.fourier import (
    frequency_scale,
    grow_spectrum,
    image_to_spectrum,
    spectrum_to_image,
)
from feature_vis.recipe import CHOICES
from feature_vis.seeding import generator

__all__ = ["Fourier", "Laplacian", "Maco", "Parameterization", "Pixel", "parameterization"]

_START_STD = 0.01  # lucid's, for all of its parameterizations


class Parameterization(Protocol):
    """The contract; the module's docstring states it."""

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def channels(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def start(self, *seed: str | int) -> Tensor: ...
    def image(self, parameters: Tensor) -> Tensor: ...
    def parameters_of(self, image: Tensor) -> Tensor: ...
    def grown(self, parameters: Tensor, larger: Any) -> Tensor: ...


@dataclass(frozen=True)
class Fourier:
    """A spectrum whose frequencies f are weighted by 1 / f ** decay_power: P = (C, H, W // 2 + 1, 2).

    Source: lucid `optvis/param/spatial.py`, `fft_image`. The arithmetic is in `feature_vis.images.fourier`.
    """

    size: tuple[int, int]
    channels: int = 3
    decay_power: float = 1.0

    def __post_init__(self) -> None:
        _check_settings(self.size, self.channels, self.decay_power)

    @property
    def shape(self) -> tuple[int, ...]:
        height, width = self.size
        return self.channels, height, width // 2 + 1, 2

    def start(self, *seed: str | int) -> Tensor:
        return _start(self.shape, *seed)

    def image(self, parameters: Tensor) -> Tensor:
        _check_parameters(parameters, self.shape)
        return spectrum_to_image(parameters, self._scale(parameters), self.size[1])

    def parameters_of(self, image: Tensor) -> Tensor:
        _check_image(image, self.channels, self.size)
        return image_to_spectrum(image, self._scale(image))

    def grown(self, parameters: Tensor, larger: "Fourier") -> Tensor:
        """Exact, by `grow_spectrum`: sharpness is kept and pixel 0 stays pixel 0. Decay powers must be equal."""
        _check_parameters(parameters, self.shape)
        _check_larger(self, larger)
        if larger.decay_power != self.decay_power:
            raise InputError(f"a spectrum of decay power {self.decay_power} cannot grow to one of {larger.decay_power}")
        return grow_spectrum(parameters, self.size, larger.size, self.decay_power)

    def _scale(self, like: Tensor) -> Tensor:
        return _frequency_scale(self.size, self.decay_power, like.device, like.dtype)


@dataclass(frozen=True)
class Pixel:
    """The pixels themselves, P = (C, H, W), for comparison. Source: lucid `pixel_image`."""

    size: tuple[int, int]
    channels: int = 3

    def __post_init__(self) -> None:
        _check_settings(self.size, self.channels)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, *self.size

    def start(self, *seed: str | int) -> Tensor:
        return _start(self.shape, *seed)

    def image(self, parameters: Tensor) -> Tensor:
        _check_parameters(parameters, self.shape)
        return parameters

    def parameters_of(self, image: Tensor) -> Tensor:
        _check_image(image, self.channels, self.size)
        return image.clone()  # the optimizer writes into its parameters, and the picture is the caller's

    def grown(self, parameters: Tensor, larger: "Pixel") -> Tensor:
        """By a bicubic resize."""
        return _regrown(self, parameters, larger)


@dataclass(frozen=True)
class Laplacian:
    """The sum of a pyramid of pictures, each half as high and wide as the one before: P = (all of its values,).

    Beginning with the coarsest, each level is stretched (bilinear) to the next one's size and added to it, as in Burt &
    Adelson 1983. Source: lucid `laplacian_pyramid_image`, which stretches each level to full size at once; level by
    level takes a third of the time and leaves smoother coarse levels. Level n has (H // 2**n, W // 2**n) pixels and the
    weight 2 ** (n · (decay_power - 1)). With a power of 1, lucid's plain sum, each octave of frequencies has the same
    spread in the picture. A larger power favours the coarse levels. `Fourier` behaves in the same way.
    """

    size: tuple[int, int]
    channels: int = 3
    levels: int = 4
    decay_power: float = 1.0

    def __post_init__(self) -> None:
        _check_settings(self.size, self.channels, self.decay_power)
        if not 1 <= self.levels <= min(self.size).bit_length():
            raise InputError(
                f"a pyramid over {self.size} pixels has 1 to {min(self.size).bit_length()} levels, not {self.levels}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(self._lengths),)

    def start(self, *seed: str | int) -> Tensor:
        return _start(self.shape, *seed)

    def image(self, parameters: Tensor) -> Tensor:
        _check_parameters(parameters, self.shape)
        finest, *coarser = (
            part.unflatten(-1, (self.channels, *size))  # (B, C, H // 2**n, W // 2**n)
            for part, size in zip(parameters.split(self._lengths, -1), self._sizes, strict=True)
        )
        if not coarser:
            return finest
        # what level n + 1 weighs more than level n
        ratio = 2 ** (self.decay_power - 1)
        picture = coarser[-1]
        for level in (*reversed(coarser[:-1]), finest):
            picture = level + _stretched(picture if ratio == 1 else ratio * picture, level.shape[-2:])
        return picture

    def parameters_of(self, image: Tensor) -> Tensor:
        """The classic decomposition: each level holds what the coarser ones do not show, so the sum is exact."""
        _check_image(image, self.channels, self.size)
        pictures = image.reshape(-1, *image.shape[-3:])  # (B, C, H, W)
        ratio = 2 ** (self.decay_power - 1)
        parts = []
        for size in self._sizes[1:]:
            coarse = _shrunk(pictures, size)  # (B, C, H // 2**n, W // 2**n)
            parts.append((pictures - _stretched(coarse, pictures.shape[-2:])).flatten(1))
            pictures = coarse / ratio
        parameters = torch.cat([*parts, pictures.flatten(1)], dim=1)  # (B, *P)
        return parameters.reshape(*image.shape[:-3], -1)

    def grown(self, parameters: Tensor, larger: "Laplacian") -> Tensor:
        """By a bicubic resize of the picture, decomposed anew."""
        return _regrown(self, parameters, larger)

    @property
    def _sizes(self) -> list[tuple[int, int]]:
        height, width = self.size
        return [(height >> level, width >> level) for level in range(self.levels)]

    @property
    def _lengths(self) -> list[int]:
        return [self.channels * height * width for height, width in self._sizes]


@dataclass(frozen=True, eq=False)
class Maco:
    """The phases, in radians, of a spectrum with the magnitude of natural pictures: P = (C, H, W // 2 + 1).

    `magnitude`: (C, H, W // 2 + 1), of the orthonormal FFT, from `feature_vis.images.statistics.magnitude_spectrum`.
    High frequencies cannot take over, because their share is fixed. Where rows k and -k are the same wave (see
    `feature_vis.images.fourier`), half the difference of their phases counts. At most four frequencies of a channel,
    such as the mean, have a sign and no phase; they show magnitude · cos(phase), so only they can be weaker.

    Source: Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained
    Optimization"; xplique `features_visualizations/preconditioning.py`, Horama `maco_fv.py`. They standardise the
    phases before use, and the picture afterwards, to mean 0 and standard deviation 1. Here neither is done. The first
    makes every phase depend on all others and cannot express a given picture, whose phases are spread over the whole
    circle: a standard deviation of 1 bunches them into a bright spot at pixel 0. The second changes little but the
    contrast, and the magnitude already contains the contrast.
    """

    size: tuple[int, int]
    channels: int
    magnitude: Tensor = field(repr=False)
    # the magnitude on each device and in each type in which it was needed: see `_frequency_scale`
    _copies: dict[tuple[torch.device, torch.dtype], Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_settings(self.size, self.channels)
        if tuple(self.magnitude.shape) != self.shape:
            raise InputError(
                f"pictures of {self.channels} channels and {self.size} pixels need a magnitude of shape {self.shape}, "
                f"not {tuple(self.magnitude.shape)}: `magnitude_spectrum` computes one for this size"
            )
        if not bool((self.magnitude.isfinite() & (self.magnitude >= 0)).all()):
            raise InputError("the magnitude spectrum must be finite and nowhere negative")

    @property
    def shape(self) -> tuple[int, ...]:
        height, width = self.size
        return self.channels, height, width // 2 + 1

    def start(self, *seed: str | int) -> Tensor:
        """The phases of white noise: uniform over the circle, and consistent as in a real picture."""
        return self.parameters_of(_start((self.channels, *self.size), *seed))

    def image(self, parameters: Tensor) -> Tensor:
        _check_parameters(parameters, self.shape)
        height, width = self.size
        first, rest = parameters[..., :1], parameters[..., 1:]
        # The last column of an even width pairs its rows like the first; a width of 1 has no other column.
        pieces = [_odd(first), rest] if width % 2 else [_odd(first), rest[..., :-1], _odd(rest[..., -1:])]
        phases = torch.cat(pieces, dim=-1)  # (B, C, H, W // 2 + 1)
        magnitude = self._magnitude(parameters)
        spectrum = torch.complex(magnitude * phases.cos(), magnitude * phases.sin())
        return torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")

    def parameters_of(self, image: Tensor) -> Tensor:
        """The phases of `image`: with them it is shown at this magnitude, not at its own."""
        _check_image(image, self.channels, self.size)
        height, width = self.size
        phases = torch.fft.rfft2(image, norm="ortho").angle()
        # A wave of negative amplitude has π in row k and possibly π in row -k too, where -π is meant.
        positive, negative = slice(1, (height + 1) // 2), slice(height // 2 + 1, None)
        for column in {0} if width % 2 else {0, width // 2}:
            phases[..., negative, column] = -phases[..., positive, column].flip(-1)
        return phases

    def grown(self, parameters: Tensor, larger: "Maco") -> Tensor:
        """The phases of the picture after a bicubic resize, which also gives phases to the detail it lacked."""
        return _regrown(self, parameters, larger)

    def _magnitude(self, like: Tensor) -> Tensor:
        key = (like.device, like.dtype)
        if key not in self._copies:
            with torch.inference_mode(False):
                self._copies[key] = self.magnitude.detach().to(like.device, like.dtype, copy=True)
        return self._copies[key]


def parameterization(
    name: str,
    size: tuple[int, int],
    channels: int = 3,
    decay_power: float = 1.0,
    magnitude: Tensor | None = None,
) -> Parameterization:
    """Build a parameterization by its name, one of those in `Recipe`; `pixel` and `maco` ignore `decay_power`.

    Raises:
        InputError: an unknown name, settings out of range, or `maco` without a magnitude of this size.
    """
    match name:
        case "fourier":
            return Fourier(size, channels, decay_power)
        case "pixel":
            return Pixel(size, channels)
        case "laplacian":
            return Laplacian(size, channels, decay_power=decay_power)
        case "maco" if magnitude is not None:
            return Maco(size, channels, magnitude)
        case "maco":
            raise InputError(
                "the parameterization maco needs the magnitude spectrum of natural pictures: "
                "`feature_vis.images.statistics.magnitude_spectrum` computes it from yours"
            )
    raise InputError(f"there is no parameterization {name!r}: known are {', '.join(CHOICES['parameterization'])}")


@lru_cache(maxsize=32)
def _frequency_scale(size: tuple[int, int], decay_power: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`frequency_scale` in this type on this device, computed and moved there once, not at every step."""
    with torch.inference_mode(False):  # a tensor made in inference mode could never be used for gradients
        return frequency_scale(*size, decay_power).to(device, dtype)


def _start(shape: tuple[int, ...], *seed: str | int) -> Tensor:
    return _START_STD * torch.randn(shape, generator=generator(*seed, "start"))


def _regrown(smaller: Parameterization, parameters: Tensor, larger: Parameterization) -> Tensor:
    """The picture, resized, as parameters of `larger`."""
    picture = smaller.image(parameters)
    _check_larger(smaller, larger)
    if larger.size != smaller.size:
        picture = interpolate(picture, size=larger.size, mode="bicubic", align_corners=False)
    return larger.parameters_of(picture)


def _stretched(pictures: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W)."""
    return interpolate(pictures, size=tuple(size), mode="bilinear", align_corners=False)


def _shrunk(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) -> (B, C, h, w), each new pixel the mean of what it covers."""
    return interpolate(pictures, size=size, mode="area")


def _odd(phases: Tensor) -> Tensor:
    """Make row -k of a self-conjugate column, (B, C, H, 1), the negative of row k; a row that is its own stays."""
    height = phases.shape[-2]
    own = torch.arange(height, device=phases.device)
    own = ((own == 0) | (2 * own == height))[:, None]  # (H, 1)
    mirrored = phases.flip(-2).roll(1, -2)  # row k holds what was in row -k
    return torch.where(own, phases, (phases - mirrored) / 2)


def _check_settings(size: tuple[int, int], channels: int, decay_power: float = 1.0) -> None:
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"a picture's size is (height, width), each at least 1, not {size}")
    if channels < 1:
        raise InputError(f"a picture has at least 1 channel, not {channels}")
    if not 0 <= decay_power < float("inf"):
        raise InputError(f"the decay power must be a finite number, 0 or above, not {decay_power}")


def _check_parameters(parameters: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(parameters.shape[1:]) != shape:
        raise InputError(f"parameters of shape {tuple(parameters.shape)} are not (B, *{shape})")


def _check_image(image: Tensor, channels: int, size: tuple[int, int]) -> None:
    if image.dim() not in (3, 4) or tuple(image.shape[-3:]) != (channels, *size):
        raise InputError(f"the picture is {tuple(image.shape)}, not {(channels, *size)}, channels, height and width")


def _check_larger(smaller: Parameterization, larger: Parameterization) -> None:
    if type(larger) is not type(smaller) or larger.channels != smaller.channels:
        raise InputError(
            f"{type(smaller).__name__} of {smaller.channels} channels cannot grow to "
            f"{type(larger).__name__} of {larger.channels}"
        )
    if larger.size[0] < smaller.size[0] or larger.size[1] < smaller.size[1]:
        raise InputError(f"a picture of {smaller.size} pixels can only grow, not become {larger.size}")
