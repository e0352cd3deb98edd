"""Penalties against NumPy, and the properties a penalty must have."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from feature_vis.errors import InputError
from feature_vis.regularizers import REGULARIZERS, blur, l1, l2, penalty, total_variation


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand((3, 3, 9, 12), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_against_numpy(pictures: torch.Tensor) -> None:
    x = pictures.numpy()
    tv = np.abs(np.diff(x, axis=3)).mean((1, 2, 3)) + np.abs(np.diff(x, axis=2)).mean((1, 2, 3))
    np.testing.assert_allclose(total_variation(pictures), tv)
    np.testing.assert_allclose(l1(pictures), np.abs(x - 0.5).mean((1, 2, 3)))
    np.testing.assert_allclose(l2(pictures), np.sqrt(((x - 0.5) ** 2).mean((1, 2, 3))), rtol=1e-6)


def test_blur_is_the_distance_to_a_copy_blurred_by_scipy(pictures: torch.Tensor) -> None:
    weights = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]]) / 2

    def blurred(plane: np.ndarray) -> np.ndarray:
        inside = scipy.ndimage.correlate(np.ones_like(plane), weights, mode="constant")
        return scipy.ndimage.correlate(plane, weights, mode="constant") / inside

    copies = np.stack([[blurred(plane) for plane in picture] for picture in pictures.numpy()])
    np.testing.assert_allclose(blur(pictures), 0.5 * ((pictures.numpy() - copies) ** 2).mean((1, 2, 3)))
    # one gradient step is a step towards the copy: nothing flows through the copy itself
    x = pictures.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(blur(x).sum(), x)
    np.testing.assert_allclose(gradient * x[0].numel(), pictures.numpy() - copies, atol=1e-12)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_an_even_grey_picture_pays_nothing_and_gets_a_gradient(name: str) -> None:
    grey = torch.full((2, 3, 8, 8), 0.5, requires_grad=True)
    paid = REGULARIZERS[name](grey)
    (gradient,) = torch.autograd.grad(paid.sum(), grey)
    assert paid.shape == (2,)
    assert paid.detach().abs().max() < 2e-6
    assert torch.isfinite(gradient).all()
    assert (REGULARIZERS[name](torch.rand(2, 3, 8, 8)) > 0.001).all()


@pytest.mark.parametrize("name", ["total_variation", "l1", "l2"])  # blur's gradient leaves its copy out on purpose
def test_gradients(name: str) -> None:
    x = torch.rand((2, 1, 4, 5), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(REGULARIZERS[name], x)


def test_penalty_sums_the_weighted_parts(pictures: torch.Tensor) -> None:
    weights = {"l1": 2.0, "total_variation": 0.5, "blur": 0.0}
    expected = 2 * l1(pictures) + 0.5 * total_variation(pictures)
    torch.testing.assert_close(penalty(pictures, weights), expected)
    assert penalty(pictures, {}).tolist() == [0, 0, 0]
    with pytest.raises(InputError, match=r"'tv'.*total_variation, l1, l2, blur"):
        penalty(pictures, {"tv": 1.0, "l1": 1.0})
