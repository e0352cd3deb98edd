"""How many pictures a GPU holds at once."""

from collections.abc import Callable

import torch

__all__ = ["pictures_that_fit"]

_LARGEST = 256  # beyond, a step is no faster and a lost job loses more
_SHARE = 0.8  # of the free memory: others may want some, and the allocator rounds up


def pictures_that_fit(step: Callable[[], object], pictures: int, device: torch.device) -> int:
    """From the memory that one step of `pictures` takes: how many fit, an even number.

    Memory grows in proportion to the pictures, so one small step tells it.
    """
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    taken = max(torch.cuda.max_memory_allocated(device) - before, 1) / pictures
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return max(2, min(_LARGEST, int(_SHARE * free / taken)) // 2 * 2)
