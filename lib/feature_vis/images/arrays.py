"""Pictures as arrays, (H, W, 3) uint8: what they are when read from a file, and how they are put into batches."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from feature_vis.errors import InputError

__all__ = ["batches_of_one_shape", "check_picture"]

T = TypeVar("T")


def check_picture(picture: np.ndarray) -> None:
    """Make sure that an array is a picture.

    Raises:
        InputError: it is not (H, W, 3) uint8, or has no pixels.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise InputError(f"a picture must be (H, W, 3) uint8, not {picture.shape} of {picture.dtype}")


def batches_of_one_shape(items: Iterable[T], most: int, shape: Callable[[T], Hashable]) -> Iterator[list[T]]:
    """Consecutive items that have one `shape`, at most `most` at a time; only one batch is in memory."""
    for _, alike in itertools.groupby(items, key=shape):
        while batch := list(itertools.islice(alike, most)):
            yield batch
