"""One stream of batches for a whole training: the same whoever loads it, and it says what went wrong without noise."""

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.seeding import generator
from featurediff.data import torch_dataset as picture_tensors
from featurediff.training import loading
from featurediff.training.loading import (
    Stream,
    open_pictures,
    threads_for_loading,
    training_order,
    validation_batches,
    validation_order,
)
from featurediff.training.settings import TrainingSettings

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(random.integers(0, 256, (30, 26, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return tmp_path


def split() -> pd.DataFrame:
    rows = [(f"{i}.png", "ab"[i % 2], i % 2, "val" if i in (1, 4, 6) else "train") for i in range(9)]
    return pd.DataFrame(rows, columns=["path", "label", "class_index", "split"])


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 3, "batch_size": 4, "size": 16, "rotation": 20, **changes})


def read(root: Path, options: TrainingSettings, workers: int = 0, epochs: range = range(2)) -> list[torch.Tensor]:
    stream = Stream(*open_pictures(split(), root, options), options, epochs, workers, CPU)
    found = []
    for epoch in epochs:
        for batches in (stream.training(epoch), stream.validation()):
            found += [tensor for batch in batches for tensor in batch]
    return found


def test_an_epoch_is_every_training_picture_once_then_every_validation_picture(root) -> None:
    options = settings(flip=False, rotation=0, size=26)  # a crop is told by its middle
    train, validation = open_pictures(split(), root, options)
    stream = Stream(train, validation, options, range(1), 0, CPU)
    batches = list(stream.training(0))
    assert [batch.shape for batch, _ in batches] == [(4, 3, 26, 26), (2, 3, 26, 26)]
    order = [index for batch in training_order(6, options, 0) for index in batch]
    assert torch.cat([labels for _, labels in batches]).tolist() == [train.labels[index] for index in order]
    ((shown, labels),) = stream.validation()
    assert labels.tolist() == [1, 0, 0]
    assert torch.equal(shown, picture_tensors.normalised(torch.stack([validation[i][0] for i in range(3)])))


def test_who_loads_decides_nothing(root, monkeypatch) -> None:
    options = settings(randaugment=2)
    state = torch.get_rng_state()
    alone = read(root, options)
    assert torch.equal(torch.get_rng_state(), state)
    for workers, cache_mb in ((2, 0), (2, 1)):
        others = read(root, settings(randaugment=2, cache_mb=cache_mb), workers)
        assert all(torch.equal(a, b) for a, b in zip(alone, others, strict=True))
    later = read(root, options, epochs=range(1, 2))
    assert all(torch.equal(a, b) for a, b in zip(alone[len(later) :], later, strict=True))
    train, _ = open_pictures(split(), root, options)
    order = training_order(len(train), options, 1)[0]
    drawn = torch.stack([train.item(index, 1)[0] for index in order])
    assert torch.equal(later[0], picture_tensors.normalised(drawn))


def test_later_epochs_decode_nothing(root, monkeypatch) -> None:
    decoded = []
    load = picture_tensors.load_rgb
    monkeypatch.setattr(picture_tensors, "load_rgb", lambda path: decoded.append(path.name) or load(path))
    read(root, settings(), epochs=range(3))
    assert sorted(decoded) == [f"{i}.png" for i in range(9)]
    decoded.clear()
    read(root, settings(cache_mb=0), epochs=range(3))
    assert len(decoded) == 27


def test_loading_processes_fill_one_cache(root) -> None:
    options = settings()
    train, validation = open_pictures(split(), root, options)
    stream = Stream(train, validation, options, range(2), 2, CPU)
    first = [tensor for batches in (stream.training(0), stream.validation()) for batch in batches for tensor in batch]
    assert first
    for file in root.glob("*.png"):
        file.unlink()
    assert [len(labels) for _, labels in stream.training(1)] == [4, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_broke_is_named_without_a_traceback(root, workers) -> None:
    options = settings()
    stream = Stream(*open_pictures(split(), root, options), options, range(1), workers, CPU)
    (root / "3.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"3\.png") as caught:
        list(stream.training(0))
    assert "Traceback" not in str(caught.value)


def test_validation_alone_is_that_of_the_stream(root) -> None:
    options = settings()
    train, validation = open_pictures(split(), root, options)
    stream = Stream(train, validation, options, range(1), 0, CPU)
    list(stream.training(0))
    pairs = zip(stream.validation(), validation_batches(validation, options, 0, CPU), strict=True)
    assert all(torch.equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_order_in_memory_is_as_asked(root, channels_last) -> None:
    batch = read(root, settings(channels_last=channels_last))[0]
    wanted = torch.channels_last if channels_last else torch.contiguous_format
    assert batch.is_contiguous(memory_format=wanted)


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (10, 4, [4, 4, 2])]
)
def test_no_training_batch_of_one(count: int, size: int, lengths: list[int]) -> None:
    batches = training_order(count, settings(batch_size=size), 0)
    assert [len(batch) for batch in batches] == lengths
    assert sorted(index for batch in batches for index in batch) == list(range(count))
    assert batches != training_order(count, settings(batch_size=size), 1) or count == 1
    assert [index for batch in validation_order(count, settings(batch_size=size)) for index in batch] == list(
        range(count)
    )


@pytest.mark.parametrize(
    ("wanted", "device", "threads", "free", "found"),
    [
        (None, "cpu", 4, 1 << 40, 0),
        (None, "cuda", 4, 1 << 40, 3),
        (None, "cuda", 1, 1 << 40, 0),
        (1, "cpu", 4, 1 << 40, 1),
        (8, "cpu", 4, 1 << 40, 2),
        (8, "cpu", 1, 1 << 40, 0),
        (8, "cuda", 4, 1 << 40, 3),
        (0, "cuda", 4, 1 << 40, 0),
        (5, "cuda", 8, 2 * 3 * 4 * 3 * 16 * 16, 2),
        (5, "cuda", 8, 0, 0),
    ],
)
def test_loading_and_training_share_the_jobs_threads(
    wanted, device, threads, free, found, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(loading, "_SHARED_MEMORY", tmp_path)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: usage(free))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threads_for_loading(settings(workers=wanted), torch.device(device)) as workers:
            assert (workers, torch.get_num_threads()) == (found, threads - found)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_validation_may_be_augmented_each_epoch_anew(root) -> None:
    options = settings(augment_validation=True, randaugment=2)
    train, validation = open_pictures(split(), root, options)
    stream = Stream(train, validation, options, range(2), 0, CPU)
    shown = []
    for epoch in range(2):
        list(stream.training(epoch))
        shown.append(next(iter(stream.validation()))[0])
    assert not torch.equal(*shown)
    (again, _), *_ = validation_batches(validation, options, 1, CPU)
    assert torch.equal(again, shown[1])
    plain = open_pictures(split(), root, replace(options, randaugment=0))[0]  # drawn as training pictures are
    assert torch.equal(
        again[:1], picture_tensors.normalised(plain.transform(Image.open(root / "1.png"), _drawn(1))[None])
    )


def _drawn(epoch: int) -> torch.Generator:
    return generator(0, "augment", epoch, "1.png")


def test_a_part_without_pictures_is_said(root) -> None:
    table = split()
    with pytest.raises(InputError, match="no val photographs"):
        open_pictures(table[table["split"] == "train"], root, settings())
