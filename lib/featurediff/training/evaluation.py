"""How well a network classifies the validation photographs: loss, accuracy, and which classes it confuses."""

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
    "pictures": ("count", "its validation photographs"),
    "correct": ("count", "how many of them the network classifies correctly"),
    "accuracy": ("0 to 1", "correct / pictures, also called recall; empty where there are no validation photographs"),
    "accuracy_low": ("0 to 1", "95 % interval of the accuracy (Wilson), lower end"),
    "accuracy_high": ("0 to 1", "95 % interval of the accuracy (Wilson), upper end"),
    "predicted": ("count", "validation photographs of any class that the network assigns to this class"),
    "precision": ("0 to 1", "correct / predicted; empty where the network assigns none to this class"),
    "mistaken_for": ("", "the other class that its photographs are most often assigned to; empty if none is"),
    "mistaken": ("count", "how many photographs are assigned to that other class"),
}


@dataclass(frozen=True)
class Evaluation:
    """`loss`: mean cross-entropy, nats. `confusion`: (classes, classes) counts, by class and predicted class."""

    loss: float
    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of photographs that are classified correctly, 0 to 1."""
        return int(self.confusion.trace()) / int(self.confusion.sum())


def evaluate_network(
    network: Network, split: pd.DataFrame, root: Path, settings: TrainingSettings, device: torch.device
) -> Evaluation:
    """Evaluate a network that was trained with these settings on the split's validation photographs.

    Raises:
        InputError: there are none, or some are missing.
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
    """Evaluate `model`, which is put into `eval` mode, on all batches; `advance` is called with the size of each."""
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
    """bfloat16, where it is wanted and the GPU supports it."""
    wanted = settings.mixed_precision and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def logits_of(output: Any) -> Tensor:
    """(B, classes); GoogLeNet and Inception return a tuple with them in `train` mode."""
    return output if isinstance(output, Tensor) else output.logits


def confusion_table(confusion: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """Counts of photographs: a row for each class, a column for each predicted class."""
    names = pd.DataFrame({"class_name": list(class_names)})
    return pd.concat([names, pd.DataFrame(confusion, columns=list(class_names))], axis=1)


def class_table(confusion: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """A row for each class, in the order of the classes; see `COLUMNS`."""
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
