"""The spectrum against an independent NumPy reference."""

import numpy as np
import pytest
import torch
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.images.fourier import frequency_scale, grow_spectrum, image_to_spectrum, spectrum_to_image


def reference_scale(height: int, width: int, decay: float) -> np.ndarray:
    """lucid's weights, frequency by frequency: (H, W // 2 + 1)."""
    scale = np.empty((height, width // 2 + 1))
    for row in range(height):
        for column in range(width // 2 + 1):
            fy = (row if row < (height + 1) // 2 else row - height) / height
            scale[row, column] = 1 / max(np.sqrt(fy**2 + (column / width) ** 2), 1 / max(height, width)) ** decay
    return scale


def reference_interpolation(picture: np.ndarray, new: tuple[int, int]) -> np.ndarray:
    """Trigonometric interpolation by explicit sums over cosines, one axis after the other: (H, W) -> `new`."""
    for axis, count in enumerate(new):
        old = picture.shape[axis]
        positions = np.arange(count)[:, None] * old / count - np.arange(old)[None, :]  # (new, old)
        kernel = np.ones((count, old))
        for k in range(1, (old + 1) // 2):
            kernel += 2 * np.cos(2 * np.pi * k * positions / old)
        if old % 2 == 0 and count > old:  # the highest wave, without the sine that the old pixels do not see
            here, there = np.arange(count)[:, None] * old / count, np.arange(old)[None, :]
            kernel += np.cos(np.pi * here) * np.cos(np.pi * there)
        elif old % 2 == 0:
            kernel += np.cos(np.pi * positions)
        picture = np.moveaxis(np.tensordot(kernel / old, picture, axes=(1, axis)), 0, axis)
    return picture


def shown(parameters: Tensor, size: tuple[int, int], decay: float = 1.0) -> Tensor:
    return spectrum_to_image(parameters, frequency_scale(*size, decay), size[1])


def large_start(size: tuple[int, int]) -> Tensor:
    """(1, 3, H, W // 2 + 1, 2), of spread 1, all of it: the invisible parts too."""
    return torch.randn((1, 3, size[0], size[1] // 2 + 1, 2), generator=torch.Generator().manual_seed(0))


CASES = [(8, 8, 1.0), (7, 9, 0.5), (9, 8, 2.0), (1, 1, 1.0), (2, 3, 1.0), (5, 5, 2.0)]


@pytest.mark.parametrize(("height", "width", "decay"), CASES)
def test_both_ways_agree_with_numpy_and_are_inverse(height: int, width: int, decay: float) -> None:
    scale = reference_scale(height, width, decay) / 4
    parameters = large_start((height, width))
    expected = np.fft.irfft2(torch.view_as_complex(parameters.double()).numpy() * scale, (height, width), norm="ortho")
    np.testing.assert_allclose(shown(parameters, (height, width), decay), expected, atol=1e-5)
    picture = np.random.default_rng(3).normal(size=(2, 3, height, width))
    spectrum = image_to_spectrum(torch.from_numpy(picture).float(), frequency_scale(height, width, decay))
    expected = np.fft.rfft2(picture, norm="ortho") / scale
    assert spectrum.shape == (2, 3, height, width // 2 + 1, 2)
    np.testing.assert_allclose(torch.view_as_complex(spectrum).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(shown(spectrum, (height, width), decay).numpy(), picture, atol=1e-5)


@pytest.mark.parametrize("decay", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("more", [(0, 0), (1, 0), (0, 1), (1, 1), (3, 5), (8, 7), (9, 18)])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (6, 9), (9, 6), (5, 8), (1, 4), (2, 2)])
def test_grown_is_the_trigonometric_interpolation(size: tuple[int, int], more: tuple[int, int], decay: float) -> None:
    new = (size[0] + more[0], size[1] + more[1])
    parameters = large_start(size)
    expected = reference_interpolation(shown(parameters, size, decay)[0, 0].double().numpy(), new)
    grown = shown(grow_spectrum(parameters, size, new, decay), new, decay)
    np.testing.assert_allclose(grown[0, 0].numpy(), expected, atol=1e-5)


def test_growing_takes_any_leading_shape_and_carries_gradients() -> None:
    parameters = large_start((4, 4))[0].requires_grad_(True)  # (3, 4, 3, 2)
    small = shown(parameters, (4, 4))
    grown = shown(grow_spectrum(parameters, (4, 4), (8, 8)), (8, 8))[:, ::2, ::2]
    slopes = [torch.autograd.grad(picture.square().sum(), parameters)[0] for picture in (small, grown)]
    assert slopes[0].abs().max() > 0
    torch.testing.assert_close(*slopes, atol=1e-4, rtol=0)


@pytest.mark.parametrize("new", [(7, 8), (8, 7)])
def test_a_spectrum_does_not_shrink(new: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="can only grow"):
        grow_spectrum(large_start((8, 8)), (8, 8), new)
    with pytest.raises(InputError, match="does not belong"):
        grow_spectrum(large_start((8, 8)), (8, 6), (16, 16))
