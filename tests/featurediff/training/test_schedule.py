"""Learning rates against torch's own schedulers, the optimizers that are asked for, and when training stops."""

import math
from functools import partial

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from featurediff.training.schedule import epochs_until_stop, learning_rate, make_optimizer, set_learning_rate
from featurediff.training.settings import TrainingSettings

STEPS = 5


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 6, "learning_rate": 0.3, **changes})


def rates(**changes) -> list[float]:
    return [learning_rate(settings(**changes), epoch, step, STEPS) for epoch in range(6) for step in range(STEPS)]


@pytest.mark.parametrize(
    ("changes", "scheduler", "every", "tolerance"),
    [
        ({}, partial(lr_scheduler.ConstantLR, factor=1.0), STEPS, 0),
        ({"learning_rate_decay": 0.9}, partial(lr_scheduler.ExponentialLR, gamma=0.9), STEPS, 0),  # to the last bit
        ({"learning_rate_decay": 0.1, "step_epochs": 4}, partial(lr_scheduler.StepLR, step_size=4), STEPS, 0),
        ({"schedule": "cosine"}, partial(lr_scheduler.CosineAnnealingLR, T_max=30), 1, 1e-9),
        ({"schedule": "linear"}, partial(lr_scheduler.LinearLR, start_factor=1, end_factor=0, total_iters=30), 1, 1e-9),
    ],
)
def test_rates_are_those_of_torchs_scheduler(changes, scheduler, every, tolerance) -> None:
    optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    of_torch, found = scheduler(optimizer), []
    for step in range(1, 6 * STEPS + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % every == 0:
            of_torch.step()
    assert rates(**changes) == pytest.approx(found, abs=tolerance, rel=0)


@pytest.mark.parametrize("schedule", ["step", "linear", "cosine"])
def test_warm_up_rises_in_even_steps_to_the_rate_and_leaves_the_rest(schedule: str) -> None:
    found = rates(schedule=schedule, warmup_epochs=2)
    assert found[:10] == pytest.approx([0.3 * (i + 1) / 10 for i in range(10)])
    falls = {
        "step": [0.3] * 20,
        "linear": [0.3 * (1 - i / 20) for i in range(20)],
        "cosine": [0.3 * (1 + math.cos(math.pi * i / 20)) / 2 for i in range(20)],
    }
    assert found[10:] == pytest.approx(falls[schedule])
    assert rates(warmup_epochs=0.4)[:4] == pytest.approx([0.15, 0.3, 0.3, 0.3])  # a part of an epoch


@pytest.mark.parametrize(
    ("changes", "kind", "defaults"),
    [
        ({}, optim.Adam, {"lr": 0.3, "weight_decay": 0.0}),
        ({"optimizer": "adamw", "weight_decay": 0.05}, optim.AdamW, {"lr": 0.3, "weight_decay": 0.05}),
        ({"optimizer": "sgd", "momentum": 0.8}, optim.SGD, {"lr": 0.3, "momentum": 0.8, "weight_decay": 0.0}),
    ],
)
def test_the_optimizer_that_is_asked_for(changes, kind, defaults) -> None:
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], settings(**changes))
    assert type(optimizer) is kind
    assert defaults.items() <= optimizer.defaults.items()
    set_learning_rate(optimizer, 0.01)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01]


def test_training_stops_when_no_epoch_is_better_for_long_enough() -> None:
    numbers = [(0.5, 1.0), (0.6, 1.0), (0.6, 1.1), (0.6, 0.9), (0.6, 0.9), (0.5, 0.1)]
    rows = [{"val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in numbers]
    # the third is as accurate, with a higher loss; the fourth is better by its loss; the last two are not
    cases = [(rows, None, None), (rows, 1, 3), (rows, 2, 6), (rows[:5], 2, None), ([], 1, None)]
    assert [epochs_until_stop(some, patience) for some, patience, _ in cases] == [number for *_, number in cases]
