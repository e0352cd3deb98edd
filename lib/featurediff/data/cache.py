"""A cache of decoded photographs that a process shares with the processes that it forks."""

import mmap
import multiprocessing

import numpy as np
from PIL import Image

__all__ = ["PictureCache"]


class PictureCache:
    """RGB photographs by number. They are kept while there is room, and none is ever removed.

    `slots`: how many numbers there are, from 0. `capacity`: bytes, three for each pixel; the system provides them
    as they are filled. A cache cannot be sent to another process: a forked one has it, a spawned one does without.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        # anonymous shared memory: unlike /dev/shm, it is not especially small in a container
        self._table = np.frombuffer(mmap.mmap(-1, max(1, slots) * 24), np.int64).reshape(-1, 3)  # end, width, height
        self._used = np.frombuffer(mmap.mmap(-1, 8), np.int64)  # bytes
        self._pixels = mmap.mmap(-1, capacity) if capacity > 0 else b""
        self._lock = multiprocessing.Lock()

    def get(self, slot: int) -> Image.Image | None:
        """A copy of the photograph; None if it is not in the cache."""
        with self._lock:
            end, width, height = (int(value) for value in self._table[slot])
        if end == 0:
            return None
        return Image.frombytes("RGB", (width, height), self._pixels[end - width * height * 3 : end])

    def put(self, slot: int, picture: Image.Image) -> None:
        """Keep an RGB photograph if there is room and it is not there yet."""
        pixels = picture.tobytes()
        with self._lock:
            start = int(self._used[0])
            end = start + len(pixels)
            if end > len(self._pixels) or self._table[slot, 0] or isinstance(self._pixels, bytes):
                return
            self._pixels[start:end] = pixels
            self._used[0] = end
            self._table[slot] = (end, picture.width, picture.height)
