"""Batches for a training: one stream of pictures, epoch after epoch, that processes load ahead of the network.

The processes live as long as the training. While an epoch is validated they load the next one, so that no epoch starts
with an empty stream; what one of them decodes lies in memory that all of them share (`featurediff.data.cache`).
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

_SHARED_MEMORY = Path("/dev/shm")  # through which processes hand batches over, on Linux
_AHEAD = 2  # batches that a process holds ready; the DataLoader's default


def open_pictures(split: pd.DataFrame, root: Path, settings: TrainingSettings) -> tuple[PictureDataset, PictureDataset]:
    """The training and the validation pictures of a split, as the settings prepare them.

    Raises:
        InputError: there are none of one of the two, or some are gone.
    """
    for part in ("train", "val"):
        if not (split["split"] == part).any():
            raise InputError(f"{root}: the split has no {part} pictures")
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
    """The pictures of a training, in the order in which `finetune` asks for them.

    For each of `epochs` first `training` and then `validation` is read to its end, no more and no less. Sizes of
    batches: `training_order`, `validation_order`.
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
        self._loaded = iter(_loader([train, validation], self._keys(epochs), workers, device))

    def training(self, epoch: int) -> Iterator[Batch]:
        """The epoch's training batches."""
        return self._next(len(training_order(self._order[0], self._settings, epoch)))

    def validation(self) -> Iterator[Batch]:
        """The validation batches."""
        return self._next(len(validation_order(self._order[1], self._settings)))

    def _next(self, count: int) -> Iterator[Batch]:
        for _ in range(count):
            yield on_device(next(self._loaded), self._settings, self._device)

    def _keys(self, epochs: Iterable[int]) -> Iterator[list[tuple[int, int, int]]]:
        """Part, epoch and index of each picture, batch after batch."""
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
    """All of them once, as they were validated on in that epoch."""
    order = validation_order(len(pictures), settings)
    keys = ([(0, epoch, index) for index in batch] for batch in order)
    with threads_for_loading(settings, device) as workers:
        for loaded in _loader([pictures], keys, workers, device):
            yield on_device(loaded, settings, device)


def training_order(count: int, settings: TrainingSettings, epoch: int) -> list[list[int]]:
    """An epoch's batches of numbers below `count`; a rest of one joins the batch before it (batch norm needs two)."""
    parts = _batches(torch.randperm(count, generator=generator(settings.seed, "order", epoch)), settings.batch_size)
    if len(parts) > 1 and len(parts[-1]) == 1:
        last = parts.pop()
        parts[-1] += last
    return parts


def validation_order(count: int, settings: TrainingSettings) -> list[list[int]]:
    """Batches of the numbers below `count`, one after the other."""
    return _batches(torch.arange(count), settings.batch_size)


def _batches(order: Tensor, size: int) -> list[list[int]]:
    return [part.tolist() for part in torch.split(order, size)]


@contextmanager
def threads_for_loading(settings: TrainingSettings, device: torch.device) -> Iterator[int]:
    """Give some of torch's threads to processes that load pictures; yields how many.

    A process that loads is as busy as a thread: beside all of torch's they would be more than the job was given.
    """
    threads = torch.get_num_threads()
    workers = loading_processes(settings, device, threads)
    torch.set_num_threads(threads - workers)
    try:
        yield workers
    finally:
        torch.set_num_threads(threads)


def loading_processes(settings: TrainingSettings, device: torch.device, threads: int) -> int:
    """How many of so many threads load pictures: as many as are set, else none on a CPU and all but one beside a GPU.

    Half of them at most on a CPU, because the others train. Fewer where what they hand over would not fit into the
    system's shared memory, of which a container has little.
    """
    cpu = device.type == "cpu"
    most = threads // 2 if cpu else threads - 1
    wanted = (0 if cpu else most) if settings.workers is None else settings.workers
    workers = min(wanted, most)
    if workers < wanted:
        log.info("%d of %d workers load pictures: the job has %d threads in all", workers, wanted, threads)
    if workers == 0 or not _SHARED_MEMORY.is_dir():
        return workers
    each = (_AHEAD + 1) * settings.batch_size * 3 * settings.size**2  # bytes
    if (fitting := shutil.disk_usage(_SHARED_MEMORY).free // each) < workers:
        text = "%d of %d workers load pictures: %s has room for no more (Docker gives it more with --shm-size)"
        log.warning(text, fitting, workers, _SHARED_MEMORY)
    return min(workers, fitting)


def on_device(loaded: Batch | InputError, settings: TrainingSettings, device: torch.device) -> Batch:
    """What `_collate` put together, as a network is given it.

    Raises:
        InputError: a picture that could not be read.
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
        generator=torch.Generator(),  # or the loader would draw from the global one
    )


class _Parts(Dataset[tuple[Tensor, int] | InputError]):
    """Training and validation pictures as one data set."""

    def __init__(self, parts: Sequence[PictureDataset]) -> None:
        self.parts = parts

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, int] | InputError:
        part, epoch, index = key
        try:
            return self.parts[part].item(index, epoch)
        except InputError as error:  # raised here it would reach the user with a process's traceback in its words
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
