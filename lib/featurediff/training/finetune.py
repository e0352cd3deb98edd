"""Fine-tuning: load the last checkpoint, train an epoch, validate, save, and again.

Every random draw of an epoch derives from (seed, epoch), and every draw for a photograph from (seed, epoch, path). So a
training that was interrupted and resumed gives the same weights as one that was not.

Frozen modules do not change at all. They get no gradients, and they are in `eval` mode, because batch norm in `train`
mode updates its statistics even where its weights are frozen. `frozen_statistics: moving` lets it, as the original did.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from feature_vis.errors import InputError
from feature_vis.files import atomic_path
from feature_vis.networks.models import load_file, replace_head, save_file, state_digest
from feature_vis.seeding import derive_seed
from featurediff.data.torch_dataset import PictureDataset
from featurediff.measures.frozen_layers import trained_modules
from featurediff.runtime.progress import progress
from featurediff.training.evaluation import evaluate
from featurediff.training.loading import Stream, open_pictures, threads_for_loading
from featurediff.training.schedule import epochs_until_stop, make_optimizer
from featurediff.training.settings import TrainingSettings
from featurediff.training.trainer import Epochs

__all__ = [
    "TrainingSetup",
    "choose_epoch",
    "finetune",
    "freeze_before",
    "publish_checkpoints",
    "set_up_training",
    "training_log",
]

log = logging.getLogger("featurediff")


@dataclass(frozen=True)
class TrainingSetup:
    """A network with its new head, and the photographs that it is trained and validated on."""

    model: nn.Module
    train: PictureDataset
    validation: PictureDataset
    class_names: list[str]


@dataclass(frozen=True)
class _Trainable:
    """A network and the names of its modules that learn; all others are frozen."""

    model: nn.Module
    learning: frozenset[str]

    def train(self, frozen_statistics: str = "held") -> None:
        """Put the modules that learn into `train` mode, and every batch norm with `moving`; all others into `eval`."""
        moving = _BatchNorm if frozen_statistics == "moving" else ()
        for name, module in self.model.named_modules():
            module.training = name in self.learning or isinstance(module, moving)

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]


def freeze_before(model: nn.Module, train_from: str | None) -> _Trainable:
    """Freeze every module but the `trained_modules`; auxiliary heads, which evaluation never enters, are frozen, too.

    Raises:
        InputError: see `trained_modules`.
    """
    learning = trained_modules(model, train_from)
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(name in learning)
    return _Trainable(model, learning)


def finetune(
    setup: TrainingSetup, settings: TrainingSettings, key: str, store: Path, device: torch.device
) -> list[Path]:
    """Train for `settings.epochs` epochs, or until `patience` ends it, and return the checkpoint of each epoch.

    `store`: a folder that survives an interrupted job. An epoch is not trained again if its checkpoint there is intact
    and has the same `key` (`featurediff.training.settings.training_key`).

    Raises:
        InputError: the loss became infinite or NaN; the message names the epoch and the batch.
    """
    model = setup.model
    files, rows = _current_checkpoints(store, key, settings.epochs)
    if (stop := epochs_until_stop(rows, settings.patience)) is not None:
        files = files[:stop]
    missing = range(len(files), settings.epochs if stop is None else stop)
    log.info("reused %d epochs, training %d", len(files), len(missing))
    if not missing:
        return files
    trainable = freeze_before(model, settings.train_from)
    memory_format = torch.channels_last if settings.channels_last else torch.contiguous_format
    model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = make_optimizer(trainable.parameters(), settings)
    if files:
        last = load_file(files[-1])
        model.load_state_dict(last["model"])
        optimizer.load_state_dict(last["optimizer"])
    classes = len(setup.class_names)
    train_mode = partial(trainable.train, settings.frozen_statistics)
    epochs = Epochs(model, train_mode, optimizer, setup.train.labels, classes, settings)
    work = progress(len(missing) * (len(setup.train) + len(setup.validation)), "training", "img")
    with (
        work as advance,
        threads_for_loading(settings, device) as workers,
        closing(Stream(setup.train, setup.validation, settings, missing, workers, device)) as stream,
    ):
        for epoch in missing:
            row: dict[str, Any] = {"epoch": epoch, **epochs.train(epoch, stream.training(epoch), advance)}
            validated = evaluate(model, stream.validation(), classes, settings, advance)
            row |= {"val_loss": validated.loss, "val_accuracy": validated.accuracy}
            files.append(store / f"epoch{epoch}.pth")
            rows.append(_save(files[-1], model, optimizer, row, setup.class_names, settings, key))
            if epochs_until_stop(rows, settings.patience) is not None:
                log.info("stopped early: no improvement in the last %d epochs", settings.patience)
                break
    return files


def _save(
    file: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    row: dict[str, Any],
    class_names: list[str],
    settings: TrainingSettings,
    key: str,
) -> dict[str, Any]:
    """Write an epoch's checkpoint and log its numbers; returns its row of the log, with the digest of the weights."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    row = {**row, "weights_sha256": state_digest(state)}
    checkpoint = {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "scheduler": {"schedule": settings.schedule, "learning_rate": row["learning_rate"]},  # a schedule has no state
        "epoch": row["epoch"],
        "arguments": asdict(settings),
        "class_names": class_names,
        "log": row,
        "key": key,
    }
    save_file(file, checkpoint)
    log.info(
        "epoch %d of %d: training loss %.3f, accuracy %.3f; validation loss %.3f, accuracy %.3f; %.0f images/s",
        row["epoch"] + 1,
        settings.epochs,
        *(row[name] for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "images_per_second")),
    )
    return row


