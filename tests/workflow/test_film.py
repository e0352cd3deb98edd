"""Channels through the epochs: snakemake runs for real, and what it rendered is counted."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from feature_vis.images.png import read_notes, read_picture
from workflow.conftest import Experiment, copy_of, tiny_config

CHANNELS = {"layer3.1": [1], "layer4.1": [0, 5]}  # dogs is trained from layer4.1 on
TARGETS = ("results/dogs/film/change.csv", "results/dogs/film/layer3.1", "results/dogs/film/layer4.1")


def with_film(folder: Path, epochs: list[int]) -> Experiment:
    return Experiment(folder, tiny_config() | {"film": {"channels": CHANNELS, "epochs": epochs}})


@pytest.fixture(scope="module")
def shown(finished: Experiment) -> int:
    """The epoch of dogs that is visualized, of two."""
    return torch.load(finished.folder / "results/dogs/network.pth", weights_only=True)["epoch"]


@pytest.fixture(scope="module")
def filmed(finished: Experiment, shown: int, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The finished experiment with a film of the other epoch: only to be looked at."""
    folder = tmp_path_factory.mktemp("film") / "copy"
    return with_film(copy_of(finished, folder), [1 - shown]).run(*TARGETS)


@pytest.fixture
def copy(filmed: Experiment, shown: int, tmp_path: Path) -> Experiment:
    return with_film(copy_of(filmed, tmp_path / "copy"), [1 - shown])


def films(experiment: Experiment) -> dict[str, bytes]:
    folder = experiment.folder / "results/dogs/film"
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.glob("layer*/channel*"))}


def test_what_training_did_not_touch_is_copied_and_the_rest_rendered(filmed: Experiment) -> None:
    assert filmed.rendered == 2
    results = filmed.folder / "results"
    assert set(films(filmed)) == {
        f"{layer}/channel{channel}.{kind}"
        for layer, channels in CHANNELS.items()
        for channel in channels
        for kind in ("png", "webp")
    }
    assert (results / "dogs/film/change.png").stat().st_size > 0
    meanings = yaml.safe_load((results / "compare/dogs/columns.yaml").read_text())
    assert set(pd.read_csv(results / "dogs/film/change.csv")) <= set(meanings)
    assert not list(results.rglob("*.tmp*"))
    assert not list((results / "dogs/.film").glob("*/.staging/*/*"))


def test_a_frozen_layer_does_not_change_through_time(filmed: Experiment) -> None:
    table = pd.read_csv(filmed.folder / "results/dogs/film/change.csv").set_index(["layer", "channel"])
    frozen = table.loc["layer3.1"]
    assert frozen["frozen"].all()
    ones = ["correlation", "weight_cosine", "layer_cka", "tuned_likes_base_picture"]
    assert (frozen[ones] == 1).all(axis=None)
    assert (frozen[["weight_change", "mean_shift"]] == 0).all(axis=None)
    assert (table.loc["layer4.1", "weight_cosine"] < 1).all()
    assert (frozen["paired_similarity"] == 1).all()
    assert (table.loc["layer4.1", "paired_similarity"] < 1).all()


def test_the_frames_of_a_strip_are_the_pictures(filmed: Experiment, shown: int) -> None:
    strip = filmed.folder / "results/dogs/film/layer4.1/channel5.png"
    notes = read_notes(strip)
    assert notes is not None
    assert notes["frames"] == ["base", 1 - shown]
    pixels = read_picture(strip)[0]
    folders = [filmed.folder / "results/base/pictures", filmed.folder / f"results/dogs/.film/epoch{1 - shown}"]
    for place, folder in enumerate(folders):
        left, top = place * notes["pitch"], notes["top"]
        frame = pixels[top : top + notes["height"], left : left + notes["width"]]
        np.testing.assert_array_equal(frame, read_picture(folder / "layer4.1/channel5.png")[0])
    with Image.open(strip.with_suffix(".webp")) as animation:
        assert animation.n_frames == 2


def test_one_more_epoch_is_the_one_that_was_visualized(copy: Experiment, shown: int) -> None:
    assert copy.run(*TARGETS).nothing_to_do
    other = (copy.folder / f"results/dogs/film/epoch{1 - shown}.csv").stat().st_mtime_ns
    copy.config["film"]["epochs"] = [0, 1]
    assert copy.run(*TARGETS).rendered == 0
    assert "copied 2 equal pictures" in copy.output
    assert (copy.folder / f"results/dogs/film/epoch{1 - shown}.csv").stat().st_mtime_ns == other
    results, keys = copy.folder / "results", ["layer", "channel"]
    table = pd.read_csv(results / "dogs/film/change.csv")
    assert len(table) == 6
    ranking = pd.read_csv(results / "compare/dogs/ranking.csv").set_index(keys)
    at_shown = table[table["epoch"] == shown].set_index(keys)
    measures = ["correlation", "scale_ratio", "mean_shift", "weight_change", "weight_cosine"]
    measures += ["base_picture_in_tuned", "tuned_picture_in_base"]
    pd.testing.assert_frame_equal(at_shown[measures], ranking.loc[at_shown.index, measures], rtol=1e-5)


def test_what_was_deleted_is_made_again(copy: Experiment, shown: int) -> None:
    before = films(copy)
    shutil.rmtree(copy.folder / "results/dogs/film/layer4.1")
    assert copy.run(*TARGETS).rendered == 0
    assert "film_epoch" not in copy.output
    assert films(copy) == before
    (copy.folder / f"results/dogs/.film/epoch{1 - shown}/layer4.1/channel0.png").unlink()
    epoch = f"results/dogs/film/epoch{1 - shown}.csv"
    (copy.folder / epoch).unlink()
    assert copy.run(*TARGETS, epoch).rendered == 1
    assert films(copy) == before
