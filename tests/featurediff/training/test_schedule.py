"""Learning rates against torch's own schedulers, the optimizers that are asked for, and when training stops."""

import math

import pytest
import torch
from torch import nn

from featurediff.training.schedule import epochs_until_stop, learning_rate, make_optimizer, set_learning_rate
from featurediff.training.settings import TrainingSettings

STEPS = 5


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 6, "learning_rate": 0.3, **changes})


def rates(options: TrainingSettings) -> list[float]:
    return [learning_rate(options, epoch, step, STEPS) for epoch in range(options.epochs) for step in range(STEPS)]


def torchs(make, every: int) -> list[float]:
    """The rates of one of torch's schedulers, which is stepped after every so many steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = make(optimizer)
    found = []
    for step in range(1, 6 * STEPS + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % every == 0:
            scheduler.step()
    return found


@pytest.mark.parametrize(
    ("changes", "scheduler", "every", "tolerance"),
    [
        ({}, lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0), STEPS, 0),
        # the paper's, to the last bit
        (
            {"learning_rate_decay": 0.9},
            lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
            STEPS,
            0,
        ),
        (
            {"learning_rate_decay": 0.1, "step_epochs": 4},
            lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.1),
            STEPS,
            0,
        ),
        ({"schedule": "cosine"}, lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30), 1, 1e-9),
    ],
)
def test_rates_are_those_of_torchs_scheduler(changes, scheduler, every, tolerance) -> None:
    assert rates(settings(**changes)) == pytest.approx(torchs(scheduler, every), abs=tolerance, rel=0)


def test_a_line_falls_evenly_to_zero() -> None:
    assert rates(settings(schedule="linear")) == pytest.approx([0.3 * (1 - i / 30) for i in range(30)])


@pytest.mark.parametrize("schedule", ["step", "linear", "cosine"])
def test_warm_up_rises_in_even_steps_to_the_rate_and_never_starts_at_zero(schedule: str) -> None:
    found = rates(settings(schedule=schedule, warmup_epochs=2))
    assert found[: 2 * STEPS] == pytest.approx([0.3 * (i + 1) / 10 for i in range(10)])
    assert found[10] == pytest.approx(0.3)


def test_after_warm_up_a_cosine_takes_what_is_left() -> None:
    found = rates(settings(schedule="cosine", warmup_epochs=2))[10:]
    assert found == pytest.approx([0.3 * (1 + math.cos(math.pi * i / 20)) / 2 for i in range(20)])
    assert rates(settings(warmup_epochs=0.4))[:4] == pytest.approx([0.15, 0.3, 0.3, 0.3])  # a part of an epoch


@pytest.mark.parametrize(
    ("changes", "kind", "defaults"),
    [
        ({}, torch.optim.Adam, {"lr": 0.3, "weight_decay": 0.0}),
        ({"optimizer": "adamw", "weight_decay": 0.05}, torch.optim.AdamW, {"lr": 0.3, "weight_decay": 0.05}),
        ({"optimizer": "sgd", "momentum": 0.8}, torch.optim.SGD, {"lr": 0.3, "momentum": 0.8, "weight_decay": 0.0}),
    ],
)
def test_the_optimizer_that_is_asked_for(changes, kind, defaults) -> None:
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], settings(**changes))
    assert type(optimizer) is kind
    assert defaults.items() <= optimizer.defaults.items()
    set_learning_rate(optimizer, 0.01)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01]


def log(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in pairs]


def test_training_stops_when_no_epoch_is_better_for_long_enough() -> None:
    rows = log((0.5, 1.0), (0.6, 1.0), (0.6, 1.1), (0.6, 0.9), (0.6, 0.9), (0.5, 0.1))
    assert epochs_until_stop(rows, None) is None
    assert epochs_until_stop(rows, 1) == 3  # as accurate, with a higher loss
    assert epochs_until_stop(rows, 2) == 6  # the fourth was better by its loss; the last two were not
    assert epochs_until_stop(rows[:5], 2) is None
    assert epochs_until_stop([], 1) is None
