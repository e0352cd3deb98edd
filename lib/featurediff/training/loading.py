"""The batches of a training: one stream of photographs over all epochs, which worker processes load in advance.

The workers live as long as the training. They load the next epoch while this one is validated, so that no epoch has to
wait for its first batch. What one of them decodes is in memory that they all share (`featurediff.data.cache`).
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from feature_vis.errors import InputError
from feature_vis.seeding import generator
from featurediff.data.cache import PictureCache
from featurediff.data.torch_dataset import PictureDataset, normalised, train_transform, val_transform
from featurediff.training.augmentation import with_randaugment
from featurediff.training.settings import TrainingSettings

__all__ = [
    "Batch",
    "Stream",
    "loading_processes",
    "on_device",
    "open_pictures",
    "threads_for_loading",
    "training_order",
    "validation_batches",
    "validation_order",
]

log = logging.getLogger("featurediff")

Batch = tuple[Tensor, Tensor]  # (B, 3, H, W) normalised, (B,) labels; both on the device

_SHARED_MEMORY = Path("/dev/shm")  # where Linux processes hand over batches
_AHEAD = 2  # batches that a worker keeps ready; the DataLoader's default


def open_pictures(split: pd.DataFrame, root: Path, settings: TrainingSettings) -> tuple[PictureDataset, PictureDataset]:
    """The training and the validation photographs of a split, prepared as the settings say.

    Raises:
        InputError: the split has none of one kind, or files are missing.
    """
    for part in ("train", "val"):
        if not (split["split"] == part).any():
            raise InputError(f"{root}: the split has no {part} photographs")
    augment = train_transform(
        settings.size,
        resize=settings.resize,
        rotation=settings.rotation,
        interpolation=settings.rotation_interpolation,
        flip=settings.flip,
    )
    plain = augment if settings.augment_validation else val_transform(settings.size, resize=settings.resize)
    if settings.randaugment:
        augment = with_randaugment(augment, settings.randaugment, settings.randaugment_magnitude)
    cache = PictureCache(len(split), settings.cache_mb * 10**6)
    common: dict[str, Any] = {"seed": settings.seed, "resize": settings.resize, "cache": cache}
    return PictureDataset(root, split, "train", augment, **common), PictureDataset(root, split, "val", plain, **common)


class Stream:
    """The photographs of a training, in the order in which `finetune` needs them.

    For each of `epochs`, read all of `training` and then all of `validation`. `training_order` and `validation_order`
    give the sizes of the batches. The worker processes end with `close`, or with a photograph that cannot be read.
    """

    def __init__(
        self,
        train: PictureDataset,
        validation: PictureDataset,
        settings: TrainingSettings,
        epochs: Iterable[int],
        workers: int,
        device: torch.device,
    ) -> None:
        self._order = [len(train), len(validation)]
        self._settings = settings
        self._device = device
        self._loaded: Iterator[Batch | InputError] = iter(
            _loader([train, validation], self._keys(epochs), workers, device)
        )

    def close(self) -> None:
        """End the workers. They end with the last reference to their iterator, and a traceback keeps one to `self`."""
        self._loaded = iter(())

    def training(self, epoch: int) -> Iterator[Batch]:
        """The epoch's training batches."""
        return self._next(len(training_order(self._order[0], self._settings, epoch)))

    def validation(self) -> Iterator[Batch]:
        """The validation batches."""
        return self._next(len(validation_order(self._order[1], self._settings)))

    def _next(self, count: int) -> Iterator[Batch]:
        for _ in range(count):
            loaded = next(self._loaded)
            if isinstance(loaded, InputError):
                self.close()
            yield on_device(loaded, self._settings, self._device)

    def _keys(self, epochs: Iterable[int]) -> Iterator[list[tuple[int, int, int]]]:
        """Part, epoch and index of each photograph, batch after batch."""
        for epoch in epochs:
            parts = [
                training_order(self._order[0], self._settings, epoch),
                validation_order(self._order[1], self._settings),
            ]
            for part, batches in enumerate(parts):
                for batch in batches:
                    yield [(part, epoch, index) for index in batch]


