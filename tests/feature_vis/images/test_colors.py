"""Colours against lucid's numbers in NumPy."""

import numpy as np
import pytest
import torch

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_COLORS, from_rgb, normalize, to_rgb


def mixing(channels: int) -> np.ndarray:
    """Some matrix with an inverse, (C, C)."""
    return np.random.default_rng(channels).normal(size=(channels, channels)) + 3 * np.eye(channels)


def test_imagenets_numbers_are_the_published_ones() -> None:
    matrix = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])  # lucid's
    np.testing.assert_allclose(IMAGENET_COLORS.numpy(), matrix / np.linalg.norm(matrix, axis=0).max(), atol=1e-6)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # torchvision's
    actual = normalize(torch.full((1, 3, 1, 1), 0.5)).flatten()
    np.testing.assert_allclose(actual.numpy(), (0.5 - mean) / std, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_to_rgb_and_normalize_agree_with_numpy(channels: int) -> None:
    rng = np.random.default_rng(0)
    image, matrix = rng.normal(size=(2, channels, 5, 4)), mixing(channels)
    mixed = np.einsum("bchw,rc->brhw", image, matrix)
    tensor = torch.from_numpy(image).float()
    np.testing.assert_allclose(to_rgb(tensor, torch.from_numpy(matrix).float()), 1 / (1 + np.exp(-mixed)), atol=1e-5)
    np.testing.assert_allclose(to_rgb(tensor, None), 1 / (1 + np.exp(-image)), atol=1e-5)
    mean, std = rng.uniform(size=channels), rng.uniform(0.1, 1, size=channels)
    expected = (image - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(normalize(tensor, tuple(mean), tuple(std)), expected, atol=1e-5)


def test_gradient_through_to_rgb_agrees_with_numpy() -> None:
    rng = np.random.default_rng(2)
    image, weights, matrix = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 4, 5)), mixing(3)
    tensor = torch.from_numpy(image).requires_grad_(True)
    to_rgb(tensor, torch.from_numpy(matrix)).backward(torch.from_numpy(weights))
    rgb = 1 / (1 + np.exp(-np.einsum("bchw,rc->brhw", image, matrix)))
    expected = np.einsum("brhw,rc->bchw", weights * rgb * (1 - rgb), matrix)
    assert tensor.grad is not None
    np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-10)


def test_a_picture_does_not_depend_on_its_batch() -> None:
    # not odd: torch's own sigmoid rounds the last few numbers of a block otherwise than the rest
    image = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_rgb(image, IMAGENET_COLORS)[5:6], to_rgb(image[5:6], IMAGENET_COLORS))


@pytest.mark.parametrize("matrix", [None, IMAGENET_COLORS], ids=["no matrix", "imagenet"])
def test_from_rgb_is_the_inverse_to_the_level(matrix: torch.Tensor | None) -> None:
    image = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(from_rgb(to_rgb(image, matrix), matrix).numpy(), image.numpy(), atol=2e-4)
    levels = torch.arange(256).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    assert torch.equal((to_rgb(from_rgb(levels / 255, matrix), matrix) * 255).round().long(), levels)


def test_black_and_white_are_clamped_to_a_quarter_of_a_level() -> None:
    ends = from_rgb(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), None)
    limit = np.log((1 / 1024) / (1 - 1 / 1024))
    np.testing.assert_allclose(ends.flatten().numpy(), [limit, -limit], rtol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    picture = torch.full((1, 1, 2, 2), 0.5)
    for other in (picture + 0.6, picture * torch.nan, picture.byte()):
        with pytest.raises(InputError, match=r"in \[0, 1\]"):
            from_rgb(other, None)
    for function in (to_rgb, from_rgb):
        with pytest.raises(InputError, match=r"\(1, 1\) colour matrix, not \(3, 3\)"):
            function(picture, IMAGENET_COLORS)
    with pytest.raises(InputError, match="no inverse"):
        from_rgb(torch.full((1, 2, 2, 2), 0.5), torch.ones(2, 2))
    with pytest.raises(InputError, match="1 channels needs as many means and stds, not 3"):
        normalize(picture)


def test_what_inference_made_first_serves_gradients_later() -> None:
    numbers = (0.123, 0.456, 0.789)  # used nowhere else, so nothing has been kept for them
    with torch.inference_mode():
        normalize(torch.zeros(1, 3, 2, 2), numbers, numbers)
    image = torch.zeros(1, 3, 2, 2, requires_grad=True)
    normalize(image, numbers, numbers).sum().backward()
    assert image.grad is not None
    np.testing.assert_allclose(image.grad[0, :, 0, 0].numpy(), 1 / np.array(numbers), rtol=1e-5)
