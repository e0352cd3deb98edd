"""Fine-tuning: a recipe of load, train one epoch, evaluate, save.

Every epoch's draws derive from (seed, epoch) and every picture's from (seed, epoch, path), so a training that was
cut off and goes on gives the weights of one that was not. Frozen modules stand still entirely: no gradients,
and `eval` mode, because batch norm in `train` mode moves its statistics even where its weights are frozen.
"""

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from feature_vis.activations import call_order
from feature_vis.errors import InputError
from feature_vis.files import atomic_path
from feature_vis.models import head_name, load_file, replace_head, save_file, state_digest
from feature_vis.seeding import derive_seed, generator
from transfer.dataset import PictureDataset
from transfer.pictures import train_transform, val_transform
from transfer.progress import progress
from transfer.settings import TrainingSettings

__all__ = [
    "Prepared",
    "choose_epoch",
    "finetune",
    "freeze_before",
    "prepare",
    "publish_checkpoint",
    "training_log",
]

log = logging.getLogger("featurediff")


@dataclass(frozen=True)
class Prepared:
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

    def train(self) -> None:
        """`train` mode for what learns, `eval` for the rest."""
        for name, module in self.model.named_modules():
            module.training = name in self.learning

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


def finetune(prepared: Prepared, settings: TrainingSettings, key: str, store: Path, device: torch.device) -> list[Path]:
    """Train to `settings.epochs` epochs and return one checkpoint file an epoch, in order.

    `store` is a folder that outlives a job that was cut off: an epoch whose checkpoint lies there, whole and under
    the same `key` (`transfer.settings.training_key`), is not trained again.

    Raises:
        InputError: a loss that is not finite, with the epoch and the batch.
    """
    model = prepared.model
    files = _current_checkpoints(store, key, settings.epochs)
    log.info("reused %d epochs, training %d", len(files), settings.epochs - len(files))
    if len(files) == settings.epochs:
        return files
    trainable = freeze_before(model, settings.train_from)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(trainable.parameters(), lr=settings.learning_rate, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=settings.learning_rate_decay)
    if files:
        last = load_file(files[-1])
        model.load_state_dict(last["model"])
        optimizer.load_state_dict(last["optimizer"])
        scheduler.load_state_dict(last["scheduler"])
    missing = range(len(files), settings.epochs)
    work = progress(len(missing) * (len(prepared.train) + len(prepared.validation)), "training", "img")
    with work as advance:
        for epoch in missing:
            row: dict[str, Any] = {"epoch": epoch, "learning_rate": optimizer.param_groups[0]["lr"]}
            row |= _train_one_epoch(trainable, prepared.train, optimizer, settings, epoch, device, advance)
            row |= _evaluate(model, prepared.validation, settings, device, advance)
            scheduler.step()
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
            row["weights_sha256"] = state_digest(state)
            files.append(store / f"epoch{epoch}.pth")
            checkpoint = {
                "model": state,
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "epoch": epoch,
                "arguments": asdict(settings),
                "class_names": prepared.class_names,
                "log": row,
                "key": key,
            }
            save_file(files[-1], checkpoint)
            log.info(
                "epoch %d of %d: training loss %.3f, accuracy %.3f; validation loss %.3f, accuracy %.3f; %.0f images/s",
                epoch + 1,
                settings.epochs,
                *(
                    row[name]
                    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "images_per_second")
                ),
            )
    return files


def prepare(network: nn.Module, split: pd.DataFrame, root: Path, settings: TrainingSettings) -> Prepared:
    """Give the network a new head for the split's classes, and open its training and validation pictures.

    Raises:
        InputError: nothing to train or to validate on.
    """
    class_names = split.drop_duplicates("class_index").sort_values("class_index")["label"].tolist()
    for part in ("train", "val"):
        if not (split["split"] == part).any():
            raise InputError(f"{root}: the split has no {part} pictures")
    augment = train_transform(settings.size, resize=settings.resize, rotation=settings.rotation, flip=settings.flip)
    plain = val_transform(settings.size, resize=settings.resize)
    return Prepared(
        model=replace_head(network, len(class_names), derive_seed(settings.seed, "head")),
        train=PictureDataset(root, split, "train", augment, seed=settings.seed),
        validation=PictureDataset(root, split, "val", plain, seed=settings.seed),
        class_names=class_names,
    )


