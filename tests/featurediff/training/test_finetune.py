"""Fine-tuning: what learns, what stands still, and that a cut-off training goes on as if it had not been."""

import itertools
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from feature_vis.errors import InputError
from feature_vis.networks.models import build, state_digest
from featurediff.data.split import make_split
from featurediff.networks import start_network
from featurediff.training import finetune as training
from featurediff.training.evaluation import Evaluation
from featurediff.training.finetune import (
    TrainingSetup,
    choose_epoch,
    finetune,
    freeze_before,
    publish_checkpoints,
    set_up_training,
    training_log,
)
from featurediff.training.settings import TrainingSettings

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


def set_up(root: Path, options: TrainingSettings, seed: int = 0) -> TrainingSetup:
    table, _ = make_split("image_folder", root, val_fraction=0.2, seed=0)
    return set_up_training(start_network("resnet18", None, None, seed), table, root, options)


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=True)["model"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_logs(pictures: Path, tmp_path: Path) -> None:
    options = settings(epochs=3, learning_rate=0.001, learning_rate_decay=0.5)
    files = finetune(set_up(pictures, options), options, "key", tmp_path, CPU)
    log = training_log(files)
    assert log["epoch"].tolist() == [0, 1, 2]
    assert log["learning_rate"].tolist() == pytest.approx([0.001, 0.0005, 0.00025])
    assert log["train_loss"].iloc[-1] < log["train_loss"].iloc[0]
    assert log["weights_sha256"].iloc[-1] == state_digest(weights(files[-1]))


def test_a_cut_off_training_goes_on_as_if_it_had_not_been(pictures: Path, tmp_path: Path) -> None:
    whole = finetune(set_up(pictures, settings(epochs=3)), settings(epochs=3), "key", tmp_path / "whole", CPU)
    finetune(set_up(pictures, settings(epochs=1)), settings(epochs=1), "key", tmp_path / "cut", CPU)
    resumed = finetune(set_up(pictures, settings(epochs=3)), settings(epochs=3), "key", tmp_path / "cut", CPU)
    assert equal(weights(whole[-1]), weights(resumed[-1]))


# every option that has to do with where a training stands
EVERYTHING: dict[str, Any] = {
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "optimizer": "sgd",
    "weight_decay": 0.01,
    "accumulate_batches": 2,
    "label_smoothing": 0.1,
    "class_weights": "balanced",
    "randaugment": 1,
    "mixup": 0.4,
    "cutmix": 1.0,
    "patience": 3,
    "channels_last": False,
}


def tiny(root: Path, options: TrainingSettings) -> TrainingSetup:
    """A network of a few weights, where only the course of a training is of interest."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))
        model.append(nn.Linear(4, 2))
    table, _ = make_split("image_folder", root, val_fraction=0.2, seed=0)
    return set_up_training(model, table, root, options)


def test_with_every_option_it_goes_on_as_if_it_had_not_been_cut_off(pictures: Path, tmp_path: Path) -> None:
    options = settings(epochs=3, **EVERYTHING)
    whole = finetune(tiny(pictures, options), options, "key", tmp_path / "whole", CPU)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "epoch0.pth").write_bytes(whole[0].read_bytes())
    again = replace(options, workers=1, cache_mb=0)
    resumed = finetune(tiny(pictures, again), again, "key", tmp_path / "cut", CPU)
    for first, second in zip(whole, resumed, strict=True):
        assert equal(weights(first), weights(second))
    first, second = (training_log(files).drop(columns="images_per_second") for files in (whole, resumed))
    pd.testing.assert_frame_equal(first, second)


def worse_and_worse(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From epoch `after` on no validation is better."""
    losses = itertools.count()

    def found(*_: object) -> Evaluation:
        number = next(losses)
        return Evaluation(abs(number - after) + 1.0, np.array([[1, 1], [1, 1]]))

    monkeypatch.setattr(training, "evaluate", found)
    monkeypatch.setattr(training.Stream, "validation", lambda stream: list(stream._next(1)))


def test_it_stops_when_no_epoch_is_better(pictures: Path, tmp_path: Path, monkeypatch) -> None:
    worse_and_worse(monkeypatch, after=1)
    options = settings(epochs=6, patience=2)
    files = finetune(tiny(pictures, options), options, "key", tmp_path / "a", CPU)
    assert [file.name for file in files] == [f"epoch{epoch}.pth" for epoch in range(4)]
    table = training_log(files)
    assert table["val_loss"].tolist() == [2, 1, 2, 3]
    assert choose_epoch(table, "best") == 1
    # once stopped it stays so, and a training that went on is cut where it would have stopped
    monkeypatch.setattr(training, "freeze_before", None)
    assert finetune(tiny(pictures, options), options, "key", tmp_path / "a", CPU) == files
    sooner = replace(options, patience=1)
    assert len(finetune(tiny(pictures, sooner), sooner, "key", tmp_path / "a", CPU)) == 3


def test_targets_of_epochs_that_were_not_trained_are_the_last(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    targets = [tmp_path / "out" / str(epoch) for epoch in range(4)]
    publish_checkpoints([tmp_path / "a", tmp_path / "b"], targets)
    assert [target.read_text() for target in targets] == ["a", "b", "b", "b"]


def test_epochs_are_reused_only_whole_and_under_the_same_key(pictures: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, logger="featurediff")
    logging.getLogger("featurediff").propagate = True
    options = settings()
    files = finetune(set_up(pictures, options), options, "key", tmp_path, CPU)
    finetune(set_up(pictures, options), options, "key", tmp_path, CPU)
    assert "reused 2 epochs, training 0" in caplog.text
    files[1].write_bytes(files[1].read_bytes()[:-1000])
    finetune(set_up(pictures, options), options, "key", tmp_path, CPU)
    assert "reused 1 epochs, training 1" in caplog.text
    caplog.clear()
    data = bytearray(files[0].read_bytes())
    data[len(data) // 4] ^= 16  # one bit among the weights, which torch reads without a word
    files[0].write_bytes(data)
    finetune(set_up(pictures, options), options, "key", tmp_path, CPU)
    assert "epoch0.pth have changed since they were written" in caplog.text
    assert "reused 0 epochs, training 2" in caplog.text
    caplog.clear()
    finetune(set_up(pictures, options), options, "another key", tmp_path, CPU)
    assert "reused 0 epochs, training 2" in caplog.text


@pytest.mark.parametrize("frozen_statistics", ["held", "moving"])
def test_frozen_modules_do_not_move_but_for_their_statistics_on_request(
    pictures: Path, tmp_path: Path, frozen_statistics: str
) -> None:
    options = settings(train_from="layer4.1", frozen_statistics=frozen_statistics)
    ready = set_up(pictures, options)
    before = {name: tensor.clone() for name, tensor in ready.model.state_dict().items()}
    after = weights(finetune(ready, options, "key", tmp_path, CPU)[-1])
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    learning = {name for name in before if name.startswith(("layer4.1.", "fc."))}
    statistics = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert moved == (learning if frozen_statistics == "held" else learning | statistics)


def test_every_epoch_augments_validation_pictures_anew(pictures: Path, tmp_path: Path) -> None:
    """With weights that hardly move, the loss differs from epoch to epoch by the pictures alone."""

    def losses(folder: str, augmented: bool) -> list[float]:
        options = settings(train_from="fc", learning_rate=1e-12, augment_validation=augmented)
        return list(
            training_log(finetune(set_up(pictures, options), options, "key", tmp_path / folder, CPU))["val_loss"]
        )

    assert np.ptp(losses("plain", False)) < 1e-6 < np.ptp(losses("augmented", True))


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


def test_a_loss_that_is_not_finite_stops_with_a_cure(pictures: Path, tmp_path: Path) -> None:
    options = settings(learning_rate=1e30)
    with pytest.raises(InputError, match="lower learning_rate"):
        finetune(set_up(pictures, options), options, "key", tmp_path, CPU)


def test_a_start_and_a_head_depend_on_the_seed_alone(pictures: Path) -> None:
    torch.manual_seed(5)
    first = set_up(pictures, settings(seed=1), seed=1).model.state_dict()
    torch.manual_seed(6)
    assert equal(first, set_up(pictures, settings(seed=1), seed=1).model.state_dict())
    assert not equal(first, set_up(pictures, settings(seed=2), seed=2).model.state_dict())


def test_the_epoch_to_visualize() -> None:
    table = pd.DataFrame(
        {"epoch": [0, 1, 2, 3], "val_accuracy": [0.5, 0.8, 0.8, 0.7], "val_loss": [1.0, 0.6, 0.5, 0.4]}
    )
    assert choose_epoch(table, "best") == 2
    assert choose_epoch(table, "last") == 3
    assert choose_epoch(table, 1) == 1
    with pytest.raises(InputError, match="4 were trained"):
        choose_epoch(table, 4)


@pytest.mark.parametrize("links", [True, False])
def test_publishing_links_or_copies_and_replaces(tmp_path: Path, monkeypatch, links: bool) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    for _ in range(2):
        publish_checkpoints([tmp_path / "a"], [tmp_path / "b", tmp_path / "sub" / "c"])
        assert (tmp_path / "b").read_bytes() == (tmp_path / "sub" / "c").read_bytes() == b"new"
        assert ((tmp_path / "a").stat().st_ino == (tmp_path / "b").stat().st_ino) == links
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a", "b", "c", "sub"]
