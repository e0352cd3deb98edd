"""Colours against lucid's numbers in NumPy."""

import numpy as np
import torch

from feature_vis.colors import decorrelated_to_rgb, normalize


def test_decorrelation_agrees_with_numpy() -> None:
    matrix = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
    matrix /= np.linalg.norm(matrix, axis=0).max()
    image = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    expected = 1 / (1 + np.exp(-np.einsum("bchw,rc->brhw", image, matrix)))
    actual = decorrelated_to_rgb(torch.from_numpy(image).float())
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-6)


def test_normalize_agrees_with_numpy() -> None:
    image = np.random.default_rng(1).uniform(size=(2, 3, 4, 4))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (image - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(normalize(torch.from_numpy(image).float()).numpy(), expected, atol=1e-5)
