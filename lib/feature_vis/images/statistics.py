"""Statistics of your own pictures: their colours, and how much of each frequency they contain.

Both statistics read the pictures one at a time, so many pictures need time but no memory. A picture is a tensor
(C, H, W) of floating-point numbers in [0, 1], of any size, or the path of a file, which is read as RGB and turned
upright. Each picture counts the same, however large it is.

The second statistic needs the first one's result:

    matrix = color_matrix(paths)
    magnitude = magnitude_spectrum(paths, (224, 224), matrix)
"""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from feature_vis.errors import InputError
from feature_vis.files import atomic_path
from feature_vis.images.colors import from_rgb, in_unit_range
from feature_vis.images.image_files import read_image

__all__ = [
    "ImageStatistics",
    "Picture",
    "color_matrix",
    "load_statistics",
    "magnitude_spectrum",
    "save_statistics",
    "shrink_magnitude",
]

Picture = Tensor | str | Path

# Bytes that a file of statistics may unpack to; those of 8192 px have 0.4 GB.
_LARGEST = 1 << 30

# A basis colour weaker than this share of the strongest one is given this share. Grey pictures in RGB files have only
# one colour, and without this floor the matrix would have no inverse. ImageNet's weakest colour has 13 %.
_WEAKEST = 0.01


class ImageStatistics(NamedTuple):
    """What `save_statistics` writes."""

    matrix: Tensor | None  # (C, C), of `color_matrix`
    magnitude: Tensor  # (C, H, W // 2 + 1), of `magnitude_spectrum`
    size: tuple[int, int]  # (height, width) in pixels


def color_matrix(pictures: Iterable[Picture]) -> Tensor:
    """Square root of the channels' covariance, (C, C), for `colors.to_rgb`: columns are the basis colours.

    The covariance of the values in [0, 1] is decomposed as U S Uᵀ; the matrix is U √S, divided by its largest
    column norm. The strongest colour comes first, and each column's first entry is not negative, as in lucid's
    constants for ImageNet. A colour weaker than 1 % of the strongest counts as 1 %, so that the matrix always has an
    inverse. Source: lucid `optvis/param/color.py`.

    Raises:
        InputError: no pictures, one that cannot be used, or pictures whose pixels are all equal.
    """
    moments = _mean(_moments(picture) for picture in _loaded(pictures))  # (C, 1 + C)
    mean, second = moments[:, :1], moments[:, 1:]  # (C, 1), (C, C)
    directions, variances, _ = torch.linalg.svd(second - mean @ mean.T)
    if float(variances[0]) < 1e-12:  # equal pixels leave a rounding of 1e-16
        raise InputError("the pictures' pixels are all the same: they have no colours to decorrelate")
    strengths = variances.sqrt()
    strengths = strengths.clamp(min=_WEAKEST * float(strengths[0])) / strengths[0]
    signs = torch.where(directions[0] < 0, -1.0, 1.0)  # (C,)
    return (directions * (strengths * signs)).float()


def magnitude_spectrum(pictures: Iterable[Picture], size: tuple[int, int], matrix: Tensor | None) -> Tensor:
    """Mean magnitude of the pictures' orthonormal FFT, (C, H, W // 2 + 1), for `parameterizations.Maco`.

    Each picture is resized (bilinear, antialiased) to cover `size`, (height, width) in pixels, and cropped around its
    middle. `colors.from_rgb` with this matrix then turns RGB into what `Maco.image` makes, so that `colors.to_rgb` with
    the same matrix gives pictures of the same contrast and colours. The spectrum of a single picture, together with
    that picture's phases, gives the picture back. Edges are not windowed, as in the sources.

    Source: Fel et al. 2023. Their published ImageNet spectrum, `imagenet_decorrelated.npy` in xplique and Horama, is
    also one of decorrelated pictures. But its scale is lost, since both standardise the picture made from it, and they
    do not say how values were mapped before.

    Raises:
        InputError: no pictures, one that cannot be used, a wrong matrix, or an impossible size.
    """
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"a picture's size is (height, width), each at least 1, not {size}")
    magnitudes = (_magnitude(picture, size, matrix) for picture in _loaded(pictures))
    return _mean(magnitudes).float()


