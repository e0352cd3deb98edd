"""The optimizer, its learning rate at each step, and the epoch after which training stops.

The rate depends on the settings and the step alone, and the end on the epochs' logs alone: a training that is resumed
has no state of these to restore.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from featurediff.training.settings import TrainingSettings

__all__ = ["epochs_until_stop", "learning_rate", "make_optimizer", "set_learning_rate"]


def learning_rate(settings: TrainingSettings, epoch: int, step: int, steps: int) -> float:
    """The rate of step `step` of `steps` in `epoch`, both counted from 0; see `TrainingSettings` for the schedules."""
    done = epoch + step / steps  # epochs before this step
    rate, warmup = settings.learning_rate, settings.warmup_epochs
    if settings.schedule == "step":
        for _ in range(epoch // settings.step_epochs):  # one by one, as torch does: a power may differ in the last bit
            rate *= settings.learning_rate_decay
    else:
        share = max(0.0, done - warmup) / max(settings.epochs - warmup, 1e-9)  # of the way from the rate to 0
        rate *= 1 - share if settings.schedule == "linear" else (1 + math.cos(math.pi * share)) / 2
    return rate if done >= warmup else rate * min(1.0, (done + 1 / steps) / warmup)


def make_optimizer(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    """An optimizer with the settings' rate, and weight decay for every parameter."""
    common: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay, "fused": True}
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=settings.momentum, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer](parameters, **common)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def epochs_until_stop(logs: Sequence[Mapping[str, Any]], patience: int | None) -> int | None:
    """The number of epochs after which training stops, `patience` of them without improvement; None if not yet.

    An epoch is better if its validation accuracy is higher, or equal and its validation loss lower, as in
    `choose_epoch`.
    """
    if patience is None:
        return None
    best, since = (-1.0, 0.0), 0
    for number, row in enumerate(logs, start=1):
        this = (row["val_accuracy"], -row["val_loss"])
        best, since = (this, 0) if number == 1 or this > best else (best, since + 1)
        if since >= patience:
            return number
    return None
