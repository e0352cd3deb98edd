"""Pictures on disk: PNGs that carry how they were made and what was reached."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from feature_vis.errors import InputError
from feature_vis.files import write_bytes

__all__ = ["by_layer", "channel_of", "layer_of", "read_notes", "read_picture", "seed_of", "write_picture"]

_TEXT_KEY = "featurediff"
_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk of every PNG, its checksum included


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


def layer_of(path: str | Path) -> str:
    """The layer's name from a picture's folders, `layer4.2/channel12.png` or `layer4.2/seed1/channel12.png`."""
    folder = Path(path).parent
    return folder.parent.name if seed_of(path) else folder.name


def by_layer(*networks: Sequence[str]) -> dict[str, tuple[list[str], ...]]:
    """Networks' PNGs, in equal order, grouped by layer: for each layer one list a network."""
    layers: dict[str, tuple[list[str], ...]] = {}
    for pictures in zip(*networks, strict=True):
        group = layers.setdefault(layer_of(pictures[0]), tuple([] for _ in networks))
        for paths, picture in zip(group, pictures, strict=True):
            paths.append(picture)
    return layers


def write_picture(path: str | Path, picture: np.ndarray, notes: dict[str, Any]) -> None:
    """Write (H, W, 3) uint8 with `notes` as JSON in the PNG's text, whole or not at all.

    Equal pictures and notes give equal bytes.
    """
    text = PngImagePlugin.PngInfo()
    text.add_itxt(_TEXT_KEY, json.dumps(notes, sort_keys=True))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", pnginfo=text, compress_level=6)
    write_bytes(path, buffer.getvalue())


def read_picture(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture, (H, W, 3) uint8, and its notes; a PNG that is truncated or not ours is an error."""
    try:
        data = Path(path).read_bytes()
        if not data.endswith(_END):  # the decoder is content without the last chunks
            raise OSError("its end is missing")
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            pixels = np.asarray(image.convert("RGB"))
            notes = json.loads(image.info[_TEXT_KEY])
    except FileNotFoundError:
        raise InputError(f"{path} is gone: run again") from None
    except KeyError:
        raise InputError(f"{path} carries no notes of featurediff: delete it and run again") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} is not a whole picture ({error}): delete it and run again") from None
    return pixels, notes


def read_notes(path: str | Path) -> dict[str, Any] | None:
    """The notes of a whole picture, or None where there is no such file or it cannot be trusted."""
    if not Path(path).exists():
        return None
    try:
        return read_picture(path)[1]
    except InputError:
        return None