def validation_batches(
    pictures: PictureDataset, settings: TrainingSettings, epoch: int, device: torch.device
) -> Iterator[Batch]:
    """The batches on which the network was validated in this epoch."""
    order = validation_order(len(pictures), settings)
    keys = ([(0, epoch, index) for index in batch] for batch in order)
    with threads_for_loading(settings, device) as workers:
        for loaded in _loader([pictures], keys, workers, device):
            yield on_device(loaded, settings, device)


def training_order(count: int, settings: TrainingSettings, epoch: int) -> list[list[int]]:
    """An epoch's batches of numbers below `count`; a last one of size 1 joins the one before (batch norm needs 2)."""
    parts = _batches(torch.randperm(count, generator=generator(settings.seed, "order", epoch)), settings.batch_size)
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] += last
    return parts


def validation_order(count: int, settings: TrainingSettings) -> list[list[int]]:
    """Batches of the numbers below `count`, in their order."""
    return _batches(torch.arange(count), settings.batch_size)


def _batches(order: Tensor, size: int) -> list[list[int]]:
    return [part.tolist() for part in torch.split(order, size)]


@contextmanager
def threads_for_loading(settings: TrainingSettings, device: torch.device) -> Iterator[int]:
    """Give some of torch's threads to the workers; yields how many workers there are.

    A worker keeps a core as busy as a thread does, so the two together must not exceed the job's threads.
    """
    threads = torch.get_num_threads()
    workers = loading_processes(settings, device, threads)
    torch.set_num_threads(threads - workers)
    try:
        yield workers
    finally:
        torch.set_num_threads(threads)


def loading_processes(settings: TrainingSettings, device: torch.device, threads: int) -> int:
    """The number of workers: `settings.workers`, or by default none on a CPU and all threads but one beside a GPU.

    On a CPU it is half of the threads at most, because the others train. It is lower where the batches would not fit
    into the system's shared memory, which is small in a container.
    """
    cpu = device.type == "cpu"
    most = threads // 2 if cpu else threads - 1
    wanted = (0 if cpu else most) if settings.workers is None else settings.workers
    workers = min(wanted, most)
    if workers < wanted:
        log.info("using %d of %d workers: the job has only %d threads", workers, wanted, threads)
    if workers == 0 or not _SHARED_MEMORY.is_dir():
        return workers
    each = (_AHEAD + 1) * settings.batch_size * 3 * settings.size**2  # bytes
    if (fitting := shutil.disk_usage(_SHARED_MEMORY).free // each) < workers:
        text = "using %d of %d workers: %s is too small for more (Docker: --shm-size)"
        log.warning(text, fitting, workers, _SHARED_MEMORY)
    return min(workers, fitting)


def on_device(loaded: Batch | InputError, settings: TrainingSettings, device: torch.device) -> Batch:
    """A batch of `_collate` as the network takes it.

    Raises:
        InputError: a photograph could not be read.
    """
    if isinstance(loaded, InputError):
        raise loaded
    pictures, labels = (tensor.to(device, non_blocking=True) for tensor in loaded)
    pictures = normalised(pictures.permute(0, 3, 1, 2))  # (B, 3, H, W), channels last
    return (pictures if settings.channels_last else pictures.contiguous()), labels


def _loader(
    parts: Sequence[PictureDataset], keys: Iterator[list[tuple[int, int, int]]], workers: int, device: torch.device
) -> DataLoader:
    return DataLoader(
        _Parts(parts),
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
        prefetch_factor=_AHEAD if workers else None,
        generator=torch.Generator(),  # else the loader would draw from the global one
    )


class _Parts(Dataset[tuple[Tensor, int] | InputError]):
    """Training and validation photographs as one data set."""

    def __init__(self, parts: Sequence[PictureDataset]) -> None:
        self.parts = parts

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, int] | InputError:
        part, epoch, index = key
        try:
            return self.parts[part].item(index, epoch)
        except InputError as error:  # raised in a worker, its message would contain a traceback
            return error


def _collate(items: list[tuple[Tensor, int] | InputError]) -> Batch | InputError:
    """(B, H, W, 3) uint8 and (B,) labels, or the first error."""
    pictures, labels = [], []
    for item in items:
        if isinstance(item, InputError):
            return item
        pictures.append(item[0].permute(1, 2, 0))
        labels.append(item[1])
    return torch.stack(pictures), torch.tensor(labels)
