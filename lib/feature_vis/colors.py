"""Colour: decorrelated channels to RGB, and the networks' input normalisation.

Source: lucid `optvis/param/color.py`. Natural pictures have strongly correlated RGB channels; optimising in a
basis where they are independent lets one step move brightness and hue alike.
"""

import torch
from torch import Tensor

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "decorrelated_to_rgb", "normalize"]

# Square root of ImageNet's colour covariance, by SVD (lucid's constants).
_COLOR_CORRELATION_SQRT = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_COLOR_CORRELATION = _COLOR_CORRELATION_SQRT / _COLOR_CORRELATION_SQRT.norm(dim=0).max()  # (RGB, basis)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def decorrelated_to_rgb(image: Tensor) -> Tensor:
    """Map a picture in the decorrelated basis to RGB: (B, 3, H, W), any real -> (B, 3, H, W) in (0, 1)."""
    matrix = _COLOR_CORRELATION.to(image)
    return torch.sigmoid(torch.einsum("ij,bjhw->bihw", matrix, image))


def normalize(image: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD) -> Tensor:
    """(B, C, H, W) in [0, 1] -> what torchvision's classifiers were trained on."""
    shape = (1, -1, 1, 1)
    return (image - image.new_tensor(mean).view(shape)) / image.new_tensor(std).view(shape)
