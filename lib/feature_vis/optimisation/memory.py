"""How many pictures fit into a GPU's memory at once."""

from collections.abc import Callable

import torch

__all__ = ["pictures_that_fit"]

_MOST = 256  # a larger batch is no faster, and an interrupted job would lose more
_LEAST = 2
_SHARE = 0.8  # of the free memory: others may want some, and the allocator rounds up


def pictures_that_fit(step: Callable[[], object], pictures: int, device: torch.device) -> int:
    """How many pictures fit, an even number of 2 to 256, from the memory that one step of `pictures` takes.

    Memory grows in proportion to the number of pictures, so one small step is enough to tell. Where it does not fit
    itself, the answer is 2.
    """
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        step()
    except torch.OutOfMemoryError:
        return _LEAST
    per_picture = max(torch.cuda.max_memory_allocated(device) - before, 1) / pictures
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return max(_LEAST, min(_MOST, int(_SHARE * free / per_picture)) // 2 * 2)
