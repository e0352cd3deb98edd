"""A step of a batch: the same work for every step and any number of pictures, and no waiting for the device."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from feature_vis.differences import distance, divergence, largest_rise, rise
from feature_vis.objectives import Objective, Objectives
from feature_vis.optimisation.image_batch import ImageBatch, StepOptions, _is_on_plateau
from feature_vis.optimisation.image_state import ImageState, Stage
from feature_vis.optimisation.prepared_networks import prepared_networks
from feature_vis.parameterizations import Fourier
from feature_vis.recipe import Recipe
from feature_vis.transforms import resolve

CPU = torch.device("cpu")
SIZE = (32, 32)
# What a device would have to hand to Python, or get from it (`lift_fresh` is what `torch.tensor` does).
AT_THE_HOST = {
    getattr(torch.ops.aten, name) for name in ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "lift_fresh")
}


class Recorded(TorchDispatchMode):
    """Notes what torch computes, with the shapes of all tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[object, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> object:
        shapes = [tuple(arg.shape) if isinstance(arg, Tensor) else arg for arg in args if not isinstance(arg, list)]
        self.operations.append((func.overloadpacket, str(shapes)))
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def new_batch() -> Iterator[Callable[..., ImageBatch]]:
    """Makes a batch of so many channels of a network with one convolution."""
    torch.manual_seed(0)
    source = Objectives(nn.Conv2d(3, 128, 3))
    with batches_of([source("", channel) for channel in range(128)]) as make:
        yield make


@contextmanager
def batches_of(objectives: list[Objective]) -> Iterator[Callable[..., ImageBatch]]:
    with prepared_networks(objectives, SIZE, CPU, before_relu=True, dtype=torch.float32) as networks:

        def make(pictures: int, transforms: str | dict = "small", **settings: object) -> ImageBatch:
            recipe = Recipe(size=SIZE, steps=64, transforms=transforms, precision="float32", **settings)
            parameterization = Fourier(SIZE)
            stage = Stage(parameterization, resolve(transforms), recipe.steps)
            states = [ImageState(i, objectives[i], (0, i), parameterization.start(0, i)) for i in range(pictures)]
            return ImageBatch(states, stage, StepOptions(recipe, networks.fast_activations, None))

        yield make


def calls(work: Callable[[], object]) -> int:
    """Of Python functions and of functions in C."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("settings", [{}, {"transforms": "crops"}, {"plateau": 0.01}, {"regularizers": {"l2": 1.0}}])
def test_pythons_work_does_not_grow_with_the_batch(new_batch, settings: dict) -> None:
    def counted(pictures: int) -> float:
        batch = new_batch(pictures, **settings)
        batch.step()  # the first one fills caches
        return calls(lambda: [batch.step() for _ in range(8)]) / 8

    few, many = counted(8), counted(128)
    assert many <= 1.1 * few
    assert many <= 400


def of_two_networks(form: str, count: int) -> list[Objective]:
    """Objectives of one form, of networks with a convolution, a ReLU and a head."""

    def network() -> nn.Module:
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 128)]
        return nn.Sequential(nn.Sequential(nn.Conv2d(3, 128, 3), nn.ReLU()), *head)

    torch.manual_seed(0)
    tuned, base = Objectives(network()), Objectives(network())
    return {
        "channels": [tuned("0", k) - base("0", k) for k in range(count)],
        "quotients": [tuned("0", k) / (1 + base("0", k)) for k in range(count)],
        "rises": [rise(tuned, base, k) for k in range(count)],
        "starts": [divergence(tuned, base)] * count,
        "sums": [divergence(tuned, base, "js") + largest_rise(tuned, base) + distance(tuned, base, "0")] * count,
    }[form]


@pytest.mark.parametrize("form", ["channels", "quotients", "rises", "starts", "sums"])
def test_so_it_is_with_objectives_of_two_networks(form: str) -> None:
    with batches_of(of_two_networks(form, 64)) as make:
        counts, steps = [], []
        for pictures in (8, 64):
            batch = make(pictures)
            batch.step()
            counts.append(calls(lambda batch=batch: [batch.step() for _ in range(4)]))
        batch = make(4)
        batch._looks_at_once = False  # as on a GPU
        for _ in range(3):
            with Recorded() as recorded:
                batch.step()
            steps.append(recorded.operations)
    assert counts[1] <= 1.1 * counts[0]
    assert steps[1] == steps[2]
    assert not {operation for operation, _ in steps[1]} & AT_THE_HOST


@pytest.mark.parametrize(
    "transforms", ["small", "paper", "lucid", "crops", "none", {"blur": 1.5, "flip": True}], ids=str
)
def test_every_step_is_the_same_work_and_waits_for_nothing(new_batch, transforms: str | dict) -> None:
    batch, steps = new_batch(4, transforms), []
    batch._looks_at_once = False  # as on a GPU
    for number in range(4):
        if number == 2:
            batch._parameters.detach()[1] = torch.nan  # from here on it is not finite
        if number:  # the first step fills caches
            with Recorded() as recorded:
                batch.step()
            steps.append(recorded.operations)
        else:
            batch.step()
    assert len(steps[0]) > 50
    assert steps[0] == steps[1] == steps[2]
    assert not {operation for operation, _ in steps[0]} & AT_THE_HOST
    batch.write_back()
    assert [state.stopped for state in batch.states] == [None, "not finite", None, None]
    assert [state.step for state in batch.states] == [4, 2, 4, 4]


def test_a_picture_that_is_not_finite_changes_no_more(new_batch) -> None:
    batch, reference = new_batch(4), new_batch(4)
    for _ in range(3):
        batch.step()
        reference.step()
    reference.write_back()
    read = batch._options.read
    object.__setattr__(batch._options, "read", lambda pictures: broken(read(pictures)))

    def broken(activations: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *of: activations(*of) * torch.tensor([1.0, torch.inf, 1.0, 1.0]).view(4, 1, 1, 1)

    for _ in range(3):
        batch.step()
    batch.write_back()
    stopped, before = batch.states[1], reference.states[1]
    assert stopped.stopped == "not finite"
    assert stopped.trajectory == before.trajectory
    assert torch.equal(stopped.parameters, before.parameters)
    assert batch.states[0].step == 6


def test_looks_come_where_a_picture_may_end(new_batch) -> None:
    assert new_batch(2).steps_to_look() == 32
    batch = new_batch(2, plateau=0.01)
    assert batch.steps_to_look() == 8
    for _ in range(3):
        batch.step()
    assert batch.steps_to_look() == 5
    batch.write_back()
    batch.states[1].trajectory *= 21  # 63 of 64 steps
    late = ImageBatch(batch.states, batch._stage, batch._options)
    assert late.steps_to_look() == 1
    assert not late.look()
    late.step()
    assert late.look()


def test_a_plateau_is_a_rise_below_the_share() -> None:
    flat, rising, falling = np.full(32, 5.0), 1 + 0.1 * np.arange(32), 5 - 0.1 * np.arange(32)
    assert _is_on_plateau(flat, 0.01)
    assert _is_on_plateau(0 * flat, 0.01)  # a grey picture
    assert _is_on_plateau(falling, 0.01)
    assert not _is_on_plateau(rising, 0.01)
    assert _is_on_plateau(rising, 0.9)
    assert not _is_on_plateau(flat[:31], 0.01)  # too short to be judged
    assert not _is_on_plateau(np.concatenate([rising[::-1], rising]), 0.01)  # what was before does not count
    assert not _is_on_plateau(rising - 4, 0.01)  # through 0
    assert _is_on_plateau(-rising, 0.01)
