"""What is put into the cache comes out of it, and never more than fits."""

import numpy as np
from PIL import Image

from featurediff.data.cache import PictureCache


def picture(seed: int, width: int = 7, height: int = 5) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def holds(cache: PictureCache, slot: int, picture: Image.Image) -> bool:
    kept = cache.get(slot)
    return kept is not None and (kept.size, kept.tobytes()) == (picture.size, picture.tobytes())


def test_pictures_of_any_size_are_kept_while_there_is_room() -> None:
    cache = PictureCache(5, (7 * 5 + 20 * 3 + 2 * 2) * 3)
    small, wide, tiny = picture(0), picture(1, 20, 3), picture(2, 2, 2)
    for slot, each in [(0, small), (0, small), (3, wide), (1, picture(1)), (2, tiny)]:
        cache.put(slot, each)  # a second picture of a number takes no room
    assert holds(cache, 0, small)
    assert holds(cache, 3, wide)
    assert holds(cache, 2, tiny)
    assert cache.get(1) is cache.get(4) is None
    none = PictureCache(1, 0)
    none.put(0, picture(0))
    assert none.get(0) is None
