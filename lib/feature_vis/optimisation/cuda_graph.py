"""Work of a GPU that is recorded once and repeated: launching it then costs Python and the driver next to nothing.

Source: torch's notes on CUDA semantics, "Whole-network capture".
"""

from collections.abc import Callable

import torch

__all__ = ["Recorded"]

_WARM_UP = 3  # calls before the recording, in which libraries choose kernels and take memory


class Recorded:
    """`work`, which is recorded as a CUDA graph at its fourth call and replayed from then on.

    Each call does the work once. It must read and write the same tensors every time, wait for nothing, and have no
    branch that depends on a value.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._calls < _WARM_UP:
            self._calls += 1
            side = torch.cuda.Stream()  # recording takes place beside the default stream, so the warm-up must, too
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._work()
            torch.cuda.current_stream().wait_stream(side)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._work()
        self._graph.replay()
