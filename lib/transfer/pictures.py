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
import stat
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from feature_vis.colors import normalize
from feature_vis.errors import InputError
from feature_vis.seeding import generator
from transfer.progress import progress

__all__ = [
    "MAX_PIXELS",
    "PictureDataset",
    "PictureTransform",
    "faults",
    "load_rgb",
    "train_transform",
    "val_crop",
    "val_transform",
]

# A picture file can claim a size that no memory holds; Pillow warns from this size on, here it is an error.
MAX_PIXELS = 89_478_485

# What pictures for training come in. Pillow reads more, some through other programs (EPS starts Ghostscript).
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# Larger ones are checked one at a time, so that the threads that check do not hold several.
_LARGE = 1 << 24
_one_large = threading.Lock()

# A picture 1 pixel wide and 10,000 high must not become 256 wide and 2,560,000 high.
_LONGEST = 16

PictureTransform = Callable[[Image.Image, torch.Generator], Tensor]


class Fault(NamedTuple):
    """Why a file cannot be used: the kind is a heading, the detail what stands beside the file."""

    kind: str
    detail: str


def load_rgb(path: str | Path) -> Image.Image:
    """Read a picture as 8-bit RGB, upright; the module's docstring says how each kind is converted.

    Raises:
        InputError: missing, truncated, not a picture, of no defined range, or above `MAX_PIXELS`.
    """
    picture = _decode(path)
    if isinstance(picture, Fault):
        raise InputError(f"{path}: {picture.kind}: {picture.detail}")
    return picture


def faults(root: Path, paths: Sequence[str]) -> dict[str, Fault]:
    """Decode every picture below `root` once, whole; return those that cannot be used, with the reason.

    At most four pictures, and only one of more than 16 megapixels, are held at a time.
    """
    threads = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    found: dict[str, Fault] = {}
    bar = progress(len(paths), "checking pictures", "img")
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool, bar as advance:
        # What Pillow only warns of, such as a bad EXIF block, is no fault; a size above MAX_PIXELS is one below.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for start in range(0, len(paths), 512):  # a bounded queue
            some = paths[start : start + 512]
            for path, fault in zip(some, pool.map(_fault, (root / path for path in some)), strict=True):
                advance(1)
                if fault is not None:
                    found[path] = fault
    return found


def _fault(path: Path) -> Fault | None:
    picture = _decode(path)
    return picture if isinstance(picture, Fault) else None


def _decode(path: str | Path) -> Image.Image | Fault:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            return Fault("not a picture", "not a regular file")
        if status.st_size == 0:
            return Fault("not a picture", "the file is empty")
        with Image.open(path, formats=_FORMATS) as opened:
            pixels = opened.width * opened.height
            if pixels > MAX_PIXELS:
                return _too_large(f"claims {opened.width} x {opened.height} pixels")
            with _one_large if pixels > _LARGE else nullcontext():
                opened.load()
                return _to_rgb(opened)
    except FileNotFoundError:
        return Fault("a label without a file", "there is no such file")
    except Image.UnidentifiedImageError:
        return Fault("not a picture", f"none of {', '.join(_FORMATS)}, or cut off in its first bytes")
    except Image.DecompressionBombError as error:
        return _too_large(str(error).removesuffix("."))
    except MemoryError:
        raise  # the machine's state, not the file's
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything
        return Fault("a damaged picture", str(error) or type(error).__name__)


def _too_large(why: str) -> Fault:
    return Fault("a picture that is too large", f"{why}; {MAX_PIXELS:,} are allowed")


def _to_rgb(picture: Image.Image) -> Image.Image | Fault:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        return Fault("a picture of no defined range", "its values are floats: save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        return _from_16_bits(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _from_16_bits(picture: Image.Image) -> Image.Image | Fault:
    """Grey of 0..65535, in whichever of Pillow's modes (`I;16`, `I;16B`, or `I` for a PGM)."""
    values = np.asarray(picture).astype(np.int64)  # (H, W)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        why = f"its values run from {low} to {high}: save it with 8 or 16 bits"
        return Fault("a picture of no defined range", why)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = 65535  # on white
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")  # 65535 / 257 = 255


def train_transform(
    size: int, *, resize: int | None = None, rotation: float = 0.0, flip: bool = True
) -> PictureTransform:
    """Augment a training picture: RGB picture, generator -> (3, size, size) normalised with ImageNet's mean.

    In this order: the shorter side to `resize` pixels (as it is where None); a random crop of `size` pixels, where
    a smaller picture comes to lie anywhere on black; mirrored in half of the cases; rotated by up to `rotation`
    degrees (0 to 180) either way, black corners. Every draw comes from the given generator.
    """
    return partial(_augmented, size=size, resize=resize, rotation=rotation, flip=flip)


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
    picture: Image.Image, generator: torch.Generator, *, size: int, resize: int | None, rotation: float, flip: bool
) -> Tensor:
    # Four draws always, so that a setting changes nothing but its own effect.
    x, y, mirror, angle = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    picture = _resized(picture, resize)
    picture = _crop(picture, _between(x, picture.width - size), _between(y, picture.height - size), size)
    if flip and mirror < 0.5:
        picture = ImageOps.mirror(picture)
    if rotation > 0:
        picture = picture.rotate((2 * angle - 1) * rotation, resample=Image.Resampling.BILINEAR)
    return _normalised(picture)


def _centred(
    picture: Image.Image, _generator: torch.Generator | None = None, *, size: int, resize: int | None
) -> Tensor:
    return _normalised(val_crop(picture, size, resize=resize))


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


def _normalised(picture: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255  # (3, H, W) in [0, 1]
    return normalize(pixels.unsqueeze(0))[0]


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """The pictures of one part of a split as (3, H, W) normalised tensors with their class's number.

    What is drawn for a picture depends on (seed, epoch, path) alone: not on the order, nor on the loader's workers.
    Decoded pictures are kept while they fit into `cache_bytes`, in the main process only: a loader's workers end
    with the epoch, and what each kept would go with it.

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
        cache_bytes: int = 1 << 28,
    ) -> None:
        rows = split[split["split"] == part]
        self.root = Path(root)
        self.paths: list[str] = rows["path"].tolist()
        self.labels: list[int] = [int(number) for number in rows["class_index"]]
        self.transform = transform
        self.seed = seed
        self.epoch = 0
        self._room = cache_bytes
        self._cache: dict[int, Image.Image] = {}
        self._refuse_missing()

    def set_epoch(self, epoch: int) -> None:
        """Other draws for each epoch; before the epoch's loader is made, whose workers hold a copy of this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        drawn = generator(self.seed, "augment", self.epoch, self.paths[index])
        return self.transform(self._picture(index), drawn), self.labels[index]

    def _picture(self, index: int) -> Image.Image:
        if index in self._cache:
            return self._cache[index]
        try:
            picture = load_rgb(self.root / self.paths[index])
        except InputError as error:
            raise InputError(
                f"{error}\nPut back the picture that was split, or delete the split, so that it is made again."
            ) from None
        size = picture.width * picture.height * 3
        if size <= self._room and get_worker_info() is None:
            self._room -= size
            self._cache[index] = picture
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
