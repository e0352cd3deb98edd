"""Sheets of numbered pictures, read back from the pixels."""

import numpy as np
import pytest

from feature_vis.errors import InputError
from featurediff.report.contact_sheet import contact_sheet

LABEL = 20  # pixels of the numbers' strip above each picture of 96 px
PITCH = 96 + 6


def squares(*colors: tuple[int, int, int]) -> list[tuple[int, np.ndarray]]:
    return [(channel, np.full((32, 32, 3), color, np.uint8)) for channel, color in enumerate(colors)]


def test_it_places_pictures_in_rows_of_ten() -> None:
    colors = [(20 * number, 255 - 20 * number, 7) for number in range(12)]
    pixels = np.asarray(contact_sheet(squares(*colors)))
    assert pixels.shape == (2 * (PITCH + LABEL) + 6, 10 * PITCH + 6, 4)
    for number, color in enumerate(colors):
        row, column = divmod(number, 10)
        top, left = 6 + row * (PITCH + LABEL) + LABEL, 6 + column * PITCH
        assert (pixels[top : top + 96, left : left + 96] == (*color, 255)).all()
    assert pixels[:, :6, 3].max() == 0  # transparent between the pictures
    numbers = pixels[6 : 6 + LABEL, :, 3].astype(int)
    assert numbers[:, :PITCH].max() > 150
    four = np.asarray(contact_sheet([(1276, np.zeros((96, 96, 3), np.uint8))]))[6 : 6 + LABEL, :, 3].astype(int)
    assert four.sum() > 2 * numbers[:, :PITCH].sum()  # four digits hold more ink than one


def test_other_shapes_are_centred_and_many_pictures_are_smaller() -> None:
    tall = np.asarray(contact_sheet([(0, np.full((48, 24, 3), 9, np.uint8))]))[6 + LABEL : -6, 6:-6, 3]
    assert tall.any(axis=0).nonzero()[0].tolist() == list(range(24, 72))
    assert contact_sheet(squares(*[(0, 0, 0)] * 513)).width == 32 * (48 + 6) + 6
    with pytest.raises(InputError, match="at least one"):
        contact_sheet([])
