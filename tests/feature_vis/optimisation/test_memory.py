"""The width of a batch on a GPU, from the memory that a small one takes."""

import pytest
import torch

from feature_vis.optimisation.memory import pictures_that_fit


@pytest.mark.parametrize(
    ("free", "fit"),
    [(100, 80), (31, 24), (4, 2), (0, 2), (10**9, 256)],  # 80 % of what is free; even; 2 at least, 256 at most
)
def test_so_many_fit(monkeypatch, free: int, fit: int) -> None:
    mib = 2**20
    held, peak = 7 * mib, [0]

    def step() -> None:
        peak[0] = held + 4 * mib

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: held)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: peak[0])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free * mib, 10**15))
    assert pictures_that_fit(step, 4, torch.device("cuda")) == fit
