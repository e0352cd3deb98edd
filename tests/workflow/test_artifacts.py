"""What a finished run leaves behind."""

import numpy as np
import pandas as pd
import torch

from workflow.conftest import Experiment


def test_every_artifact_is_there(finished: Experiment) -> None:
    results = finished.folder / "results"
    for path in (
        "data/first/split.csv",
        "base/checkpoints/epoch1.pth",
        "base/training.csv",
        "dogs/network.pth",
        "dogs/evaluation/confusion.csv",
        "dogs/evaluation/classes.csv",
        "dogs/evaluation/columns.yaml",
        "dogs/evaluation/confusion.png",
        "dogs/pictures/layer4.1.csv",
        "dogs/difference/candidates.csv",
        "dogs/difference/summary.json",  # the heads differ: the reason
        "failed_pictures.csv",
        "compare/dogs/layer4.1.csv",
        "compare/cars/layer3.1/most_different",
        "base/embeddings/layer3.1.npz",
        "compare/dogs/ranking.csv",
        "compare/dogs/summary.csv",
        "compare/dogs/agreement.csv",
        "compare/dogs/columns.yaml",
        "plots/similarity.png",
        "plots/training.png",
        "plots/contact_sheets/cars/layer4.1.png",
        "report/index.html",
        "report/page/core.js",
        "report/data/run.js",
        "report/data/networks/dogs/layer4.1-0.js",
        "report/thumbs/cars/layer3.1-0.webp",
        "report/thumbs/cars/probe-0.webp",
        "report/vega.js",
    ):
        assert (results / path).exists(), path
    assert not list(results.rglob("*.tmp*"))
    assert not list(results.glob("*/pictures/.staging/*/*"))


def test_frozen_modules_do_not_move_at_all(finished: Experiment) -> None:
    base, dogs = (
        torch.load(finished.folder / f"results/{name}/network.pth", weights_only=True)["model"]
        for name in ("base", "dogs")
    )
    moved = {name.rpartition(".")[0] for name in base if not torch.equal(base[name], dogs[name])}
    assert moved
    assert all(name.startswith(("layer4.1", "fc")) for name in moved)


def test_a_frozen_layer_has_a_similarity_of_one(finished: Experiment) -> None:
    tables = finished.folder / "results/compare/dogs"
    frozen, changed = (pd.read_csv(tables / f"{layer}.csv")["cosine"] for layer in ("layer3.1", "layer4.1"))
    np.testing.assert_allclose(frozen, 1.0)
    assert (changed < 1).any()


def test_checkpoints_and_log_hold_what_training_needs_to_go_on(finished: Experiment) -> None:
    checkpoint = torch.load(finished.folder / "results/dogs/checkpoints/epoch1.pth", weights_only=True)
    assert checkpoint["epoch"] == 1
    assert checkpoint["arguments"]["train_from"] == "layer4.1"
    assert {"model", "optimizer", "scheduler"} <= set(checkpoint)
    log = pd.read_csv(finished.folder / "results/cars/training.csv")
    assert log["epoch"].tolist() == [0, 1]
    assert log["weights_sha256"].nunique() == 2
    assert log["val_accuracy"].between(0, 1).all()


def test_the_confusion_matrix_is_of_the_epoch_that_is_visualized(finished: Experiment) -> None:
    results = finished.folder / "results"
    for network in ("base", "dogs", "cars"):
        log = pd.read_csv(results / network / "training.csv").set_index("epoch")
        shown = torch.load(results / network / "network.pth", weights_only=True)["epoch"]
        counts = pd.read_csv(results / network / "evaluation" / "confusion.csv").set_index("class_name")
        assert counts.to_numpy().trace() / counts.to_numpy().sum() == log.loc[shown, "val_accuracy"]
        classes = pd.read_csv(results / network / "evaluation" / "classes.csv")
        assert classes["pictures"].tolist() == counts.sum(axis=1).tolist()
    links = (results / "report" / "data" / "run.js").read_text()
    assert "../dogs/evaluation/confusion.png" in links
