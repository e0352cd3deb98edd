"""Colours: from decorrelated channels to RGB and back, and the normalisation of networks' inputs.

The RGB channels of natural pictures are strongly correlated. In a basis in which they are independent, one step of the
optimizer can change brightness and hue alike. `feature_vis.images.statistics.color_matrix` computes such a basis from
your own pictures. Source: lucid `optvis/param/color.py`.
"""

from functools import lru_cache

import torch
from torch import Tensor

from feature_vis.errors import InputError

__all__ = ["IMAGENET_COLORS", "IMAGENET_MEAN", "IMAGENET_STD", "from_rgb", "in_unit_range", "normalize", "to_rgb"]

# Square root of ImageNet's colour covariance, by SVD (lucid's constants), then divided by its largest column norm,
# so that the strongest basis colour, which is brightness, keeps its size.
_IMAGENET_SQRT = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
IMAGENET_COLORS = _IMAGENET_SQRT / _IMAGENET_SQRT.norm(dim=0).max()  # (3 RGB, 3 basis)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# A quarter of a grey level: the logit stays within ±6.93, and an 8-bit picture is the same after the way back.
_CLAMP = 1 / 1024


def to_rgb(image: Tensor, matrix: Tensor | None) -> Tensor:
    """Sigmoid of the recoloured picture: (B, C, H, W), any real -> (B, C, H, W) in (0, 1).

    `matrix`: (C, C), whose columns are the basis colours, such as `IMAGENET_COLORS`; None to leave the channels as
    they are.

    Raises:
        InputError: the matrix is not (C, C).
    """
    if matrix is None:
        return torch.sigmoid(image)
    _check_matrix(matrix, image.shape[1])
    return torch.sigmoid(_recolor(image, matrix.to(image)))


def from_rgb(pictures: Tensor, matrix: Tensor | None) -> Tensor:
    """The inverse of `to_rgb`: (B, C, H, W) in [0, 1] -> (B, C, H, W), decorrelated, around zero.

    0 and 1 have no logit, so values are first clamped to [1/1024, 1 - 1/1024]. That is a quarter of an 8-bit grey
    level: `to_rgb` and rounding give an 8-bit picture back unchanged.

    Raises:
        InputError: values that are no floating-point numbers in [0, 1]; a matrix that is not (C, C) or has no inverse.
    """
    if not in_unit_range(pictures):
        raise InputError("the pictures' values must be floating-point numbers in [0, 1]")
    logits = torch.logit(pictures, eps=_CLAMP)
    if matrix is None:
        return logits
    _check_matrix(matrix, pictures.shape[1])
    inverse, failed = torch.linalg.inv_ex(matrix.double())
    if bool(failed) or not bool(inverse.isfinite().all()):
        raise InputError("the colour matrix has no inverse: its columns must be independent colours")
    return _recolor(logits, inverse.to(pictures))


def normalize(image: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD) -> Tensor:
    """Subtract each channel's mean and divide by its standard deviation: (B, C, H, W) in [0, 1] -> (B, C, H, W).

    The defaults are those of torchvision's classifiers.

    Raises:
        InputError: `mean` or `std` does not have C numbers.
    """
    channels = image.shape[1]
    if (len(mean), len(std)) != (channels, channels):
        raise InputError(
            f"a picture of {channels} channels needs as many means and stds, not {len(mean)} and {len(std)}"
        )
    means, stds = (_per_channel(tuple(values), image.device, image.dtype) for values in (mean, std))
    return (image - means) / stds


@lru_cache(maxsize=32)
def _per_channel(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, C, 1, 1); cached, because an accelerator would have to wait for a copy at every step."""
    with torch.inference_mode(False):  # or a tensor first made in inference could never be used for gradients
        return torch.tensor(values, device=device, dtype=dtype).view(1, -1, 1, 1)


def _recolor(image: Tensor, matrix: Tensor) -> Tensor:
    """Multiply each pixel's channels, (B, C, H, W), by (C, C).

    This is one product per picture. On a CPU, with its gradient, it is faster than an einsum (by a third) or a 1 × 1
    convolution, and its rounding does not depend on the rest of the batch.
    """
    batch, channels, height, width = image.shape
    flat = image.reshape(batch, channels, height * width)
    return torch.bmm(matrix.expand(batch, -1, -1), flat).view(batch, channels, height, width)


def in_unit_range(values: Tensor) -> bool:
    """Whether all values are floating-point numbers in [0, 1]."""
    return values.is_floating_point() and bool(((values >= 0) & (values <= 1)).all())


def _check_matrix(matrix: Tensor, channels: int) -> None:
    if matrix.shape != (channels, channels):
        raise InputError(
            f"pictures of {channels} channels need a ({channels}, {channels}) colour matrix, not {tuple(matrix.shape)}"
        )
