"""Fine-tuning: what learns, what stands still, and that a cut-off training goes on as if it had not been."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.models import build, state_digest
from transfer.dataset import make_split
from transfer.network import start_network
from transfer.settings import TrainingSettings, training_key
from transfer.training import (
    Prepared,
    _batches,
    choose_epoch,
    finetune,
    freeze_before,
    prepare,
    publish_checkpoint,
    training_log,
)

CPU = torch.device("cpu")


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 2, "batch_size": 4, "size": 32, "learning_rate": 0.01, **changes})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for index, name in enumerate(("blue", "red")):
        (root / name).mkdir()
        for number in range(6):
            pixels = random.integers(0, 80, size=(36, 40, 3), dtype=np.uint8)
            pixels[..., 2 - 2 * index] += 150
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def prepared(root: Path, options: TrainingSettings, seed: int = 0) -> Prepared:
    table, _ = make_split("image_folder", root, val_fraction=0.2, seed=0)
    return prepare(start_network("resnet18", None, None, seed), table, root, options)


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=True)["model"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_logs(pictures: Path, tmp_path: Path) -> None:
    options = settings(epochs=3, learning_rate=0.001, learning_rate_decay=0.5)
    files = finetune(prepared(pictures, options), options, "key", tmp_path, CPU)
    log = training_log(files)
    assert log["epoch"].tolist() == [0, 1, 2]
    assert log["learning_rate"].tolist() == pytest.approx([0.001, 0.0005, 0.00025])
    assert log["train_loss"].iloc[-1] < log["train_loss"].iloc[0]
    assert log["weights_sha256"].iloc[-1] == state_digest(weights(files[-1]))


def test_a_cut_off_training_goes_on_as_if_it_had_not_been(pictures: Path, tmp_path: Path) -> None:
    whole = finetune(prepared(pictures, settings(epochs=3)), settings(epochs=3), "key", tmp_path / "whole", CPU)
    finetune(prepared(pictures, settings(epochs=1)), settings(epochs=1), "key", tmp_path / "cut", CPU)
    resumed = finetune(prepared(pictures, settings(epochs=3)), settings(epochs=3), "key", tmp_path / "cut", CPU)
    assert equal(weights(whole[-1]), weights(resumed[-1]))


def test_epochs_are_reused_only_whole_and_under_the_same_key(pictures: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, logger="featurediff")
    logging.getLogger("featurediff").propagate = True
    options = settings()
    files = finetune(prepared(pictures, options), options, "key", tmp_path, CPU)
    finetune(prepared(pictures, options), options, "key", tmp_path, CPU)
    assert "reused 2 epochs, training 0" in caplog.text
    files[1].write_bytes(files[1].read_bytes()[:-1000])
    finetune(prepared(pictures, options), options, "key", tmp_path, CPU)
    assert "reused 1 epochs, training 1" in caplog.text
    caplog.clear()
    data = bytearray(files[0].read_bytes())
    data[len(data) // 4] ^= 16  # one bit among the weights, which torch reads without a word
    files[0].write_bytes(data)
    finetune(prepared(pictures, options), options, "key", tmp_path, CPU)
    assert "epoch0.pth are not those that were written" in caplog.text
    assert "reused 0 epochs, training 2" in caplog.text
    caplog.clear()
    finetune(prepared(pictures, options), options, "another key", tmp_path, CPU)
    assert "reused 0 epochs, training 2" in caplog.text


def test_frozen_modules_do_not_move_nor_do_their_statistics(pictures: Path, tmp_path: Path) -> None:
    options = settings(train_from="layer4.1")
    ready = prepared(pictures, options)
    before = {name: tensor.clone() for name, tensor in ready.model.state_dict().items()}
    after = weights(finetune(ready, options, "key", tmp_path, CPU)[-1])
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith(("layer4.1.", "fc.")) for name in moved)
    assert "layer4.1.bn2.running_mean" in moved


@pytest.mark.parametrize(
    ("name", "train_from", "learning", "frozen"),
    [
        ("resnet18", "layer4.1", {"layer4.1.conv1.weight", "fc.weight"}, {"conv1.weight", "layer4.0.conv1.weight"}),
        ("vgg11", "features.16", {"features.16.weight", "classifier.6.bias"}, {"features.13.weight"}),
        ("vit_b_32", "encoder.layers.encoder_layer_11", {"heads.head.weight", "encoder.ln.weight"}, {"class_token"}),
        ("resnet18", None, {"conv1.weight", "fc.weight"}, set()),
    ],
)
def test_what_learns(name: str, train_from: str | None, learning: set[str], frozen: set[str]) -> None:
    model = build(name)
    freeze_before(model, train_from)
    flags = {parameter: tensor.requires_grad for parameter, tensor in model.named_parameters()}
    assert all(flags[parameter] for parameter in learning)
    assert not any(flags[parameter] for parameter in frozen)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"layer4\.9.*layer4\.0"):
        freeze_before(build("resnet18"), "layer4.9")


def test_a_loss_that_is_not_finite_stops_with_a_cure(pictures: Path, tmp_path: Path) -> None:
    options = settings(learning_rate=1e30)
    with pytest.raises(InputError, match="lower learning_rate"):
        finetune(prepared(pictures, options), options, "key", tmp_path, CPU)


def test_a_start_and_a_head_depend_on_the_seed_alone(pictures: Path) -> None:
    torch.manual_seed(5)
    first = prepared(pictures, settings(seed=1), seed=1).model.state_dict()
    torch.manual_seed(6)
    assert equal(first, prepared(pictures, settings(seed=1), seed=1).model.state_dict())
    assert not equal(first, prepared(pictures, settings(seed=2), seed=2).model.state_dict())


@pytest.mark.parametrize(
    ("count", "size", "lengths"), [(9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (10, 4, [4, 4, 2])]
)
def test_no_batch_of_one(count: int, size: int, lengths: list[int]) -> None:
    batches = _batches(torch.arange(count), size)
    assert [len(batch) for batch in batches] == lengths
    assert sorted(index for batch in batches for index in batch) == list(range(count))


def test_the_epoch_to_visualize() -> None:
    table = pd.DataFrame(
        {"epoch": [0, 1, 2, 3], "val_accuracy": [0.5, 0.8, 0.8, 0.7], "val_loss": [1.0, 0.6, 0.5, 0.4]}
    )
    assert choose_epoch(table, "best") == 2
    assert choose_epoch(table, "last") == 3
    assert choose_epoch(table, 1) == 1
    with pytest.raises(InputError, match="4 were trained"):
        choose_epoch(table, 4)


def test_the_key_covers_every_setting_but_epochs_and_workers() -> None:
    changes: dict[str, Any] = {
        "train_from": "layer4",
        "learning_rate": 0.1,
        "learning_rate_decay": 0.9,
        "batch_size": 8,
        "size": 48,
        "resize": 50,
        "rotation": 5.0,
        "flip": False,
        "mixed_precision": False,
        "seed": 3,
    }
    keys = {training_key(settings(**{name: value}), "m", "s", "d") for name, value in changes.items()}
    keys |= {
        training_key(settings(), *parts)
        for parts in [("m", "s", "d"), ("n", "s", "d"), ("m", "t", "d"), ("m", "s", "e")]
    }
    assert len(keys) == len(changes) + 4
    assert training_key(settings(epochs=9, workers=3), "m", "s", "d") == training_key(settings(), "m", "s", "d")
    assert {*changes, "epochs", "workers"} == set(TrainingSettings.__dataclass_fields__)


def test_settings_that_cannot_be_are_all_named() -> None:
    with pytest.raises(InputError, match=r"(?s)epochs.*batch_size"):
        TrainingSettings(epochs=0, batch_size=1)
    with pytest.raises(InputError, match="learning_rat"):
        TrainingSettings.from_settings({"epochs": 1, "learning_rat": 1})


def test_publishing_takes_no_second_room_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    for _ in range(2):
        publish_checkpoint(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == b"new"
        assert (tmp_path / "a").stat().st_ino == (tmp_path / "b").stat().st_ino
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


def test_publishing_copies_where_links_cannot_be(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "a").write_bytes(b"new")
    publish_checkpoint(tmp_path / "a", tmp_path / "sub" / "b")
    assert (tmp_path / "sub" / "b").read_bytes() == b"new"
