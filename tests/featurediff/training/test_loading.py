"""One stream of batches for a whole training: the same whoever loads it, and it says what went wrong without noise."""

from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.seeding import generator
from featurediff.data.torch_dataset import normalised
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


SPLIT = pd.DataFrame(
    [(f"{i}.png", "ab"[i % 2], i % 2, "val" if i in (1, 4, 6) else "train") for i in range(9)],
    columns=["path", "label", "class_index", "split"],
)


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 3, "batch_size": 4, "size": 16, "rotation": 20, **changes})


def stream_of(root: Path, options: TrainingSettings, workers: int = 0, epochs: range = range(2)) -> Stream:
    return Stream(*open_pictures(SPLIT, root, options), options, epochs, workers, CPU)


def read(stream: Stream, epochs: range = range(2)) -> list[torch.Tensor]:
    parts = (part for epoch in epochs for part in (stream.training(epoch), stream.validation()))
    return [tensor for batches in parts for batch in batches for tensor in batch]


def test_an_epoch_is_every_training_picture_once_then_every_validation_picture(root) -> None:
    options = settings(flip=False, rotation=0, size=26)  # a crop is told by its middle
    train, validation = open_pictures(SPLIT, root, options)
    stream = stream_of(root, options)
    batches = list(stream.training(0))
    assert [batch.shape for batch, _ in batches] == [(4, 3, 26, 26), (2, 3, 26, 26)]
    order = [index for batch in training_order(6, options, 0) for index in batch]
    assert torch.cat([labels for _, labels in batches]).tolist() == [train.labels[index] for index in order]
    ((shown, labels),) = stream.validation()
    assert labels.tolist() == [1, 0, 0]
    assert torch.equal(shown, normalised(torch.stack([validation[i][0] for i in range(3)])))
    ((alone, labels_alone),) = validation_batches(validation, options, 0, CPU)
    assert torch.equal(alone, shown)
    assert torch.equal(labels_alone, labels)


def test_who_loads_decides_nothing(root) -> None:
    options = settings(randaugment=2)
    state = torch.get_rng_state()
    alone = read(stream_of(root, options))
    assert torch.equal(torch.get_rng_state(), state)
    for cache_mb in (0, 1):
        others = read(stream_of(root, replace(options, cache_mb=cache_mb), workers=2))
        assert all(torch.equal(a, b) for a, b in zip(alone, others, strict=True))
    later = read(stream_of(root, options, epochs=range(1, 2)), range(1, 2))
    assert all(torch.equal(a, b) for a, b in zip(alone[len(later) :], later, strict=True))
    train, _ = open_pictures(SPLIT, root, options)
    drawn = [train.item(index, 1)[0] for index in training_order(len(train), options, 1)[0]]
    assert torch.equal(later[0], normalised(torch.stack(drawn)))


@pytest.mark.parametrize("workers", [0, 2])
def test_later_epochs_decode_nothing_as_loading_processes_share_a_cache(root, workers) -> None:
    cached, plain = (stream_of(root, settings(cache_mb=size), workers, range(4)) for size in (1, 0))
    first = read(cached, range(1))
    assert [len(labels) for labels in first[1::2]] == [4, 2, 3]
    read(cached, range(1, 3))
    read(plain, range(2))
    for file in root.glob("*.png"):
        file.unlink()
    assert len(read(cached, range(3, 4))) == len(first)
    with pytest.raises(InputError, match="no such file"):
        read(plain, range(2, 4))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_part_without_pictures_or_a_picture_that_broke_is_named_without_a_traceback(root, workers) -> None:
    with pytest.raises(InputError, match="no val photographs"):
        open_pictures(SPLIT[SPLIT["split"] == "train"], root, settings())
    before = set(active_children())
    stream = stream_of(root, settings(), workers)
    assert len(set(active_children()) - before) == workers
    (root / "3.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"3\.png") as caught:
        list(stream.training(0))
    assert "Traceback" not in str(caught.value)
    assert set(active_children()) <= before  # though the traceback still refers to the stream


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_order_in_memory_is_as_asked(root, channels_last) -> None:
    batch = read(stream_of(root, settings(channels_last=channels_last)))[0]
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
    in_order = [index for batch in validation_order(count, settings(batch_size=size)) for index in batch]
    assert in_order == list(range(count))


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
def test_loading_and_training_share_the_threads(wanted, device, threads, free, found, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loading, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
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
    shown = read(stream_of(root, options))[4::6]  # of each epoch two batches to train, one to validate
    assert not torch.equal(*shown)
    _, validation = open_pictures(SPLIT, root, options)
    ((again, _),) = validation_batches(validation, options, 1, CPU)
    assert torch.equal(again, shown[1])
    plain, _ = open_pictures(SPLIT, root, replace(options, randaugment=0))  # drawn as training pictures are
    drawn = plain.transform(Image.open(root / "1.png"), generator(0, "augment", 1, "1.png"))
    assert torch.equal(again[:1], normalised(drawn[None]))
