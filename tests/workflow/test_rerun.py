"""Only what changed is rendered again: snakemake runs for real, and what it rendered is counted."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import REPOSITORY

from feature_vis.recipe import RECIPE_VERSION
from workflow.conftest import Experiment

ALL = 15  # three networks, layer3.1 with three channels and layer4.1 with two
DISTINCT = 9  # layer3.1 is frozen in two of them: its pictures are the base's


def test_the_first_run_renders_every_channel_once(finished: Experiment) -> None:
    assert finished.rendered == DISTINCT
    pictures = finished.pictures()
    assert len(pictures) == ALL
    for channel in range(3):
        path = f"pictures/layer3.1/channel{channel}.png"
        assert pictures[f"dogs/{path}"] == pictures[f"cars/{path}"] == pictures[f"base/{path}"]


def test_one_picture_deleted(experiment: Experiment) -> None:
    before = experiment.pictures()
    experiment.config["visualize"]["batch"] = 64
    table = "results/dogs/pictures/layer3.1.csv"
    made = (experiment.folder / table).stat().st_mtime_ns
    # its batch's job is asked for through the pictures of channels 0 and 2
    (experiment.folder / "results/dogs/pictures/layer3.1/channel1.png").unlink()
    assert experiment.run("pictures", table).rendered == 0  # the layer is frozen: the base has the picture
    assert "rendered 0, reused 3" in experiment.output
    assert (experiment.folder / table).stat().st_mtime_ns > made
    assert experiment.pictures() == before
    assert experiment.run("pictures", table).nothing_to_do


def test_of_several_deleted_pictures_each_is_rendered(experiment: Experiment) -> None:
    before = experiment.pictures()
    for name in ("dogs/pictures/layer3.1/channel2.png", "dogs/pictures/layer4.1/channel5.png"):
        (experiment.folder / "results" / name).unlink()
    assert experiment.render().rendered == 1  # the other is the base's
    assert experiment.pictures() == before
    assert experiment.run().nothing_to_do  # equal pictures: what is made from them stays


def test_a_truncated_picture_is_not_taken_for_a_whole_one(experiment: Experiment) -> None:
    before = experiment.pictures()
    picture = experiment.folder / "results/cars/pictures/layer4.1/channel5.png"
    picture.write_bytes(picture.read_bytes()[:-20])
    output = experiment.run(check=False).output
    assert "1 pictures are cut off" in output
    assert "results/cars/pictures/layer4.1/channel5.png" in output
    assert "Traceback" not in output
    picture.unlink()
    assert experiment.render().rendered == 1
    assert experiment.pictures() == before


def layer(config: dict[str, Any]) -> dict[str, Any]:
    return config["visualize"]["layers"]["layer4.1"]


@pytest.mark.parametrize(
    ("edit", "rendered", "changed"),
    [
        pytest.param(
            lambda config: layer(config).update(channels=[0, 3, 5], overrides={"5": {"steps": 3}}),
            3 + 3,
            {f"{network}/pictures/layer4.1/channel5.png" for network in ("base", "dogs", "cars")},
            id="a channel more, and an override for another",
        ),
        pytest.param(lambda config: config["visualize"].update(batch=3), 0, set(), id="another batch size"),
        pytest.param(  # dogs is trained from layer4.1 on: what comes before it is the same, and so are its pictures
            lambda config: config["networks"]["dogs"]["training"].update(learning_rate=0.01),
            2,
            {f"dogs/pictures/layer4.1/channel{channel}.png" for channel in (0, 5)},
            id="another learning rate of one network",
        ),
    ],
)
def test_a_change_renders_what_it_concerns_and_no_more(
    experiment: Experiment, edit: Callable[[dict[str, Any]], None], rendered: int, changed: set[str]
) -> None:
    before = experiment.pictures()
    edit(experiment.config)
    assert experiment.render().rendered == rendered
    after = experiment.pictures()
    assert {path for path in before if after[path] != before[path]} == changed


def test_another_seed_renders_its_own_pictures_alone(experiment: Experiment) -> None:
    before = experiment.pictures()
    experiment.config["seeds"] = 2
    del experiment.config["networks"]["cars"]
    assert experiment.render().rendered == 3 + 2 + 2  # layer3.1 is frozen in dogs
    assert experiment.pictures() == before
    assert len(list((experiment.folder / "results").glob("*/pictures/*/seed1/channel*.png"))) == 2 * (3 + 2)
    assert experiment.render().nothing_to_do


def test_a_sweep_and_an_experiment_share_the_base_and_what_training_leaves_alone(experiment: Experiment) -> None:
    networks = experiment.config["networks"]
    experiment.config["experiments"] = [{"name": "again", "networks": {"cars": networks.pop("cars")}}]
    networks["dogs"]["sweep"] = {"learning_rate": [0.01, 0.02]}
    experiment.render()
    assert "finetune_base" not in experiment.output
    assert "visualize_base" not in experiment.output
    names = ["again-cars", "dogs-learning_rate-0_01", "dogs-learning_rate-0_02"]
    assert all(f"finetune_{name}" in experiment.output for name in names)
    # copied: layer3.1, which is frozen in all of them, and all of `again-cars`, which is `cars` by another name
    assert experiment.rendered == 2 * 2
    pictures = experiment.pictures()
    for name in names:
        for channel in range(3):
            path = f"pictures/layer3.1/channel{channel}.png"
            assert pictures[f"{name}/{path}"] == pictures[f"base/{path}"]
    rates = {pictures[f"{name}/pictures/layer4.1/channel0.png"] for name in names}
    assert len(rates) == 3


def test_more_epochs_train_only_those(experiment: Experiment) -> None:
    experiment.config["networks"]["cars"]["training"]["epochs"] = 4
    last = "results/cars/checkpoints/epoch3.pth"
    assert "reused 2 epochs, training 2" in experiment.run(last).output
    assert (experiment.folder / last).exists()


def test_a_touched_checkpoint_and_a_touched_network_start_no_job(experiment: Experiment) -> None:
    for path in ("results/dogs/checkpoints/epoch1.pth", "results/dogs/network.pth", "results/base/network.pth"):
        os.utime(experiment.folder / path)
    assert experiment.run().nothing_to_do


def test_other_code_renders_nothing_and_a_raised_recipe_version_all(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_copy = tmp_path / "project"
    for name in ("rules", "scripts", "lib", "config", "profiles", "envs"):
        shutil.copytree(REPOSITORY / name, own_copy / name)
    shutil.copy2(REPOSITORY / "Snakefile", own_copy / "Snakefile")
    shutil.copy2(REPOSITORY / "config.yaml", own_copy / "config.yaml")
    monkeypatch.setattr("workflow.conftest.REPOSITORY", own_copy)
    for module in ("feature_vis/render.py", "feature_vis/recipe.py", "featurediff/rendering/batch.py"):
        with (own_copy / "lib" / module).open("a") as file:
            file.write("\n# a comment\n")
    assert experiment.render().rendered == 0
    recipe = own_copy / "lib/feature_vis/recipe.py"
    recipe.write_text(recipe.read_text().replace(f"RECIPE_VERSION = {RECIPE_VERSION}\n", "RECIPE_VERSION = 1001\n"))
    planned = experiment.run("pictures", "-n").output
    batches = dict(re.findall(r"^(visualize\w*) +(\d+)$", planned, re.M))
    assert sum(map(int, batches.values())) == 3 * 3  # all of three networks
    assert experiment.run("results/cars/pictures/layer4.1/channel0.png").rendered == 2  # its batch
