"""An epoch of training: forward, loss, backward and step for each batch."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.seeding import derive_seed
from featurediff.training.augmentation import Mixing, make_mixing
from featurediff.training.evaluation import autocast, logits_of
from featurediff.training.loading import Batch, training_order
from featurediff.training.schedule import learning_rate, set_learning_rate
from featurediff.training.settings import TrainingSettings

__all__ = ["Epochs", "Loss", "balanced_weights"]


@dataclass(frozen=True)
class Loss:
    """Cross-entropy in nats. `class_weights`: (classes,), on the device; None for equal weights."""

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch; logits: (B, classes), targets: classes, (B,), or their shares, (B, classes)."""
        cross_entropy = nn.functional.cross_entropy
        if self.class_weights is None:
            return cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        # torch's own mean divides by the batch's weights, and a class alone in a batch would lose its weight
        smoothing, weights = self.label_smoothing, self.class_weights
        total = cross_entropy(logits, targets, weights, label_smoothing=smoothing, reduction="sum")
        return total / len(logits)


def balanced_weights(labels: list[int], classes: int) -> Tensor:
    """(classes,) weights with mean 1 over the labels: every class contributes equally to the loss, however rare."""
    counts = torch.bincount(torch.tensor(labels), minlength=classes)
    return len(labels) / ((counts > 0).sum() * counts.clamp(min=1))


class Epochs:
    """What the epochs of a training have in common.

    `train_mode` puts the modules that learn into `train` mode. `labels`: the class of each training photograph.
    """

    def __init__(
        self,
        model: nn.Module,
        train_mode: Callable[[], None],
        optimizer: torch.optim.Optimizer,
        labels: list[int],
        classes: int,
        settings: TrainingSettings,
    ) -> None:
        self._model = model
        self._train_mode = train_mode
        self._optimizer = optimizer
        self._settings = settings
        self._count = len(labels)
        self._device = next(model.parameters()).device
        weights = balanced_weights(labels, classes).to(self._device) if settings.class_weights == "balanced" else None
        self._loss = Loss(settings.label_smoothing, weights)
        self._mixing: Mixing | None = make_mixing(settings, classes)

    def train(self, epoch: int, batches: Iterable[Batch], advance: Callable[[int], None]) -> dict[str, float]:
        """Train on every photograph once; returns the epoch's part of the training log.

        `batches`: as `featurediff.training.loading.training_order` makes them; `advance` is called with the size of
        each.

        Raises:
            InputError: the loss became infinite or NaN; the message names the batch.
        """
        self._train_mode()
        sizes = [len(batch) for batch in training_order(self._count, self._settings, epoch)]
        losses, all_correct, began = 0.0, 0, time.monotonic()
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self._settings.seed, "dropout", epoch))
            torch.empty((), dtype=torch.int64).random_()  # once the loader's draw: without it dropout would differ
            done = _one_behind(self._batch_by_batch(epoch, batches, sizes))
            for number, (size, (loss, correct)) in enumerate(zip(sizes, done, strict=True), start=1):
                value = float(loss)
                if not math.isfinite(value):
                    raise InputError(
                        f"the training loss became {value} in epoch {epoch}, batch {number} of {len(sizes)}: "
                        f"lower learning_rate (now {self._rate():g}) and run again"
                    )
                losses += value * size
                all_correct += int(correct)
                advance(size)
        seconds = time.monotonic() - began
        return {
            "train_loss": losses / self._count,
            "train_accuracy": all_correct / self._count,
            "learning_rate": self._rate(),
            "images_per_second": self._count / seconds,
        }

    def _batch_by_batch(
        self, epoch: int, batches: Iterable[Batch], sizes: list[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The mean loss of each batch, and how many photographs were classified correctly."""
        group = self._settings.accumulate_batches
        steps = math.ceil(len(sizes) / group)
        for number, (pictures, labels) in enumerate(batches):
            step, place = divmod(number, group)
            of_step = sizes[step * group : (step + 1) * group]
            if place == 0:
                set_learning_rate(self._optimizer, learning_rate(self._settings, epoch, step, steps))
                self._optimizer.zero_grad(set_to_none=True)
            targets = labels
            if self._mixing is not None:
                pictures, targets = self._mixing(pictures, labels, epoch, number)
                labels = targets.argmax(1)
            with autocast(self._settings, self._device):
                logits = logits_of(self._model(pictures))  # (B, classes)
                loss = self._loss(logits, targets)
            (loss * (len(labels) / sum(of_step))).backward()
            if place == len(of_step) - 1:
                self._optimizer.step()
            yield loss.detach(), (logits.argmax(1) == labels).sum()

    def _rate(self) -> float:
        return self._optimizer.param_groups[0]["lr"]


def _one_behind(items: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same items, each after the next was started, so that a GPU need not wait while a number is read."""
    before = None
    for item in items:
        if before is not None:
            yield before
        before = item
    if before is not None:
        yield before
