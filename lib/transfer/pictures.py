"""Picture files to RGB, whatever they hold, and RGB to what a network is trained on.

How a file becomes 8-bit RGB (`load_rgb`):

- grey, 1-bit, palette, CMYK, YCbCr: Pillow's conversion; colour profiles are not applied;
- 16-bit grey: 0..65535 is scaled to 0..255 and rounded (Pillow's own conversion clips at 255); of 16-bit colour
  Pillow keeps the high byte;
- alpha, or a colour marked as transparent: composited on white, as a page shows it;
- EXIF orientation: applied, so that the picture stands upright;
- animations: the first frame;
- floats, and integers outside 0..65535: refused, since nothing says which value is white.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from feature_vis.colors import normalize
from feature_vis.errors import InputError
from feature_vis.image_files import Fault, decode, read_image
from feature_vis.seeding import generator
from transfer.picture_cache import PictureCache
from transfer.progress import progress

__all__ = [
    "PictureDataset",
    "PictureTransform",
    "faults",
    "load_rgb",
    "normalised",
    "train_transform",
    "val_crop",
    "val_transform",
]

# Pictures that a thread checks before it says so.
_PART = 64

# A picture 1 pixel wide and 10,000 high must not become 256 wide and 2,560,000 high.
_LONGEST = 16

PictureTransform = Callable[[Image.Image, torch.Generator], Tensor]


def load_rgb(path: str | Path) -> Image.Image:
    """Read a picture as 8-bit RGB, upright; the module's docstring says how each kind is converted.

    Raises:
        InputError: missing, truncated, not a picture, of no defined range, or above `image_files.MAX_PIXELS`.
    """
    return read_image(path, _to_rgb)


def faults(root: Path, paths: Sequence[str], threads: int = 1) -> dict[str, Fault]:
    """Decode every picture below `root` once, whole; return those that cannot be used, with the reason.

    As many pictures as `threads`, and only one of more than 16 megapixels, are held at a time.
    """
    parts = [paths[start : start + _PART] for start in range(0, len(paths), _PART)]
    found: dict[str, Fault] = {}
    bar = progress(len(paths), "checking pictures", "img")
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool, bar as advance:
        # What Pillow only warns of, such as a bad EXIF block, is no fault.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for part, of_part in zip(parts, pool.map(partial(_faults, str(root)), parts), strict=True):
            found |= of_part
            advance(len(part))
    return found


def _faults(root: str, paths: Sequence[str]) -> dict[str, Fault]:
    decoded = ((path, decode(f"{root}/{path}", _usable)) for path in paths)
    return {path: fault for path, fault in decoded if isinstance(fault, Fault)}


def _usable(picture: Image.Image) -> Fault | None:
    """As `_to_rgb`, without the work where nothing can go wrong any more."""
    plain = picture.mode in ("RGB", "L") and "transparency" not in picture.info
    if plain and picture.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return None
    rgb = _to_rgb(picture)
    return rgb if isinstance(rgb, Fault) else None


def _to_rgb(picture: Image.Image) -> Image.Image | Fault:
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode == "F":
        return Fault("a picture of no defined range", "its values are floats: save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        return _from_16_bits(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _from_16_bits(picture: Image.Image) -> Image.Image | Fault:
    """Grey of 0..65535, in whichever of Pillow's modes (`I;16`, `I;16B`, or `I` for a PGM)."""
    values = np.asarray(picture).astype(np.int32)  # (H, W); a copy, in which all is done: a large picture has 0.4 GB
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        why = f"its values run from {low} to {high}: save it with 8 or 16 bits"
        return Fault("a picture of no defined range", why)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = 65535  # on white
    values += 128
    values //= 257  # 65535 / 257 = 255
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def train_transform(
    size: int,
    *,
    resize: int | None = None,
    rotation: float = 0.0,
    interpolation: str = "bilinear",
    flip: bool = True,
) -> PictureTransform:
    """Augment a training picture: RGB picture, generator -> (3, size, size) uint8, for `normalised`.

    In this order: the shorter side to `resize` pixels (as it is where None); a random crop of `size` pixels, where
    a smaller picture comes to lie anywhere on black; mirrored in half of the cases; rotated by up to `rotation`
    degrees (0 to 180) either way, black corners, `bilinear` or `nearest` between pixels. Every draw comes from the
    given generator.
    """
    resample = Image.Resampling[interpolation.upper()]
    return partial(_augmented, size=size, resize=resize, rotation=rotation, resample=resample, flip=flip)


def val_transform(size: int, *, resize: int | None = None) -> PictureTransform:
    """Prepare a validation picture without augmentation: the centre crop, padded with black where it is smaller.

    The same contract as `train_transform`; the generator is not used.
    """
    return partial(_centred, size=size, resize=resize)


def val_crop(picture: Image.Image, size: int, *, resize: int | None = None) -> Image.Image:
    """What a network is shown of a validation picture, size × size, before its colours are normalised."""
    picture = _resized(picture, resize)
    return _crop(picture, (picture.width - size) // 2, (picture.height - size) // 2, size)


# Module-level functions, since a loader's workers may be spawned and then need to pickle them.
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
    # Four draws always, so that a setting changes nothing but its own effect.
    x, y, mirror, angle = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    picture = _resized(picture, resize)
    picture = _crop(picture, _between(x, picture.width - size), _between(y, picture.height - size), size)
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
    """The crop's first pixel, uniform over 0..room; over room..0 where the picture is smaller than the crop."""
    return int(share * (abs(room) + 1)) + min(room, 0)


def _crop(picture: Image.Image, left: int, top: int, size: int) -> Image.Image:
    return picture.crop((left, top, left + size, top + size))  # black outside the picture


def _resized(picture: Image.Image, shorter: int | None) -> Image.Image:
    if shorter is None or min(picture.size) == shorter:
        return picture
    scale = shorter / min(picture.size)
    width, height = (min(max(shorter, round(side * scale)), _LONGEST * shorter) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def _pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (3, H, W) uint8


def normalised(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> float32 with ImageNet's mean and standard deviation, what networks are shown.

    On the device that computes, since a byte is sooner moved there than a float.
    """
    return normalize(pictures.float() / 255)


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """The pictures of one part of a split as (3, H, W) uint8 with their class's number, prepared by `transform`.

    What is drawn for a picture depends on (seed, epoch, path) alone: not on the order, nor on the loader's workers.
    `resize`: pixels of the shorter side, as in the transform, before a picture goes into the `cache`, which has a slot
    for every row of the split.

    Raises:
        InputError: pictures of the split that are gone, all of them.
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
        """As drawn for an epoch."""
        drawn = generator(self.seed, "augment", epoch, self.paths[index])
        return self.transform(self._picture(index), drawn), self.labels[index]

    def _picture(self, index: int) -> Image.Image:
        slot = self._slots[index]
        if self._cache is not None and (kept := self._cache.get(slot)) is not None:
            return kept
        try:
            picture = _resized(load_rgb(self.root / self.paths[index]), self._resize)
        except InputError as error:
            raise InputError(
                f"{error}\nPut back the picture that was split, or delete the split, so that it is made again."
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
                f"{self.root}: {len(missing)} pictures of the split are gone:\n"
                + "\n".join(f"  {path}" for path in missing)
                + "\nPut them back, or delete the split, so that it is made again."
            )
