"""Photographs as tensors for a network, augmented or centred, and a data set of them."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from feature_vis.errors import InputError
from feature_vis.images.colors import normalize
from feature_vis.seeding import generator
from featurediff.data.cache import PictureCache
from featurediff.data.decode import crop_at, load_rgb, resized, val_crop

__all__ = [
    "PictureDataset",
    "PictureTransform",
    "normalised",
    "photograph_batches",
    "train_transform",
    "val_transform",
]

PictureTransform = Callable[[Image.Image, torch.Generator], Tensor]


def train_transform(
    size: int,
    *,
    resize: int | None = None,
    rotation: float = 0.0,
    interpolation: str = "bilinear",
    flip: bool = True,
) -> PictureTransform:
    """Augment a training photograph: (image, generator) -> (3, size, size) uint8, for `normalised`.

    The steps: scale the shorter side to `resize` pixels (unchanged where None); crop `size` pixels at random (a smaller
    photograph is placed at random on black); mirror half of the time; rotate by up to `rotation` degrees (0 to 180)
    either way, `bilinear` or `nearest` between pixels, with black corners. All draws come from the given generator.
    """
    resample = Image.Resampling[interpolation.upper()]
    return partial(_augmented, size=size, resize=resize, rotation=rotation, resample=resample, flip=flip)


def val_transform(size: int, *, resize: int | None = None) -> PictureTransform:
    """Prepare a photograph without augmentation: the centre crop, padded with black where the photograph is smaller.

    Called as `train_transform`'s; the generator is not used.
    """
    return partial(_centred, size=size, resize=resize)


# At module level, because spawned workers of a loader must pickle them.
def _augmented(
    picture: Image.Image,
    generator: torch.Generator,
    *,
    size: int,
    resize: int | None,
    rotation: float,
    resample: Image.Resampling,
    flip: bool,
) -> Tensor:
    # Always four draws, so that a setting has no effect but its own.
    x, y, mirror, angle = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    picture = resized(picture, resize)
    picture = crop_at(picture, _between(x, picture.width - size), _between(y, picture.height - size), size)
    if flip and mirror < 0.5:
        picture = ImageOps.mirror(picture)
    if rotation > 0:
        picture = picture.rotate((2 * angle - 1) * rotation, resample=resample)
    return _pixels(picture)


def _centred(
    picture: Image.Image, _generator: torch.Generator | None = None, *, size: int, resize: int | None
) -> Tensor:
    return _pixels(val_crop(picture, size, resize=resize))


def _between(share: float, room: int) -> int:
    """The crop's first pixel, uniform over 0..room; over room..0 where the photograph is smaller than the crop."""
    return int(share * (abs(room) + 1)) + min(room, 0)


def _pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (3, H, W) uint8


def normalised(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> float32, normalised with ImageNet's mean and standard deviation as networks expect.

    To be called on the computing device: bytes are moved there faster than floats.
    """
    return normalize(pictures.float() / 255)


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """The photographs of one part of a split, prepared by `transform`: (3, H, W) uint8 and the class index.

    The draws for a photograph depend on (seed, epoch, path) alone, not on the order or on the loader's workers.
    `resize`: pixels of the shorter side, as in the transform, to which a photograph is scaled before it goes into the
    `cache`, which has a slot for every row of the split.

    Raises:
        InputError: photographs of the split are missing; all of them are named.
    """

    def __init__(
        self,
        root: str | Path,
        split: pd.DataFrame,
        part: str,
        transform: PictureTransform,
        *,
        seed: int = 0,
        resize: int | None = None,
        cache: PictureCache | None = None,
    ) -> None:
        chosen = np.flatnonzero(split["split"] == part)
        rows = split.iloc[chosen]
        self.root = Path(root)
        self.paths: list[str] = rows["path"].tolist()
        self.labels: list[int] = [int(number) for number in rows["class_index"]]
        self.transform = transform
        self.seed = seed
        self._resize = resize
        self._cache = cache
        self._slots = chosen.tolist()
        self._refuse_missing()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.item(index, epoch=0)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None}

    def item(self, index: int, epoch: int) -> tuple[Tensor, int]:
        """A photograph with the draws of an epoch, and its class index."""
        drawn = generator(self.seed, "augment", epoch, self.paths[index])
        return self.transform(self._picture(index), drawn), self.labels[index]

    def _picture(self, index: int) -> Image.Image:
        slot = self._slots[index]
        if self._cache is not None and (kept := self._cache.get(slot)) is not None:
            return kept
        try:
            picture = resized(load_rgb(self.root / self.paths[index]), self._resize)
        except InputError as error:
            raise InputError(
                f"{error}\nPut the photograph back, or delete the split, so that it is made again."
            ) from None
        if self._cache is not None:
            self._cache.put(slot, picture)
        return picture

    def _refuse_missing(self) -> None:
        folders = {os.path.dirname(path) for path in self.paths}  # noqa: PTH120 (a hundred thousand of them)
        present: set[str] = set()
        for folder in folders:
            if (self.root / folder).is_dir():
                present |= {f"{folder}/{name}" if folder else name for name in os.listdir(self.root / folder)}  # noqa: PTH208
        if missing := [path for path in self.paths if path not in present]:
            raise InputError(
                f"{self.root}: {len(missing)} photographs of the split are missing:\n"
                + "\n".join(f"  {path}" for path in missing)
                + "\nPut them back, or delete the split, so that it is made again."
            )


def photograph_batches(sets: Iterable[PictureDataset], size: int) -> Iterator[Tensor]:
    """The photographs of data sets in their order: (B, 3, H, W) normalised, B = `size` or, in the last batch, less."""
    pictures = (data[index][0] for data in sets for index in range(len(data)))  # (3, H, W) uint8 each
    while some := list(islice(pictures, size)):
        yield normalised(torch.stack(some))
