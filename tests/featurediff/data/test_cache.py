"""What is put into the cache comes out of it, in this process and in those it forks, and never more than fits."""

import multiprocessing

import numpy as np
import pytest
from PIL import Image

from featurediff.data.cache import PictureCache


def picture(seed: int, width: int = 7, height: int = 5) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def same(first: Image.Image | None, second: Image.Image) -> bool:
    return first is not None and first.size == second.size and first.tobytes() == second.tobytes()


def test_pictures_of_any_size_come_back() -> None:
    cache = PictureCache(4, 10_000)
    kept = {0: picture(0), 3: picture(1, 20, 3), 1: picture(2, 1, 1)}
    for slot, each in kept.items():
        cache.put(slot, each)
    assert all(same(cache.get(slot), each) for slot, each in kept.items())
    assert cache.get(2) is None


def test_what_does_not_fit_is_left_out_and_what_is_smaller_may_follow() -> None:
    cache = PictureCache(3, 7 * 5 * 3 + 12)
    for slot, each in [(0, picture(0)), (0, picture(0)), (1, picture(1)), (2, picture(2, 2, 2))]:
        cache.put(slot, each)  # a second picture of a number takes no room
    assert same(cache.get(0), picture(0))
    assert cache.get(1) is None
    assert same(cache.get(2), picture(2, 2, 2))
    none = PictureCache(1, 0)
    none.put(0, picture(0))
    assert none.get(0) is None


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system forks no process")
def test_processes_fill_it_for_each_other() -> None:
    cache = PictureCache(40, 40 * 7 * 5 * 3)

    def fill(first: int) -> None:
        for slot in range(first, 40):  # the two meet
            cache.put(slot, picture(slot))

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=fill, args=(first,)) for first in (0, 10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    assert all(same(cache.get(slot), picture(slot)) for slot in range(40))
