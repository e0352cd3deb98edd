"""All pictures of a layer on one sheet, numbered."""

import math
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from feature_vis.errors import InputError
from featurediff.report.palette import LABEL
from featurediff.report.thumbnails import scaled_to_fit

__all__ = ["contact_sheet"]

_GAP = 6  # pixels between pictures


def contact_sheet(pictures: Iterable[tuple[int, np.ndarray]]) -> Image.Image:
    """The pictures in the given order, each with its channel's number above it.

    `pictures`: (channel, (H, W, 3) uint8). Each is fitted into 96 × 96 px, ten in a row; where there are more than 512,
    into 48 × 48 px, 32 in a row. The background is transparent and the numbers are grey, so that the sheet suits light
    and dark pages.

    Raises:
        InputError: there is no picture.
    """
    tiles = list(pictures)
    if not tiles:
        raise InputError("a contact sheet needs at least one picture")
    most, size = (32, 48) if len(tiles) > 512 else (10, 96)
    columns = min(most, len(tiles))
    font_size = max(10, size // 6)
    font = ImageFont.load_default(font_size)
    label = font_size + 4
    width, height = size + _GAP, size + _GAP + label
    # transparent, but in the labels' colour, with which the smoothed edges of the digits mix
    shape = (columns * width + _GAP, math.ceil(len(tiles) / columns) * height + _GAP)
    sheet = Image.new("RGBA", shape, f"{LABEL}00")
    draw = ImageDraw.Draw(sheet)
    for place, (channel, picture) in enumerate(tiles):
        left, top = _GAP + place % columns * width, _GAP + place // columns * height
        shrunk = scaled_to_fit(Image.fromarray(picture), size)
        draw.text((left, top), str(channel), fill=LABEL, font=font)
        sheet.paste(shrunk, (left + (size - shrunk.width) // 2, top + label + (size - shrunk.height) // 2))
    return sheet