def training_log(files: list[Path]) -> pd.DataFrame:
    """One row an epoch, from the checkpoints: epoch, losses (nats), accuracies (0 to 1), rate, images/s, digest."""
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


def publish_checkpoint(file: Path, target: Path) -> None:
    """Make `target` the same file as `file`: a second name where the file system can, else a copy."""
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


def _current_checkpoints(store: Path, key: str, epochs: int) -> list[Path]:
    """The checkpoints from epoch 0 on that are whole and made under the same key, up to the first that is not.

    Whole: it can be read, and its weights are those that were written.
    """
    files: list[Path] = []
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
    return files


def _batches(order: Tensor, size: int) -> list[list[int]]:
    """Split the order into batches; a rest of one picture joins the batch before it (batch norm needs two)."""
    parts = [part.tolist() for part in torch.split(order, size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] += last
    return parts


def _loader(data: PictureDataset, batches: list[list[int]], workers: int, device: torch.device) -> DataLoader:
    return DataLoader(data, batch_sampler=batches, num_workers=workers, pin_memory=device.type == "cuda")


def _batches_on(loader: DataLoader, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for pictures, labels in loader:
        yield (
            pictures.to(device, memory_format=torch.channels_last, non_blocking=True),  # (B, 3, H, W)
            labels.to(device, non_blocking=True),  # (B,)
        )


def _logits(output: Any) -> Tensor:
    """(B, classes); GoogLeNet and Inception wrap theirs in a tuple while training."""
    return output if isinstance(output, Tensor) else output.logits


def _autocast(settings: TrainingSettings, device: torch.device) -> torch.autocast:
    wanted = settings.mixed_precision and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def _train_one_epoch(
    trainable: _Trainable,
    data: PictureDataset,
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
    epoch: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> dict[str, float]:
    data.set_epoch(epoch)
    order = torch.randperm(len(data), generator=generator(settings.seed, "order", epoch))
    batches = _batches(order, settings.batch_size)
    trainable.train()
    losses, right, began = 0.0, 0, time.monotonic()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(settings.seed, "dropout", epoch))
        for number, (pictures, labels) in enumerate(
            _batches_on(_loader(data, batches, settings.workers, device), device)
        ):
            with _autocast(settings, device):
                logits = _logits(trainable.model(pictures))  # (B, classes)
                loss = nn.functional.cross_entropy(logits, labels)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise InputError(
                    f"the training loss became {value} in epoch {epoch}, batch {number + 1} of {len(batches)}: "
                    f"lower learning_rate (now {optimizer.param_groups[0]['lr']:g}) and run again"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses += value * len(labels)
            right += int((logits.argmax(1) == labels).sum())
            advance(len(labels))
    seconds = time.monotonic() - began
    return {
        "train_loss": losses / len(data),
        "train_accuracy": right / len(data),
        "images_per_second": len(data) / seconds,
    }


@torch.no_grad()
def _evaluate(
    model: nn.Module,
    data: PictureDataset,
    settings: TrainingSettings,
    device: torch.device,
    advance: Callable[[int], None],
) -> dict[str, float]:
    model.eval()
    batches = [part.tolist() for part in torch.split(torch.arange(len(data)), settings.batch_size)]
    losses, right = 0.0, 0
    for pictures, labels in _batches_on(_loader(data, batches, settings.workers, device), device):
        with _autocast(settings, device):
            logits = _logits(model(pictures)).float()  # (B, classes)
        losses += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(1) == labels).sum())
        advance(len(labels))
    return {"val_loss": losses / len(data), "val_accuracy": right / len(data)}