def set_up_training(network: nn.Module, split: pd.DataFrame, root: Path, settings: TrainingSettings) -> TrainingSetup:
    """Give the network a new head for the split's classes, and open the training and validation photographs.

    Raises:
        InputError: there are no training photographs, or no validation photographs.
    """
    class_names = split.drop_duplicates("class_index").sort_values("class_index")["label"].tolist()
    train, validation = open_pictures(split, root, settings)
    model = replace_head(network, len(class_names), derive_seed(settings.seed, "head"))
    return TrainingSetup(model, train, validation, class_names)


def training_log(files: list[Path]) -> pd.DataFrame:
    """A row for each epoch: losses (nats), accuracies (0 to 1), learning rate, images/s, digest of the weights.

    The training loss is the one that was minimised: it includes label smoothing, class weights and mixing. A mixed
    photograph counts as correct where the class of its larger share is predicted. The learning rate is the one of the
    epoch's last step.
    """
    columns = ["epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate"]
    columns += ["images_per_second", "weights_sha256"]
    return pd.DataFrame([load_file(file)["log"] for file in files], columns=columns)


def choose_epoch(table: pd.DataFrame, wanted: str | int) -> int:
    """The epoch to visualize: a number, `last`, or `best`.

    `best` has the highest validation accuracy; of equal ones the lowest validation loss, and then the lowest number.

    Raises:
        InputError: this epoch was not trained.
    """
    if wanted == "last":
        return int(table["epoch"].iloc[-1])
    if wanted == "best":
        ordered = table.sort_values(["val_accuracy", "val_loss", "epoch"], ascending=[False, True, True])
        return int(ordered["epoch"].iloc[0])
    if wanted not in set(table["epoch"]):
        raise InputError(f"there is no epoch {wanted}: {len(table)} were trained, 0 to {len(table) - 1}")
    return int(wanted)


def publish_checkpoints(files: list[Path], targets: Sequence[str | Path]) -> None:
    """Make each target the checkpoint of its epoch: a hard link where the file system has them, else a copy.

    Where training stopped early, the remaining targets are the last checkpoint.
    """
    for number, target in enumerate(targets):
        _publish(files[min(number, len(files) - 1)], Path(target))


def _publish(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.link")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
        temporary.replace(target)
        temporary.unlink(missing_ok=True)  # a rename does nothing where both names are links to one file
    except OSError:
        with atomic_path(target) as copy:
            shutil.copyfile(file, copy)


def _current_checkpoints(store: Path, key: str, epochs: int) -> tuple[list[Path], list[dict[str, Any]]]:
    """The checkpoints from epoch 0 on that are intact and have this key, up to the first that is not; and their logs.

    A checkpoint is intact if it can be read and its weights have the digest that was written with them.
    """
    files: list[Path] = []
    rows: list[dict[str, Any]] = []
    for epoch in range(epochs):
        file = store / f"epoch{epoch}.pth"
        try:
            checkpoint = load_file(file)
        except InputError as error:
            if file.exists():
                log.warning("training again from epoch %d on: %s", epoch, error)
            break
        if checkpoint.get("key") != key:
            log.info("replacing the checkpoints of another training in %s", store)
            break
        if state_digest(checkpoint["model"]) != checkpoint["log"]["weights_sha256"]:
            log.warning(
                "training again from epoch %d on: the weights in %s have changed since they were written", epoch, file
            )
            break
        files.append(file)
        rows.append(checkpoint["log"])
    return files, rows
