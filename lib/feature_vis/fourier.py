"""Pictures as spectra: the parameterization that is optimised.

Source: Olah et al. 2017, "Feature Visualization", and lucid `optvis/param/spatial.py` (`fft_image`). A step in
pixel space puts most of its energy into high frequencies; scaling the spectrum by 1/f makes steps as smooth
as natural pictures are.
"""

import numpy as np
import torch
from torch import Tensor

from feature_vis.seeding import generator

__all__ = ["frequency_scale", "spectrum_to_image", "start_spectrum"]

# lucid: "magic constant" by which the image is divided so that the sigmoid after it starts in its middle.
_AMPLITUDE = 4.0
_START_STD = 0.01


def frequency_scale(height: int, width: int, decay_power: float = 1.0) -> Tensor:
    """Weight of each frequency, (H, W // 2 + 1): `1 / max(f, 1 / max(H, W)) ** decay_power`, f in cycles/pixel.

    The half spectrum of a real picture has W // 2 + 1 columns for even and odd W alike.
    """
    fy = np.fft.fftfreq(height)[:, None]  # (H, 1)
    fx = np.fft.rfftfreq(width)[None, :]  # (1, W // 2 + 1)
    frequency = np.hypot(fy, fx)  # (H, W // 2 + 1)
    scale = 1.0 / np.maximum(frequency, 1.0 / max(height, width)) ** decay_power
    return torch.from_numpy(scale.astype(np.float32))


def start_spectrum(height: int, width: int, *seed: str | int, channels: int = 3) -> Tensor:
    """Noise to start from, (C, H, W // 2 + 1, 2): normal, standard deviation 0.01, from the given seed alone."""
    shape = (channels, height, width // 2 + 1, 2)
    return _START_STD * torch.randn(shape, generator=generator(*seed, "start"))


def spectrum_to_image(spectrum: Tensor, scale: Tensor, width: int) -> Tensor:
    """(B, C, H, W // 2 + 1, 2) real pairs -> (B, C, H, W), decorrelated, around zero.

    Orthonormal inverse real FFT of the scaled spectrum, divided by lucid's constant.
    """
    height = spectrum.shape[-3]
    frequencies = torch.view_as_complex(spectrum.contiguous()) * scale  # (B, C, H, W // 2 + 1)
    return torch.fft.irfft2(frequencies, s=(height, width), norm="ortho") / _AMPLITUDE
