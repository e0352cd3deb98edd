"""Picture arrays as batches of tensors for a network."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from feature_vis.images.arrays import batches_of_one_shape, check_picture

__all__ = ["picture_batches"]


def picture_batches(groups: Iterable[Sequence[np.ndarray]], most: int) -> Iterator[list[Tensor]]:
    """Collect pictures of equal size into batches.

    `groups`: pictures that belong together, such as the base's and the tuned network's of a channel, each (H, W, 3)
    uint8. Yields a tensor (B, 3, H, W) in [0, 1] for the first picture of each of at most `most` successive groups, one
    for the second pictures, and so on. A batch ends where the next group has other sizes.

    Raises:
        InputError: an array that is not a picture.
    """

    def sizes(group: Sequence[np.ndarray]) -> tuple[tuple[int, ...], ...]:
        for picture in group:
            check_picture(picture)
        return tuple(picture.shape for picture in group)

    for batch in batches_of_one_shape(groups, most, sizes):
        columns = (np.stack(column) for column in zip(*batch, strict=True))  # (B, H, W, 3) each
        yield [torch.from_numpy(column).permute(0, 3, 1, 2).float() / 255 for column in columns]
