"""How well a network tells the validation pictures' classes apart: loss, accuracy, and which it takes for which."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from featurediff.networks import Network
from featurediff.runtime.progress import progress
from featurediff.statistics.multiple_testing import share_interval
from featurediff.training.loading import Batch, open_pictures, validation_batches
from featurediff.training.settings import TrainingSettings

__all__ = [
    "COLUMNS",
    "Evaluation",
    "autocast",
    "class_table",
    "confusion_table",
    "evaluate",
    "evaluate_network",
    "logits_of",
]

# name -> (unit, meaning)
COLUMNS: Mapping[str, tuple[str, str]] = {
    "class_name": ("", "the class"),
    "pictures": ("count", "its validation pictures"),
    "correct": ("count", "of them, those that the network tells right"),
    "accuracy": ("0 to 1", "the share of those, also called recall; empty where the class has no validation pictures"),
    "accuracy_low": ("0 to 1", "95 % interval of the accuracy (Wilson), lower end"),
    "accuracy_high": ("0 to 1", "95 % interval of the accuracy (Wilson), upper end"),
    "predicted": ("count", "validation pictures, of any class, that the network takes for this one"),
    "precision": ("0 to 1", "the share of those that are of it; empty where there are none"),
    "mistaken_for": ("", "the class that its pictures are most often taken for instead; empty where they never are"),
    "mistaken": ("count", "how many of them"),
}


@dataclass(frozen=True)
class Evaluation:
    """`loss`: mean cross-entropy in nats. `confusion`: (classes, classes) pictures, by class and predicted class."""

    loss: float
    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of pictures whose class is told right, 0 to 1."""
        return int(self.confusion.trace()) / int(self.confusion.sum())


def evaluate_network(
    network: Network, split: pd.DataFrame, root: Path, settings: TrainingSettings, device: torch.device
) -> Evaluation:
    """Of a network that was trained with these settings, on the split's validation pictures.

    Raises:
        InputError: there are none, or some are gone.
    """
    validation = open_pictures(split, root, settings)[1]
    batches = validation_batches(validation, settings, network.epoch or 0, device)
    memory_format = torch.channels_last if settings.channels_last else torch.contiguous_format
    model = network.module().to(device, memory_format=memory_format)  # type: ignore[call-overload]
    with progress(len(validation), "validation", "img") as advance:
        return evaluate(model, batches, len(network.class_names or []), settings, advance)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    classes: int,
    settings: TrainingSettings,
    advance: Callable[[int], None],
) -> Evaluation:
    """Of `model`, which is put into `eval` mode, on all of the batches; `advance` is told of each how many it holds."""
    model.eval()
    losses: list[Tensor] = []
    counts = torch.zeros(classes * classes, dtype=torch.int64)
    pictures_seen = 0
    for pictures, labels in batches:
        with autocast(settings, pictures.device):
            logits = logits_of(model(pictures)).float()  # (B, classes)
        losses.append(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        pairs = labels * classes + logits.argmax(1)  # (B,)
        counts = counts.to(pairs.device) + torch.bincount(pairs, minlength=classes * classes)
        pictures_seen += len(labels)
        advance(len(labels))
    total = sum(float(loss) for loss in losses)
    return Evaluation(total / pictures_seen, counts.view(classes, classes).cpu().numpy())


def autocast(settings: TrainingSettings, device: torch.device) -> torch.autocast:
    """bfloat16 where it is wanted and the GPU multiplies it."""
    wanted = settings.mixed_precision and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def logits_of(output: Any) -> Tensor:
    """(B, classes); GoogLeNet and Inception wrap theirs in a tuple while training."""
    return output if isinstance(output, Tensor) else output.logits


def confusion_table(confusion: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """A row a class, a column a predicted class: pictures."""
    names = pd.DataFrame({"class_name": list(class_names)})
    return pd.concat([names, pd.DataFrame(confusion, columns=list(class_names))], axis=1)


def class_table(confusion: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """A row a class, in the order of the classes; see `COLUMNS`."""
    rows = []
    for number, name in enumerate(class_names):
        of_class = confusion[number]
        pictures, correct, predicted = int(of_class.sum()), int(of_class[number]), int(confusion[:, number].sum())
        wrong = np.where(np.arange(len(class_names)) == number, 0, of_class)
        low, high = share_interval(correct, pictures)
        rows.append(
            {
                "class_name": name,
                "pictures": pictures,
                "correct": correct,
                "accuracy": correct / pictures if pictures else np.nan,
                "accuracy_low": low,
                "accuracy_high": high,
                "predicted": predicted,
                "precision": correct / predicted if predicted else np.nan,
                "mistaken_for": class_names[int(wrong.argmax())] if wrong.any() else None,
                "mistaken": int(wrong.max()),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))
