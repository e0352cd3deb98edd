"""The optimizers of a batch: Adam bit for bit as torch's, every picture as if alone, and again where it was."""

import functools
import os
import subprocess
import sys

import pytest
import torch
from places import REPOSITORY
from torch import Tensor

from feature_vis.optimisation.optimizers import BatchOptimizer, FusedAdam, TorchOptimizer


def gradients(step: int, rows: int = 3) -> Tensor:
    return torch.randn((rows, 2, 37), generator=torch.Generator().manual_seed(step))


def start(rows: int = 3) -> Tensor:
    return gradients(99, rows).requires_grad_(True)


def adam(parameters: Tensor, memories: list[dict]) -> BatchOptimizer:
    return FusedAdam(parameters, memories, learning_rate=0.05, momentum=0.5)


def sgd(parameters: Tensor, memories: list[dict]) -> BatchOptimizer:
    factory = functools.partial(torch.optim.SGD, momentum=0.9)
    return TorchOptimizer(parameters, memories, 0.05, factory)


def taken(optimizer: BatchOptimizer, steps: range, rows: slice = slice(None)) -> None:
    with torch.no_grad():
        for step in steps:
            optimizer.step(gradients(step)[rows])


def test_adam_is_torchs_bit_for_bit() -> None:
    ours, theirs = start(), [row.clone().requires_grad_(True) for row in start().detach()]
    taken(adam(ours, [{}] * 3), range(9))
    torchs = torch.optim.Adam(theirs, lr=0.05, betas=(0.5, 0.999), fused=True)
    for step in range(9):
        for row, gradient in zip(theirs, gradients(step), strict=True):
            row.grad = gradient
        torchs.step()
    assert torch.equal(ours, torch.stack(theirs))


@pytest.mark.parametrize("new", [adam, sgd])
def test_a_picture_goes_on_from_its_memory_in_other_company(new) -> None:
    whole, parts = start(), start()
    taken(new(whole, [{}] * 3), range(9))
    first = new(parts, [{}] * 3)
    taken(first, range(4))
    moved = parts.detach()[1:].clone().requires_grad_(True)
    taken(new(moved, [first.memory(1), first.memory(2)]), range(4, 9), slice(1, 3))
    assert torch.equal(moved, whole[1:])


@pytest.mark.parametrize("new", [adam, sgd])
def test_the_memory_of_a_picture_is_its_own_copy_or_of_its_own_row(new) -> None:
    parameters = start()
    optimizer = new(parameters, [{}] * 3)
    taken(optimizer, range(2))
    memory = {name: torch.as_tensor(value) for name, value in optimizer.memory(1).items()}
    assert all(value.shape in ((), (2, 37)) for value in memory.values())
    assert all(value.untyped_storage().nbytes() <= 2 * 37 * 4 or value._base is None for value in memory.values())


def test_rendering_does_without_torchs_compiler() -> None:
    """Importing it takes longer than rendering a small picture."""
    program = """
import sys
from torch import nn
from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render
list(render([Objectives(nn.Conv2d(3, 2, 3))("", 1)], Recipe(size=16, steps=2)))
sys.exit("torch._dynamo" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "lib")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
