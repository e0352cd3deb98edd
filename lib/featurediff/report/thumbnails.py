"""Small versions of a network's pictures, on sheets: a browser loads a few sheets instead of thousands of files.

A sheet holds `PER_SHEET` tiles in rows of `ACROSS`, in the order of the channels. Sheets are small, because
channels that are sorted by some number come from all sheets, and those of a screen must be decoded soon. Beside its
sheets, a layer has a JSON file with the notes of its PNGs.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from feature_vis.errors import InputError
from feature_vis.files import atomic_path, write_text
from feature_vis.images.png import channel_of, peek_notes, read_picture, seed_of

__all__ = [
    "ACROSS",
    "PER_SHEET",
    "layer_notes",
    "scaled_to_fit",
    "sheet_name",
    "tile_size",
    "write_sheets",
    "write_thumbnails",
]

ACROSS = 8
PER_SHEET = ACROSS * ACROSS

_QUALITY = 82


def sheet_name(stem: str, number: int) -> str:
    return f"{stem}-{number}.webp"


def tile_size(pictures: int) -> int:
    """Pixels of a tile's side: smaller ones where there are many pictures, to keep the page's folder small."""
    return 64 if pictures > 4096 else 96


def scaled_to_fit(image: Image.Image, size: int, reducing_gap: float | None = None) -> Image.Image:
    """Scaled so that the longer side is `size` pixels; `reducing_gap` is Pillow's, and makes it faster."""
    scale = size / max(image.size)
    wanted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if image.size == wanted:
        return image
    return image.resize(wanted, Image.Resampling.LANCZOS, reducing_gap=reducing_gap)


def write_thumbnails(
    folder: Path, layer: str, paths: Sequence[str | Path], tile: int, workers: int = 1
) -> dict[str, Any]:
    """Write a layer's sheets and `<layer>.json`; returns the content of the latter, see `layer_notes`.

    `paths`: PNGs of every seed, `…/[seed<s>/]channel<k>.png`. The sheets show those of the first seed.
    """
    first = sorted((path for path in paths if seed_of(path) == 0), key=channel_of)
    write_sheets(folder, layer, [partial(_open, path) for path in first], tile, workers)
    notes = layer_notes(paths)
    write_text(folder / f"{layer}.json", json.dumps(notes, separators=(",", ":"), sort_keys=True))
    return notes


def write_sheets(
    folder: Path, stem: str, pictures: Sequence[Callable[[], Image.Image | None]], tile: int, workers: int = 1
) -> int:
    """Write `<stem>-<number>.webp` from pictures, each opened when it is needed; returns the number of sheets.

    A picture is fitted into its tile and centred; where there is None, the tile stays transparent.
    """
    chunks = [pictures[start : start + PER_SHEET] for start in range(0, len(pictures), PER_SHEET)]

    def write(number: int) -> None:
        sheet = _sheet([read() for read in chunks[number]], tile)
        with atomic_path(folder / sheet_name(stem, number)) as temporary:
            sheet.save(temporary, format="WEBP", quality=_QUALITY, method=4)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        list(pool.map(write, range(len(chunks))))
    return len(chunks)


def layer_notes(paths: Iterable[str | Path]) -> dict[str, Any]:
    """The notes of a layer's PNGs, whose pixels are not decoded.

    `channels`: their numbers, sorted. `recipe`: the settings that most channels share. `own`: channel -> the settings
    that differ from it. `pictures`: channel -> [seed, activation_start, activation_reached, steps, trajectory] for
    each seed; the trajectory is empty where the PNG has none.

    Raises:
        InputError: a PNG without notes.
    """
    recipes: dict[int, dict[str, Any]] = {}
    pictures: dict[int, list[list[Any]]] = {}
    for path in sorted(paths, key=lambda path: (channel_of(path), seed_of(path))):
        notes, channel, seed = peek_notes(path), channel_of(path), seed_of(path)
        try:
            recipe, *values = (notes[name] for name in ("recipe", "activation_start", "activation_reached", "steps"))
        except KeyError as error:
            raise InputError(f"{path} lacks the note {error.args[0]}: delete it and run again") from None
        if seed == 0:
            recipes[channel] = recipe
        pictures.setdefault(channel, []).append([seed, *values, notes.get("trajectory", [])])
    texts = [json.dumps(recipe, sort_keys=True) for recipe in recipes.values()]
    common = json.loads(max(sorted(set(texts)), key=texts.count)) if texts else {}
    differing = {
        channel: {name: value for name, value in recipe.items() if common.get(name) != value}
        for channel, recipe in recipes.items()
    }
    return {
        "channels": sorted(pictures),
        "recipe": common,
        "own": {str(channel): settings for channel, settings in differing.items() if settings},
        "pictures": {str(channel): rows for channel, rows in pictures.items()},
    }


def _open(path: str | Path) -> Image.Image:
    return Image.fromarray(read_picture(path)[0])


def _sheet(pictures: Sequence[Image.Image | None], tile: int) -> Image.Image:
    rows = -(-len(pictures) // ACROSS)
    sheet = Image.new("RGBA", (ACROSS * tile, rows * tile))
    for place, picture in enumerate(pictures):
        if picture is None:
            continue
        small = scaled_to_fit(picture, tile, reducing_gap=3.0)
        left, top = place % ACROSS * tile, place // ACROSS * tile
        sheet.paste(small, (left + (tile - small.width) // 2, top + (tile - small.height) // 2))
    opaque = sheet.getchannel("A").getextrema() == (255, 255)
    return sheet.convert("RGB") if opaque else sheet
