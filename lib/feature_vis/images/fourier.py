"""Pictures as spectra: the arithmetic of the Fourier parameterization.

A step in pixel space puts most of its energy into high frequencies. Scaling the spectrum by 1/f makes steps as smooth
as natural pictures. Source: Olah et al. 2017, "Feature Visualization", and lucid `optvis/param/spatial.py`
(`fft_image`).

A spectrum is a real tensor (..., H, W // 2 + 1, 2): the real and imaginary parts of the half that a real picture
needs. In column 0, and for even W in the last one, rows k and -k describe the same wave; the picture shows the mean of
one and the other's conjugate.
"""

import numpy as np
import torch
from torch import Tensor

from feature_vis.errors import InputError

__all__ = ["frequency_scale", "grow_spectrum", "image_to_spectrum", "spectrum_to_image"]

# lucid's "magic constant": the image is divided by it so that the sigmoid after it starts in its middle.
_AMPLITUDE = 4.0


def frequency_scale(height: int, width: int, decay_power: float = 1.0) -> Tensor:
    """Weight of each frequency, (H, W // 2 + 1): `1 / max(f, 1 / max(H, W)) ** decay_power`, f in cycles/pixel."""
    return torch.from_numpy(_scale(height, width, decay_power).astype(np.float32))


def spectrum_to_image(spectrum: Tensor, scale: Tensor, width: int) -> Tensor:
    """(..., H, W // 2 + 1, 2) real pairs -> (..., H, W), decorrelated, around zero.

    Orthonormal inverse real FFT of the scaled spectrum, divided by lucid's constant.
    """
    height = spectrum.shape[-3]
    # Dividing this small plane gives the same bits as dividing the picture, since it is by a power of two.
    weight = scale / _AMPLITUDE  # (H, W // 2 + 1)
    frequencies = torch.view_as_complex(spectrum.contiguous()) * weight  # (..., H, W // 2 + 1)
    return torch.fft.irfft2(frequencies, s=(height, width), norm="ortho")


def image_to_spectrum(image: Tensor, scale: Tensor) -> Tensor:
    """The inverse of `spectrum_to_image`: (..., H, W) -> (..., H, W // 2 + 1, 2).

    Many spectra show the same picture; this is the one without an invisible part.
    """
    frequencies = torch.fft.rfft2(image, norm="ortho") * _AMPLITUDE / scale
    return torch.view_as_real(frequencies)


def grow_spectrum(parameters: Tensor, old: tuple[int, int], new: tuple[int, int], decay_power: float = 1.0) -> Tensor:
    """The same picture at a larger size: (..., H, W // 2 + 1, 2) for `old` -> the same for `new`, (height, width).

    The grown picture is the trigonometric interpolation of the old one, and equals it wherever a new pixel lies on an
    old one: new pixel (y, x) lies at old (y · H / H', x · W / W'). For whole factors g, h that is
    `grown[::g, ::h] == picture`. Pixel 0 stays pixel 0, unlike in a resize that keeps the picture's middle in place.

    The orthonormal FFT needs a factor of sqrt(H' W' / (H W)) to keep a frequency's amplitude, and the scales of the
    two sizes differ. So a parameter is multiplied by sqrt(H' W' / (H W)) · scale / scale'. Where both axes grow by the
    same g, this is g ** (1 - decay_power) for every frequency: with lucid's decay of 1 the parameters do not change.
    New frequencies are 0. One case is special, the highest frequency of an even axis that grows: it was one wave,
    sampled at its crests, and becomes two, k and -k, each with half of what the picture showed.

    Raises:
        InputError: `new` is smaller in one axis, or the parameters are not of the old size.
    """
    (height, width), (new_height, new_width) = old, new
    if tuple(parameters.shape[-3:]) != (height, width // 2 + 1, 2):
        raise InputError(f"a spectrum of shape {tuple(parameters.shape)} does not belong to a picture of {old} pixels")
    if new_height < height or new_width < width:
        raise InputError(f"a spectrum of {old} pixels can only grow, not become {new}")
    amplitude = np.sqrt(new_height * new_width / (height * width))
    # The old frequencies' rows among the new ones, and their weights; in double precision, so that a factor of 1 is 1.
    rows = np.fft.fftfreq(height, 1 / height).round().astype(int) % new_height  # (H,)
    columns = width // 2 + 1
    weight = amplitude * _scale(height, width, decay_power) / _scale(*new, decay_power)[rows, :columns]
    spectrum = parameters * torch.from_numpy(weight).to(parameters)[..., None]

    if width % 2 == 0 and new_width > width:
        spectrum = torch.cat([spectrum[..., :-1, :], _visible(spectrum[..., -1:, :]) / 2], dim=-2)
    grown = spectrum.new_zeros(*spectrum.shape[:-3], new_height, new_width // 2 + 1, 2)
    grown[..., rows, :columns, :] = spectrum
    if height % 2 == 0 and new_height > height:
        # fftfreq calls this row -H/2; its mirror image, +H/2, lies as far from the grid's other end.
        highest = spectrum[..., height // 2, :, :] / 2
        grown[..., new_height - height // 2, :columns, :] = highest
        grown[..., height // 2, :columns, :] = highest
    return grown


def _visible(column: Tensor) -> Tensor:
    """What the picture shows of a self-conjugate column, (..., H, 1, 2): the mean of row k and row -k's conjugate."""
    mirrored = column.flip(-3).roll(1, -3)  # row k holds what was in row -k
    return (column + mirrored * column.new_tensor([1.0, -1.0])) / 2


def _scale(height: int, width: int, decay_power: float) -> np.ndarray:
    """`frequency_scale` in double precision: (H, W // 2 + 1)."""
    fy = np.fft.fftfreq(height)[:, None]  # (H, 1)
    fx = np.fft.rfftfreq(width)[None, :]  # (1, W // 2 + 1)
    frequency = np.hypot(fy, fx)  # (H, W // 2 + 1)
    return 1.0 / np.maximum(frequency, 1.0 / max(height, width)) ** decay_power
