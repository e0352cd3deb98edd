"""Pictures side by side in one file."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["write_sheet"]


def write_sheet(path: Path, pictures: Sequence[np.ndarray], across: int | None = None, side: int | None = None) -> None:
    """The pictures, (H, W, 3) uint8 of one size, in rows of `across`; by default about twice as wide as high.

    `side`: pixels of a picture on the sheet, at most; by default as it is. The suffix decides the file's format.
    """
    across = across or math.ceil(math.sqrt(2 * len(pictures)))
    if side is not None and side < max(pictures[0].shape[:2]):
        pictures = [np.asarray(_fitted(Image.fromarray(picture), side)) for picture in pictures]
    height, width = pictures[0].shape[:2]
    sheet = np.full((math.ceil(len(pictures) / across) * height, across * width, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, across)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    quality = {"quality": 88} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    Image.fromarray(sheet).save(path, **quality)


def _fitted(image: Image.Image, side: int) -> Image.Image:
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
