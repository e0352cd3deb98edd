"""Pictures as arrays."""

import numpy as np
import pytest

from feature_vis.errors import InputError
from feature_vis.images.arrays import batches_of_one_shape, check_picture


def test_what_is_no_picture_is_refused() -> None:
    check_picture(np.zeros((4, 5, 3), np.uint8))
    arrays = [np.zeros(shape, np.uint8) for shape in [(4, 4), (4, 4, 4), (1, 4, 4, 3), (0, 4, 3)]]
    for array in [np.zeros((4, 4, 3)), np.zeros((4, 4, 3), np.int8), *arrays]:
        with pytest.raises(InputError, match=r"must be \(H, W, 3\) uint8"):
            check_picture(array)


def test_batches_are_consecutive_and_of_one_shape() -> None:
    words = iter(["a", "b", "c", "dd", "e", "ff", "gg"])
    assert list(batches_of_one_shape(words, 2, len)) == [["a", "b"], ["c"], ["dd"], ["e"], ["ff", "gg"]]
    assert not list(batches_of_one_shape([], 2, len))
