"""The film of a channel: a strip and an animation.

A strip, `channel<k>.png`, has the base's picture and the picture of each epoch from left to right, all of one size and
at one pitch, below their labels. Its notes (`feature_vis.images.png.read_notes`) are

    {"layer": "layer4.1", "channel": 3, "frames": ["base", 0, 2, 5], "width": 96, "height": 96, "pitch": 100, "top": 16}

Frame i covers the pixels from (i * pitch, top) to (i * pitch + width, top + height). The animation, `channel<k>.webp`,
shows the same frames with their labels in a loop. Around the pictures both are transparent, and the labels are grey, so
that they suit light and dark pages. Equal pictures give equal bytes.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from feature_vis.errors import InputError
from feature_vis.files import atomic_path
from feature_vis.images.png import read_picture, write_with_notes
from featurediff.report.palette import LABEL
from featurediff.report.thumbnails import scaled_to_fit

__all__ = ["Tiles", "make_tiles", "write_animation", "write_films", "write_strip"]

# Larger pictures are shrunk: a strip of nine at 400 px would be 3600 px wide and take 3 MB, for every channel.
LARGEST = 192

GAP = 4  # pixels between frames

# Milliseconds for which a frame, and the last frame, is shown.
_EACH, _LAST = 600, 1800


class Tiles(NamedTuple):
    """A channel's frames, each below its label, and the layout of their strip."""

    images: list[Image.Image]
    layout: dict[str, Any]


def make_tiles(pictures: Sequence[np.ndarray], frames: Sequence[str | int]) -> Tiles:
    """From a channel's pictures, (H, W, 3) uint8; `frames`: `base` or the number of an epoch, for each.

    Raises:
        InputError: pictures that differ in size.
    """
    if len(sizes := {picture.shape for picture in pictures}) > 1:
        found = " and ".join(f"{width}×{height}" for height, width, _ in sorted(sizes))
        raise InputError(f"the pictures of a film differ in size: {found} px")
    shown = [Image.fromarray(picture) for picture in pictures]
    if max(shown[0].size) > LARGEST:
        shown = [scaled_to_fit(image, LARGEST) for image in shown]
    labels = [frame if isinstance(frame, str) else f"epoch {frame}" for frame in frames]
    width, height = shown[0].size
    size = max(10, width // 10)
    font = ImageFont.load_default(size)
    wide = max(width, *(round(font.getlength(label) + 0.5) for label in labels))
    top = round(1.4 * size)
    images = []
    for image, label in zip(shown, labels, strict=True):
        # transparent, but in the labels' colour, with which the smoothed edges of the letters mix
        tile = Image.new("RGBA", (wide, top + height), f"{LABEL}00")
        ImageDraw.Draw(tile).text((0, 0), label, fill=LABEL, font=font)
        tile.paste(image, (0, top))
        images.append(tile)
    return Tiles(images, {"frames": list(frames), "width": width, "height": height, "pitch": wide + GAP, "top": top})


def write_strip(path: Path, tiles: Tiles, notes: dict[str, Any]) -> None:
    """Write the tiles side by side as PNG, with the layout and `notes` as its notes."""
    pitch = tiles.layout["pitch"]
    strip = Image.new("RGBA", (pitch * len(tiles.images) - GAP, tiles.images[0].height), f"{LABEL}00")
    for place, tile in enumerate(tiles.images):
        strip.paste(tile, (place * pitch, 0))
    write_with_notes(path, np.asarray(strip), {**notes, **tiles.layout})


def write_animation(path: Path, tiles: Tiles) -> None:
    """Write the tiles as an animated WebP that loops."""
    first, *rest = tiles.images
    duration = [_EACH] * len(rest) + [_LAST]
    with atomic_path(path) as temporary:
        first.save(temporary, save_all=True, append_images=rest, duration=duration, loop=0, quality=85, method=4)


def write_films(table: pd.DataFrame, folder: Path, base: Path, store: Path) -> None:
    """Write the strip and the animation of each channel of a layer; earlier content of the folder is removed.

    `table`: rows of `featurediff.comparison.epochs.measure_epoch` with columns layer, channel, epoch, of one layer.
    `base`: the folder of the base's pictures; `store`: of the epochs'; both have a folder for each layer. The pictures
    are those of the first seed.

    Raises:
        InputError: some pictures are missing; all of them are named.
    """
    (layer,), epochs = table["layer"].unique(), sorted(int(epoch) for epoch in table["epoch"].unique())
    files = {
        int(channel): [place / layer / f"channel{channel}.png" for place in (base, *_folders(store, epochs))]
        for channel in table["channel"].unique()
    }
    if gone := [str(path) for paths in files.values() for path in paths if not path.exists()]:
        tables = f"{store.parent / 'film'}/epoch*.csv"
        raise InputError("\n  ".join([f"pictures of films are missing: delete {tables} and run again", *gone]))
    shutil.rmtree(folder, ignore_errors=True)
    for channel, paths in files.items():
        tiles = make_tiles([read_picture(path)[0] for path in paths], ["base", *epochs])
        write_strip(folder / f"channel{channel}.png", tiles, {"layer": layer, "channel": channel})
        write_animation(folder / f"channel{channel}.webp", tiles)


def _folders(store: Path, epochs: Sequence[int]) -> list[Path]:
    return [store / f"epoch{epoch}" for epoch in epochs]
