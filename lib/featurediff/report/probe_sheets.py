"""The probe images that activate a network's channels most, cropped as the networks saw them, on sheets."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from feature_vis.errors import InputError
from featurediff.data.decode import load_rgb, val_crop
from featurediff.report.thumbnails import tile_size, write_sheets

__all__ = ["shown_images", "write_probe_sheets"]

log = logging.getLogger("featurediff")


def shown_images(images: pd.DataFrame, top: pd.DataFrame) -> pd.DataFrame:
    """The rows of probe images that are in a list of top images, in the order of their numbers."""
    used = set(top["image"]) if "image" in top else set()
    return images[images["image"].isin(used)].sort_values("image", ignore_index=True)


def write_probe_sheets(
    folder: Path,
    stem: str,
    shown: pd.DataFrame,
    roots: Mapping[str, str],
    *,
    size: int,
    resize: int | None,
    workers: int = 1,
) -> dict[str, Any]:
    """Write the images of `shown_images` on sheets, cropped as for validation, so that receptive fields fit.

    Returns `tile` and `size`, the pixels of a tile's side and of the crop that it shows. An image that is missing
    leaves its tile empty, and a warning in the log.
    """
    tile = tile_size(len(shown))
    rows = shown[["data", "path"]].itertuples(index=False)
    pictures = [partial(_prepared, Path(roots[data]) / path, size, resize) for data, path in rows]
    write_sheets(folder, stem, pictures, tile, workers)
    return {"tile": tile, "size": size}


def _prepared(path: Path, size: int, resize: int | None) -> Image.Image | None:
    try:
        return val_crop(load_rgb(path), size, resize=resize)
    except InputError as error:
        log.warning("a probe image cannot be shown: %s", error)
        return None