def shrink_magnitude(magnitude: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """The magnitude of the same pictures at a smaller size: (C, H, W // 2 + 1) for `old` -> the same for `new`.

    Frequencies that `new` cannot hold are left out. The others keep their magnitude, apart from the orthonormal FFT's
    factor sqrt(H' W' / (H W)).

    Raises:
        InputError: `new` is larger in one axis, or the magnitude is not of the old size.
    """
    (height, width), (new_height, new_width) = old, new
    if tuple(magnitude.shape[1:]) != (height, width // 2 + 1):
        raise InputError(f"a magnitude of shape {tuple(magnitude.shape)} is not one of {old} pixels")
    if not (1 <= new_height <= height and 1 <= new_width <= width):
        raise InputError(f"a magnitude of {old} pixels can only shrink, not become {new}: compute it for that size")
    rows = np.fft.fftfreq(new_height, 1 / new_height).round().astype(int) % height  # (H',)
    factor = float(np.sqrt(new_height * new_width / (height * width)))
    return magnitude[:, rows, : new_width // 2 + 1] * factor


def save_statistics(path: str | Path, statistics: ImageStatistics) -> None:
    """Write statistics as `.npz`, whole or not at all.

    Raises:
        InputError: a magnitude that is not of this size.
    """
    height, width = statistics.size
    if tuple(statistics.magnitude.shape[1:]) != (height, width // 2 + 1):
        raise InputError(
            f"a magnitude of shape {tuple(statistics.magnitude.shape)} is not one of {statistics.size} pixels"
        )
    magnitude = statistics.magnitude.cpu().numpy()
    # no matrix is written as an empty one, so that the file always has the same three arrays
    matrix = np.empty((0, 0), np.float32) if statistics.matrix is None else statistics.matrix.cpu().numpy()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, magnitude=magnitude, size=np.array(statistics.size), matrix=matrix)


def load_statistics(path: str | Path) -> ImageStatistics:
    """What `save_statistics` wrote.

    Raises:
        InputError: the file is missing or not such a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := sum(member.file_size for member in archive.infolist())) > _LARGEST:
                raise ValueError(f"it claims {size:,} bytes, {_LARGEST:,} are allowed")
        with np.load(path, allow_pickle=False) as arrays:
            height, width = (int(number) for number in arrays["size"])
            magnitude = torch.from_numpy(arrays["magnitude"])
            matrix = torch.from_numpy(arrays["matrix"])
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file: `feature_vis.images.statistics` writes one") from error
    except Exception as error:  # a broken archive fails in many ways: zipfile, zlib, NumPy, a key
        raise InputError(f"{path}: this is not a file of image statistics: {error}") from error
    return ImageStatistics(matrix if matrix.numel() else None, magnitude, (height, width))


def _moments(picture: Tensor) -> Tensor:
    """First and second moments of the channels, side by side: (C, H, W) -> (C, 1 + C)."""
    pixels = picture.double().flatten(1)  # (C, H · W)
    return torch.cat([pixels.mean(1, keepdim=True), pixels @ pixels.T / pixels.shape[1]], dim=1)


def _magnitude(picture: Tensor, size: tuple[int, int], matrix: Tensor | None) -> Tensor:
    """(C, h, w) -> (C, H, W // 2 + 1), in double precision."""
    image = from_rgb(_covering(picture.double(), size).unsqueeze(0), matrix)[0]  # (C, H, W)
    return torch.fft.rfft2(image, norm="ortho").abs()


def _mean(values: Iterator[Tensor]) -> Tensor:
    """The mean of tensors of one shape; only one of them is in memory at a time."""
    total = next(values, None)
    if total is None:
        raise InputError("the list of pictures is empty: there is nothing to compute statistics of")
    count = 1
    for value in values:
        total = total + value
        count += 1
    return total / count


def _loaded(pictures: Iterable[Picture]) -> Iterator[Tensor]:
    """Each picture as (C, H, W), checked."""
    channels = None
    for number, item in enumerate(pictures):
        if isinstance(item, Tensor):
            name, picture = f"picture {number}", item
        else:
            name, picture = str(item), _read(item)
        if picture.dim() != 3 or picture.numel() == 0:
            raise InputError(f"{name}: its shape is {tuple(picture.shape)}, not (channels, height, width)")
        if not in_unit_range(picture):
            raise InputError(f"{name}: its values must be floating-point numbers in [0, 1]")
        channels = channels or picture.shape[0]
        if picture.shape[0] != channels:
            raise InputError(f"{name}: it has {picture.shape[0]} channels, the ones before it have {channels}")
        yield picture.detach()  # or the sums would keep the gradient's graph of every picture


def _read(path: str | Path) -> Tensor:
    """A picture file as RGB, (3, H, W) in [0, 1]."""
    pixels = read_image(path, lambda opened: np.array(ImageOps.exif_transpose(opened).convert("RGB")))  # (H, W, 3)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _covering(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, h, w) -> (C, H, W): resized in its own proportions until it just covers `size`, then its middle."""
    factor = max(new / old for new, old in zip(size, picture.shape[1:], strict=True))
    height, width = (max(new, round(old * factor)) for new, old in zip(size, picture.shape[1:], strict=True))
    if (height, width) != tuple(picture.shape[1:]):
        resized = interpolate(picture[None], size=(height, width), mode="bilinear", align_corners=False, antialias=True)
        picture = resized[0].clamp(0, 1)  # only rounding lies outside
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return picture[:, top : top + size[0], left : left + size[1]]
