"""The spectrum against an independent NumPy reference."""

import numpy as np
import pytest
import torch

from feature_vis.fourier import frequency_scale, spectrum_to_image, start_spectrum


def reference_image(spectrum: np.ndarray, height: int, width: int, decay: float) -> np.ndarray:
    """lucid's `fft_image`, frequency by frequency: (C, H, W // 2 + 1) complex -> (C, H, W)."""
    scale = np.empty((height, width // 2 + 1))
    for row in range(height):
        for column in range(width // 2 + 1):
            fy = (row if row < (height + 1) // 2 else row - height) / height
            scale[row, column] = 1 / max(np.sqrt(fy**2 + (column / width) ** 2), 1 / max(height, width)) ** decay
    return np.fft.irfft2(spectrum * scale, s=(height, width), norm="ortho") / 4


@pytest.mark.parametrize(("height", "width", "decay"), [(8, 8, 1.0), (7, 9, 1.0), (9, 8, 0.5), (5, 5, 2.0)])
def test_image_agrees_with_numpy(height: int, width: int, decay: float) -> None:
    spectrum = start_spectrum(height, width, "test").unsqueeze(0) * 100  # (1, 3, H, W // 2 + 1, 2)
    image = spectrum_to_image(spectrum, frequency_scale(height, width, decay), width)
    complex_spectrum = spectrum[0, ..., 0].double().numpy() + 1j * spectrum[0, ..., 1].double().numpy()
    expected = reference_image(complex_spectrum, height, width, decay)
    assert image.shape == (1, 3, height, width)
    np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-5)


def test_start_depends_on_its_seed_alone() -> None:
    first = start_spectrum(16, 16, 0, "layer4", 7)
    torch.manual_seed(123)
    assert torch.equal(first, start_spectrum(16, 16, 0, "layer4", 7))
    for other in [(1, "layer4", 7), (0, "layer3", 7), (0, "layer4", 8)]:
        assert not torch.equal(first, start_spectrum(16, 16, *other))


def test_start_has_the_stated_spread() -> None:
    assert start_spectrum(64, 64, "spread").std().item() == pytest.approx(0.01, rel=0.05)
