"""Pictures on disk: PNGs whose notes say how they were made and what they reached."""

import io
import json
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from feature_vis.errors import InputError
from feature_vis.files import write_bytes
from feature_vis.images.arrays import check_picture
from feature_vis.images.image_files import MAX_PIXELS

__all__ = [
    "channel_of",
    "peek_notes",
    "read_notes",
    "read_picture",
    "refuse_cut_off",
    "seed_of",
    "write_picture",
    "write_with_notes",
]

_TEXT_KEY = "featurediff"
_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk of every PNG, its checksum included
_MOST_BYTES = 4 * MAX_PIXELS  # of a file: more than any picture and its notes have


def channel_of(path: str | Path) -> int:
    """The channel's number from a picture's name, `channel12.png` -> 12."""
    match = re.fullmatch(r"channel(\d+)\.png", Path(path).name)
    if match is None:
        raise ValueError(f"{path} is not named channel<number>.png")
    return int(match[1])


def seed_of(path: str | Path) -> int:
    """Which of a channel's seeds a picture is, from 0: `seed2/channel12.png` -> 2, `channel12.png` -> 0."""
    match = re.fullmatch(r"seed(\d+)", Path(path).parent.name)
    return int(match[1]) if match else 0


def write_picture(path: str | Path, picture: np.ndarray, notes: dict[str, Any]) -> None:
    """Write (H, W, 3) uint8 with `notes` as JSON in the PNG's text, whole or not at all.

    Equal pictures and notes give equal bytes.

    Raises:
        InputError: an array that is no picture.
    """
    check_picture(picture)
    write_with_notes(path, picture, notes)


def write_with_notes(path: str | Path, pixels: np.ndarray, notes: dict[str, Any]) -> None:
    """Write what is made of pictures, such as a film's strip, (H, W, 3 or 4) uint8; otherwise as `write_picture`."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt(_TEXT_KEY, json.dumps(notes, sort_keys=True))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=text, compress_level=6)
    write_bytes(path, buffer.getvalue())


def read_picture(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture, (H, W, 3) uint8, and its notes.

    Raises:
        InputError: no such file, or a PNG that is truncated, too large or without notes.
    """
    with _faults_of(path):
        data = Path(path).read_bytes()
        if not data.endswith(_END):  # the decoder is content without the last chunks
            raise OSError("its end is missing")
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            _check_size(image)
            image.load()
            return np.asarray(image.convert("RGB")), _notes(image)


def peek_notes(path: str | Path) -> dict[str, Any]:
    """The notes of a picture, without decoding it; it may be cut off after them.

    Raises:
        InputError: no such file, or a PNG that is too large or without notes.
    """
    with _faults_of(path), Image.open(path, formats=["PNG"]) as image:
        _check_size(image)
        return _notes(image)


@contextmanager
def _faults_of(path: str | Path) -> Iterator[None]:
    """Turn what the block raises into an `InputError` about the file, and refuse one that must not be opened."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:  # reading a pipe would wait for ever
            raise OSError(f"a regular file of at most {_MOST_BYTES:,} bytes is expected")
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: make it again (`snakemake pictures`), then run again") from None
    except KeyError:
        raise InputError(f"{path} has no notes of featurediff: delete it and run again") from None
    except MemoryError:
        raise
    except Exception as error:  # broken files make the decoder raise nearly anything
        why = str(error) or type(error).__name__
        raise InputError(f"{path} is not a whole picture ({why}): delete it and run again") from None


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise OSError(f"it claims {image.width} x {image.height} pixels")


def _notes(image: Image.Image) -> dict[str, Any]:
    notes = json.loads(image.info[_TEXT_KEY])
    if not isinstance(notes, dict):
        raise KeyError(_TEXT_KEY)
    return notes


def refuse_cut_off(paths: Iterable[str | Path]) -> None:
    """Check the ends of picture files, which is quick for tens of thousands; missing files are skipped.

    Raises:
        InputError: all pictures that are cut off.
    """
    if found := [str(path) for path in paths if _is_cut_off(path)]:
        raise InputError(f"{len(found)} pictures are cut off: delete them and run again\n  " + "\n  ".join(found))


def _is_cut_off(path: str | Path) -> bool:
    try:
        with Path(path).open("rb") as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(max(0, length - len(_END)))
            return file.read() != _END
    except FileNotFoundError:
        return False


def read_notes(path: str | Path) -> dict[str, Any] | None:
    """The notes of a whole picture, or None if there is no such file or it cannot be read."""
    if not Path(path).exists():
        return None
    try:
        return read_picture(path)[1]
    except InputError:
        return None
