"""Picture files from anywhere, which may be broken or meant to do harm.

Only formats that Pillow decodes by itself are read; some of the others start a program (EPS: Ghostscript). A file may
claim a size that fits no memory, or make the decoder go over the same pixels endlessly. Both are limited here.
"""

import os
import stat
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image

from feature_vis.errors import InputError

__all__ = ["FORMATS", "MAX_PIXELS", "Fault", "decode", "read_image"]

T = TypeVar("T")

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# Pillow warns above this size; here it is an error.
MAX_PIXELS = 89_478_485

# A progressive JPEG goes over its pixels once per scan. Ten scans are usual, but a small file can hold a million.
_MAX_SCANS = 500
_SCAN = b"\xff\xda"
_SCAN_BYTES = 10  # at least

# Pictures with more pixels are decoded one at a time, so that threads do not hold several of them at once.
_LARGE = 1 << 24
_one_large = threading.Lock()


class Fault(NamedTuple):
    """Why a file cannot be used: `kind` can head a list of files, `detail` is about this file."""

    kind: str
    detail: str


def read_image(path: str | Path, convert: Callable[[Image.Image], T | Fault]) -> T:
    """What `convert` makes of the picture in a file.

    Raises:
        InputError: a file that is missing, truncated, not a picture or above `MAX_PIXELS`, or the fault that `convert`
            returns.
    """
    found = decode(path, convert)
    if isinstance(found, Fault):
        raise InputError(f"{path}: {found.kind}: {found.detail}")
    return found


def decode(path: str | Path, convert: Callable[[Image.Image], T | Fault]) -> T | Fault:
    """As `read_image`, but returns a fault, for callers that collect faults. `convert` gets decoded pixels."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a hundred thousand calls, whose paths are texts)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            return Fault("not a picture", "not a regular file")
        if status.st_size == 0:
            return Fault("not a picture", "the file is empty")
        with Image.open(path, formats=FORMATS) as opened:
            pixels = opened.width * opened.height
            if pixels > MAX_PIXELS:
                return _too_large(f"claims {opened.width} x {opened.height} pixels")
            long = status.st_size > _MAX_SCANS * _SCAN_BYTES and opened.format in ("JPEG", "MPO")
            if long and (scans := _scans(path)) > _MAX_SCANS:
                return Fault("a picture that takes too long", f"{scans} scans; {_MAX_SCANS} are allowed")
            with _one_at_a_time(pixels):
                opened.load()
                return convert(opened)
    except FileNotFoundError:
        return Fault("a missing file", "there is no such file")
    except Image.UnidentifiedImageError:
        return Fault("not a picture", f"none of {', '.join(FORMATS)}, or cut off in its first bytes")
    except Image.DecompressionBombError as error:
        return _too_large(str(error).removesuffix("."))
    except MemoryError:
        raise  # the machine's state, not the file's
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything
        return Fault("a damaged picture", str(error) or type(error).__name__)


def _scans(path: str | Path) -> int:
    with Path(path).open("rb") as file:
        return sum(part.count(_SCAN) for part in iter(lambda: file.read(1 << 20), b""))


def _one_at_a_time(pixels: int) -> AbstractContextManager[object]:
    return _one_large if pixels > _LARGE else nullcontext()


def _too_large(why: str) -> Fault:
    return Fault("a picture that is too large", f"{why}; {MAX_PIXELS:,} are allowed")
