"""Fine-tuning: what learns, what stands still, and that a cut-off training goes on as if it had not been."""

import logging
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from workflow.conftest import draw_pictures

from feature_vis.errors import InputError
from feature_vis.networks.models import build, state_digest
from featurediff.data.split import make_split
from featurediff.networks import start_network
from featurediff.training import finetune as training
from featurediff.training.evaluation import Evaluation
from featurediff.training.finetune import choose_epoch, set_up_training, training_log
from featurediff.training.settings import TrainingSettings


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 2, "batch_size": 4, "size": 24, "learning_rate": 0.01, **changes})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    draw_pictures(root, 0)
    return root


def tiny() -> nn.Module:
    """A network of a few weights, where only the course of a training is of interest."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*body, nn.Dropout(0.2), nn.Linear(4, 2))


def resnet(seed: int = 0) -> nn.Module:
    return start_network("resnet18", None, None, seed)


def set_up(root: Path, options: TrainingSettings, network: nn.Module) -> training.TrainingSetup:
    table, _ = make_split("image_folder", root, val_fraction=0.2, seed=0)
    return set_up_training(network, table, root, options)


def train(root: Path, options: TrainingSettings, store: Path, network=tiny, key: str = "key") -> list[Path]:
    return training.finetune(set_up(root, options, network()), options, key, store, torch.device("cpu"))


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=True)["model"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_logs(pictures: Path, tmp_path: Path) -> None:
    options = settings(epochs=3, learning_rate=0.001, learning_rate_decay=0.5)
    files = train(pictures, options, tmp_path, resnet)
    log = training_log(files)
    assert log["epoch"].tolist() == [0, 1, 2]
    assert log["learning_rate"].tolist() == pytest.approx([0.001, 0.0005, 0.00025])
    assert log["train_loss"].iloc[-1] < log["train_loss"].iloc[0]
    assert log["weights_sha256"].iloc[-1] == state_digest(weights(files[-1]))


# every option that has to do with where a training stands
EVERYTHING = (
    {"schedule": "cosine", "warmup_epochs": 0.5, "optimizer": "sgd", "weight_decay": 0.01, "accumulate_batches": 2}
    | {"label_smoothing": 0.1, "class_weights": "balanced", "randaugment": 1, "mixup": 0.4, "cutmix": 1.0}
    | {"patience": 3, "channels_last": False}
)


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_cut_off_training_goes_on_as_if_it_had_not_been(pictures: Path, tmp_path: Path, changes: dict) -> None:
    options = settings(epochs=3, **changes)
    whole = train(pictures, options, tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "epoch0.pth").write_bytes(whole[0].read_bytes())
    resumed = train(pictures, replace(options, workers=1, cache_mb=0), tmp_path / "cut")
    assert all(equal(weights(first), weights(second)) for first, second in zip(whole, resumed, strict=True))
    first, second = (training_log(files).drop(columns="images_per_second") for files in (whole, resumed))
    pd.testing.assert_frame_equal(first, second)


def test_it_stops_when_no_epoch_is_better(pictures: Path, tmp_path: Path, monkeypatch) -> None:
    losses = iter([2.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    confusion = np.array([[1, 1], [1, 1]])
    monkeypatch.setattr(training, "evaluate", lambda *_: Evaluation(next(losses), confusion))
    monkeypatch.setattr(training.Stream, "validation", lambda stream: list(stream._next(1)))
    options = settings(epochs=6, patience=2)
    files = train(pictures, options, tmp_path)
    assert [file.name for file in files] == [f"epoch{epoch}.pth" for epoch in range(4)]
    table = training_log(files)
    assert table["val_loss"].tolist() == [2, 1, 2, 3]
    assert choose_epoch(table, "best") == 1
    # once stopped it stays so, and a training that went on is cut where it would have stopped
    monkeypatch.setattr(training, "freeze_before", None)
    assert train(pictures, options, tmp_path) == files
    assert len(train(pictures, replace(options, patience=1), tmp_path)) == 3


def test_epochs_are_reused_only_whole_and_under_the_same_key(pictures: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, logger="featurediff")
    logging.getLogger("featurediff").propagate = True

    def said(key: str = "key") -> str:
        caplog.clear()
        train(pictures, settings(), tmp_path, key=key)
        return caplog.text

    assert "reused 0 epochs, training 2" in said()
    assert "reused 2 epochs, training 0" in said()
    first, second = (tmp_path / f"epoch{epoch}.pth" for epoch in (0, 1))
    second.write_bytes(second.read_bytes()[:-1000])
    assert "reused 1 epochs, training 1" in said()
    changed = torch.load(first, weights_only=True)
    changed["model"]["0.weight"][0, 0, 0, 0] += 1e-6
    torch.save(changed, first)
    text = said()
    assert "epoch0.pth have changed since they were written" in text
    assert "reused 0 epochs, training 2" in text
    assert "reused 0 epochs, training 2" in said("another key")


@pytest.mark.parametrize("frozen_statistics", ["held", "moving"])
def test_frozen_modules_do_not_move_but_for_their_statistics_on_request(pictures, tmp_path, frozen_statistics) -> None:
    options = settings(train_from="layer4.1", frozen_statistics=frozen_statistics)
    before = set_up(pictures, options, resnet()).model.state_dict()
    after = weights(train(pictures, options, tmp_path, resnet)[-1])
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    learning = {name for name in before if name.startswith(("layer4.1.", "fc."))}
    statistics = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert moved == (learning if frozen_statistics == "held" else learning | statistics)


def test_every_epoch_augments_validation_pictures_anew(pictures: Path, tmp_path: Path) -> None:
    """With weights that hardly move, the loss differs from epoch to epoch by the pictures alone."""
    spread = []
    for augmented in (False, True):
        options = settings(train_from="6", learning_rate=1e-12, augment_validation=augmented)
        spread.append(np.ptp(training_log(train(pictures, options, tmp_path / str(augmented)))["val_loss"]))
    assert spread[0] < 1e-6 < spread[1]


@pytest.mark.parametrize(
    ("name", "train_from", "learning", "frozen"),
    [
        ("vgg11", "features.16", {"features.16.weight", "classifier.6.bias"}, {"features.13.weight"}),
        ("vit_b_32", "encoder.layers.encoder_layer_11", {"heads.head.weight", "encoder.ln.weight"}, {"class_token"}),
        ("resnet18", None, {"conv1.weight", "fc.weight"}, set()),
    ],
)
def test_what_learns(name: str, train_from: str | None, learning: set[str], frozen: set[str]) -> None:
    model = build(name)
    training.freeze_before(model, train_from)
    flags = {parameter: tensor.requires_grad for parameter, tensor in model.named_parameters()}
    assert all(flags[parameter] for parameter in learning)
    assert not any(flags[parameter] for parameter in frozen)


def test_a_loss_that_is_not_finite_stops_with_a_cure_and_what_loads_ends(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "threads_for_loading", lambda *_: nullcontext(1))
    before = set(active_children())
    with pytest.raises(InputError, match="lower learning_rate") as caught:
        train(pictures, settings(learning_rate=1e30), tmp_path)
    assert set(active_children()) <= before, f"though {caught.tb} still refers to the training"


def test_a_start_and_a_head_depend_on_the_seed_alone(pictures: Path) -> None:
    states = []
    for globally, seed in ((5, 1), (6, 1), (6, 2)):
        torch.manual_seed(globally)
        states.append(set_up(pictures, settings(seed=seed), resnet(seed)).model.state_dict())
    assert equal(states[0], states[1])
    assert not any(torch.equal(states[0][name], states[2][name]) for name in ("conv1.weight", "fc.weight"))


def test_the_epoch_to_visualize() -> None:
    numbers = {"epoch": [0, 1, 2, 3], "val_accuracy": [0.5, 0.8, 0.8, 0.7], "val_loss": [1.0, 0.6, 0.5, 0.4]}
    table = pd.DataFrame(numbers)
    assert [choose_epoch(table, wanted) for wanted in ("best", "last", 1)] == [2, 3, 1]
    with pytest.raises(InputError, match="4 were trained"):
        choose_epoch(table, 4)


@pytest.mark.parametrize("links", [True, False])
def test_publishing_links_or_copies_and_replaces_up_to_the_last_that_was_trained(tmp_path, monkeypatch, links) -> None:
    if not links:
        monkeypatch.setattr("os.link", Mock(side_effect=OSError("no links here")))
    files = [tmp_path / "a", tmp_path / "b"]
    targets = [tmp_path / "sub" / str(epoch) for epoch in range(4)]
    targets[0].parent.mkdir()
    for file in (*files, targets[1]):
        file.write_text(file.name)
    for _ in range(2):
        training.publish_checkpoints(files, targets)
        assert [target.read_text() for target in targets] == ["a", "b", "b", "b"]
        assert [target.samefile(file) for target, file in zip(targets, files, strict=False)] == [links, links]
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["0", "1", "2", "3", "a", "b", "sub"]
