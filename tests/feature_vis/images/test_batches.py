"""Pictures in batches."""

import numpy as np
import pytest

from feature_vis.errors import InputError
from feature_vis.images.batches import picture_batches


def pictures(count: int, size: int) -> list[np.ndarray]:
    return [np.full((size, size + 1, 3), size + number, np.uint8) for number in range(count)]


def test_pictures_of_one_size_stand_in_one_batch_in_their_order() -> None:
    pairs = [*zip(pictures(5, 4), pictures(5, 6), strict=True), *zip(pictures(2, 8), pictures(2, 6), strict=True)]
    batches = list(picture_batches(pairs, 3))
    shapes = [tuple((len(side), *side.shape[2:]) for side in batch) for batch in batches]
    assert shapes == [((3, 4, 5), (3, 6, 7)), ((2, 4, 5), (2, 6, 7)), ((2, 8, 9), (2, 6, 7))]
    found = [float(picture[0, 0, 0]) * 255 for first, _ in batches for picture in first]
    assert found == pytest.approx([4, 5, 6, 7, 8, 8, 9])
    with pytest.raises(InputError, match="float64"):
        list(picture_batches([[np.zeros((2, 2, 3))]], 2))
