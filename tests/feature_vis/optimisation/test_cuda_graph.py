"""Recorded work is done once a call: the first calls as it is, one recording, then replays."""

from contextlib import contextmanager, nullcontext
from unittest.mock import MagicMock

import pytest
import torch

from feature_vis.optimisation.cuda_graph import Recorded


def test_each_call_does_the_work_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done, recording = [], []

    @contextmanager
    def graph(recorded: MagicMock):  # what runs inside is not carried out
        recording.append(recorded)
        yield
        recording.remove(recorded)

    class Graph:
        def replay(self) -> None:
            done.append("replayed")

    for name, fake in {"CUDAGraph": Graph, "graph": graph, "Stream": MagicMock, "current_stream": MagicMock()}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "stream", lambda _side: nullcontext())
    work = Recorded(lambda: done.append("recorded" if recording else "done"))
    for _ in range(6):
        work()
    assert done == ["done"] * 3 + ["recorded"] + ["replayed"] * 3
