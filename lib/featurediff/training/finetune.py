"""Fine-tuning: a recipe of load, train one epoch, evaluate, save.

Every epoch's draws derive from (seed, epoch) and every picture's from (seed, epoch, path), so a training that was
cut off and goes on gives the weights of one that was not. Frozen modules stand still entirely: no gradients,
and `eval` mode, because batch norm in `train` mode moves its statistics even where its weights are frozen. (With
`frozen_statistics: moving` it does, as in the original.)
"""

import logging
import os
import shutil
from collections.abc import Sequence
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
from feature_vis.networks.activations import call_order
from feature_vis.networks.models import head_name, load_file, replace_head, save_file, state_digest
from feature_vis.seeding import derive_seed
from featurediff.data.torch_dataset import PictureDataset
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
    """A network with its new head, and the pictures it is trained and validated on."""

    model: nn.Module
    train: PictureDataset
    validation: PictureDataset
    class_names: list[str]


@dataclass(frozen=True)
class _Trainable:
    """The modules that learn; all others stand still."""

    model: nn.Module
    learning: frozenset[str]

    def train(self, frozen_statistics: str = "held") -> None:
        """`train` mode for what learns, and for every batch norm where its statistics move; `eval` for the rest."""
        moving = _BatchNorm if frozen_statistics == "moving" else ()
        for name, module in self.model.named_modules():
            module.training = name in self.learning or isinstance(module, moving)

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]


def freeze_before(model: nn.Module, train_from: str | None) -> _Trainable:
    """Freeze every module that a forward pass enters before `train_from`; the head always learns.

    Containers that were entered before but hold `train_from` own no behaviour in `train` mode of their own
    and are frozen as well. Modules that evaluation never enters (auxiliary heads) stand still.

    Raises:
        InputError: no such module, or one that the forward pass does not enter.
    """
    order = call_order(model)
    if train_from is None:
        learning = set(order)
    else:
        if train_from not in order:
            close = [name for name in order if name.startswith(train_from.split(".")[0])]
            hint = f"; there are {', '.join(close[:8])}" if close else ""
            raise InputError(f"train_from: the network has no module {train_from!r} that it uses{hint}")
        learning = {*order[order.index(train_from) :], head_name(model)}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(name in learning)
    return _Trainable(model, frozenset(learning))


def finetune(
    setup: TrainingSetup, settings: TrainingSettings, key: str, store: Path, device: torch.device
) -> list[Path]:
    """Train to `settings.epochs` epochs, or until it stops before, and return one checkpoint file an epoch, in order.

    `store` is a folder that outlives a job that was cut off: an epoch whose checkpoint lies there, whole and under
    the same `key` (`featurediff.training.settings.training_key`), is not trained again.

    Raises:
        InputError: a loss that is not finite, with the epoch and the batch.
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
    with work as advance, threads_for_loading(settings, device) as workers:
        stream = Stream(setup.train, setup.validation, settings, missing, workers, device)
        for epoch in missing:
            row: dict[str, Any] = {"epoch": epoch, **epochs.train(epoch, stream.training(epoch), advance)}
            validated = evaluate(model, stream.validation(), classes, settings, advance)
            row |= {"val_loss": validated.loss, "val_accuracy": validated.accuracy}
            files.append(store / f"epoch{epoch}.pth")
            rows.append(_save(files[-1], model, optimizer, row, setup.class_names, settings, key))
            if epochs_until_stop(rows, settings.patience) is not None:
                log.info("stopped: the last %d epochs brought none better", settings.patience)
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
    """Write an epoch's checkpoint and say how it went; returns its row of the log, with the weights' digest."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    row = {**row, "weights_sha256": state_digest(state)}
    checkpoint = {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "scheduler": {"schedule": settings.schedule, "learning_rate": row["learning_rate"]},  # it has no state
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
    """Give the network a new head for the split's classes, and open its training and validation pictures.

    Raises:
        InputError: nothing to train or to validate on.
    """
    class_names = split.drop_duplicates("class_index").sort_values("class_index")["label"].tolist()
    train, validation = open_pictures(split, root, settings)
    model = replace_head(network, len(class_names), derive_seed(settings.seed, "head"))
    return TrainingSetup(model, train, validation, class_names)


def training_log(files: list[Path]) -> pd.DataFrame:
    """One row an epoch, from the checkpoints: epoch, losses (nats), accuracies (0 to 1), rate, images/s, digest.

    The training loss is what was minimised, with label smoothing, class weights and mixing; the accuracy of mixed
    pictures counts the class of the larger share. The learning rate is that of the epoch's last step.
    """
    columns = ["epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate"]
    columns += ["images_per_second", "weights_sha256"]
    return pd.DataFrame([load_file(file)["log"] for file in files], columns=columns)


def choose_epoch(table: pd.DataFrame, wanted: str | int) -> int:
    """The epoch to visualize: a number, `last`, or `best` (highest validation accuracy, then lowest loss, then first).

    Raises:
        InputError: an epoch that was not trained.
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
    """Make each target the same file as the one of its epoch: a second name where the file system can, else a copy.

    Where training stopped before there was a checkpoint for each target, the others are the last one.
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
        temporary.unlink(missing_ok=True)  # rename leaves it where both names already are the same file
    except OSError:
        with atomic_path(target) as copy:
            shutil.copyfile(file, copy)


def _current_checkpoints(store: Path, key: str, epochs: int) -> tuple[list[Path], list[dict[str, Any]]]:
    """The checkpoints from epoch 0 on that are whole and made under the same key, up to the first that is not; and
    their rows of the log.

    Whole: it can be read, and its weights are those that were written.
    """
    files: list[Path] = []
    rows: list[dict[str, Any]] = []
    for epoch in range(epochs):
        file = store / f"epoch{epoch}.pth"
        try:
            checkpoint = load_file(file)
        except InputError as error:
            if file.exists():
                log.warning("trained again from epoch %d on: %s", epoch, error)
            break
        if checkpoint.get("key") != key:
            log.info("the checkpoints of another training are replaced: %s", store)
            break
        if state_digest(checkpoint["model"]) != checkpoint["log"]["weights_sha256"]:
            log.warning(
                "trained again from epoch %d on: the weights in %s are not those that were written", epoch, file
            )
            break
        files.append(file)
        rows.append(checkpoint["log"])
    return files, rows
