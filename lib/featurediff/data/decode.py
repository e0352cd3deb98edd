"""Image files of every kind to 8-bit RGB, and to the size that a network is given.

How a file becomes 8-bit RGB (`load_rgb`):

- grey, 1-bit, palette, CMYK, YCbCr: Pillow's conversion; colour profiles are not applied;
- 16-bit grey: 0..65535 is scaled to 0..255 and rounded (Pillow's own conversion clips at 255); of 16-bit colour
  Pillow keeps the high byte;
- alpha, or a colour marked as transparent: composited on white, as a web page shows it;
- EXIF orientation: applied, so that the photograph is upright;
- animations: the first frame;
- floats, and integers outside 0..65535: refused, because it is unknown which value is white.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from feature_vis.images.image_files import Fault, decode, read_image
from featurediff.runtime.progress import progress

__all__ = ["crop_at", "faults", "load_rgb", "resized", "val_crop"]

# Photographs that a thread checks before it reports its progress.
_PART = 64

# Limits the longer side: a photograph of 1 × 10,000 pixels must not become one of 256 × 2,560,000.
_LONGEST = 16


def load_rgb(path: str | Path) -> Image.Image:
    """Read a photograph as 8-bit RGB, upright; the module's docstring says how each kind is converted.

    Raises:
        InputError: it is missing, truncated, no image, of an undefined range, or above `image_files.MAX_PIXELS`.
    """
    return read_image(path, _to_rgb)


def faults(root: Path, paths: Sequence[str], threads: int = 1) -> dict[str, Fault]:
    """Decode every photograph below `root` completely; return those that cannot be used, with the reason.

    At most `threads` photographs are in memory at a time, and only one of more than 16 megapixels.
    """
    parts = [paths[start : start + _PART] for start in range(0, len(paths), _PART)]
    found: dict[str, Fault] = {}
    bar = progress(len(paths), "checking photographs", "img")
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool, bar as advance:
        # Where Pillow only warns, of a damaged EXIF block for example, the photograph is usable.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for part, of_part in zip(parts, pool.map(partial(_faults, str(root)), parts), strict=True):
            found |= of_part
            advance(len(part))
    return found


def _faults(root: str, paths: Sequence[str]) -> dict[str, Fault]:
    decoded = ((path, decode(f"{root}/{path}", _usable)) for path in paths)
    return {path: fault for path, fault in decoded if isinstance(fault, Fault)}


def _usable(picture: Image.Image) -> Fault | None:
    """The fault that `_to_rgb` would find; no conversion where none is possible."""
    simple = picture.mode in ("RGB", "L") and "transparency" not in picture.info
    if simple and picture.getexif().get(ExifTags.Base.Orientation, 1) == 1:
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
    values = np.asarray(picture).astype(np.int32)  # (H, W); a copy to work in place: a large photograph has 0.4 GB
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


def val_crop(picture: Image.Image, size: int, *, resize: int | None = None) -> Image.Image:
    """The centre crop that a network is given, size × size pixels, before its colours are normalised."""
    picture = resized(picture, resize)
    return crop_at(picture, (picture.width - size) // 2, (picture.height - size) // 2, size)


def crop_at(picture: Image.Image, left: int, top: int, size: int) -> Image.Image:
    """A square of `size` pixels with this upper left corner; it may extend beyond the photograph."""
    return picture.crop((left, top, left + size, top + size))  # black outside the photograph


def resized(picture: Image.Image, shorter: int | None) -> Image.Image:
    """The photograph with a shorter side of so many pixels; unchanged where None."""
    if shorter is None or min(picture.size) == shorter:
        return picture
    scale = shorter / min(picture.size)
    width, height = (min(max(shorter, round(side * scale)), _LONGEST * shorter) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR)
