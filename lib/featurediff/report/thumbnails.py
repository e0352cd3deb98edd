"""The pictures of a network, small, many on a sheet: a browser loads a few sheets and not thousands of files.

A sheet holds `PER_SHEET` tiles in rows of `ACROSS`, in the order of channels. Few tiles a sheet, because channels that
stand together once they are sorted by a number are spread over all sheets: what a screen needs is then decoded soon.
Beside its sheets a layer has a JSON file with what the PNGs say of themselves.
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

__all__ = ["ACROSS", "PER_SHEET", "layer_notes", "sheet_name", "tile_size", "write_sheets", "write_thumbnails"]

ACROSS = 8
PER_SHEET = ACROSS * ACROSS

_QUALITY = 82


def sheet_name(stem: str, number: int) -> str:
    return f"{stem}-{number}.webp"


def tile_size(pictures: int) -> int:
    """Pixels of a tile's side: smaller ones where there are many pictures, to keep the page's folder small."""
    return 64 if pictures > 4096 else 96


def write_thumbnails(
    folder: Path, layer: str, paths: Sequence[str | Path], tile: int, workers: int = 1
) -> dict[str, Any]:
    """Write a layer's sheets and `<layer>.json`, which is returned: see `layer_notes`.

    `paths`: PNGs of every seed, `…/[seed<s>/]channel<k>.png`; the first seed's are shown.
    """
    first = sorted((path for path in paths if seed_of(path) == 0), key=channel_of)
    write_sheets(folder, layer, [partial(_open, path) for path in first], tile, workers)
    notes = layer_notes(paths)
    write_text(folder / f"{layer}.json", json.dumps(notes, separators=(",", ":"), sort_keys=True))
    return notes


def write_sheets(
    folder: Path, stem: str, pictures: Sequence[Callable[[], Image.Image | None]], tile: int, workers: int = 1
) -> int:
    """Write `<stem>-<number>.webp` from pictures that are opened when their turn comes; returns how many.

    A picture is fitted into its tile, centred; one that is None leaves its tile transparent.
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
    """What a layer's PNGs say, without decoding them.

    `channels`: their numbers, sorted. `recipe`: the settings that most channels share; `own`: channel -> settings
    that differ from it. `pictures`: channel -> one [seed, activation_start, activation_reached, steps, trajectory] a
    seed; the trajectory is empty where the PNG holds none.

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
            raise InputError(f"{path} does not say its {error.args[0]}: delete it and run again") from None
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
        scale = tile / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        left, top = place % ACROSS * tile, place // ACROSS * tile
        sheet.paste(small, (left + (tile - size[0]) // 2, top + (tile - size[1]) // 2))
    opaque = sheet.getchannel("A").getextrema() == (255, 255)
    return sheet.convert("RGB") if opaque else sheet
