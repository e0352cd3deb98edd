"""The original's experiment as configs: its numbers, and each known difference with its switch."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import REPOSITORY
from workflow.conftest import Experiment

from feature_vis.recipe import Recipe
from featurediff.config.check import find_mistakes
from featurediff.config.plan import Plan
from featurediff.training.settings import TrainingSettings

PAPER, FAITHFUL = (REPOSITORY / "config" / name for name in ("paper.yaml", "paper-faithful.yaml"))
CHANNELS = {"layer3.5": 1024, "layer4.0": 2048, "layer4.1": 2048, "layer4.2": 2048}


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())


def values(config: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of a config by its keys."""
    if not isinstance(config, dict):
        return {path: config}
    return {place: value for key, inner in config.items() for place, value in values(inner, (*path, key)).items()}


@pytest.fixture
def plan() -> Plan:
    return Plan(read(PAPER), CHANNELS)


@pytest.mark.parametrize("file", [PAPER, FAITHFUL])
def test_the_configs_are_valid(file: Path) -> None:
    assert find_mistakes(read(file), REPOSITORY / "config" / "schema.yaml") == []


def test_the_original_training(plan: Plan) -> None:
    shared = {"train_from": "layer3.5", "batch_size": 100, "size": 400, "resize": None, "rotation": 30, "flip": True}
    dogs = {"epochs": 60, "learning_rate": 1e-5, "learning_rate_decay": 1.0}
    cars = {"epochs": 30, "learning_rate": 5e-4, "learning_rate_decay": 0.9}
    for name, numbers, last in (("dogs", dogs, 59), ("cars", cars, 29)):
        settings = TrainingSettings.from_settings(plan.training(name))
        assert {key: getattr(settings, key) for key in shared | numbers} == shared | numbers
        assert plan.architecture(name) == "resnet50"
        assert (plan.config["networks"][name]["epoch"], plan.epochs(name) - 1) == ("last", last)
    assert plan.config["networks"]["base"] == {"model": "resnet50", "weights": "IMAGENET1K_V1"}
    assert {name: data["val_fraction"] for name, data in plan.config["data"].items()} == {"dogs": 0.2, "cars": 0.2}


def test_the_original_pictures(plan: Plan) -> None:
    assert plan.channels == {layer: list(range(count)) for layer, count in CHANNELS.items()}
    assert list(plan.seeds) == [0]
    recipe = Recipe.from_settings(plan.recipe("layer4.2"))
    assert (recipe.shape, recipe.steps, recipe.learning_rate, recipe.transforms) == ((400, 400), 256, 0.05, "paper")
    assert plan.config["compare"] == {"embedder": {"network": "base"}, "pairs": 200}


def switch(path: tuple[str, ...]) -> str:
    """A value's place as the list names it; the recipe's settings that `mode: paper` sets count as one."""
    if path[:2] == ("visualize", "recipe") and path[-1] in {"size", "steps", "learning_rate", "transforms"}:
        path = (*path[:-1], "mode")
    return re.sub(r"^(networks|data)\.\w+\.", r"\1.<name>.", ".".join(path))


def test_faithful_is_paper_with_the_switches_of_the_list() -> None:
    """What differs between the two configs is what the one list says, no more and no less."""
    paper, faithful = values(read(PAPER)), values(read(FAITHFUL))
    absent = object()
    differing = {path for path in paper | faithful if paper.get(path, absent) != faithful.get(path, absent)}
    text = (REPOSITORY / "docs" / "reference" / "original.md").read_text()
    table = text.split("## What has a switch")[1].split("\n## ")[0]
    listed = dict(re.findall(r"\| `([\w.<>]+): (\w+)`[^|]*\|$", table, flags=re.MULTILINE))
    assert {switch(path) for path in differing if path[0] not in ("results", "film")} == set(listed)
    for path, value in faithful.items():
        if (name := switch(path)) in listed:
            assert value == yaml.safe_load(listed[name]), name


def test_faithful_changes_nothing_else_of_a_picture() -> None:
    ours, original = (Plan(read(file), CHANNELS).recipe("layer4.0") for file in (PAPER, FAITHFUL))
    differing = {name: (ours[name], original[name]) for name in ours if ours[name] != original[name]}
    assert differing == {
        "momentum": (0.5, 0.9),
        "objective": ("pre_relu", "post_relu"),
        "precision": ("auto", "float32"),
    }


def test_no_layer_is_frozen_where_statistics_move() -> None:
    """Otherwise the control on frozen layers would stop the run, and rightly."""
    assert [Plan(read(file), CHANNELS).changes_from("dogs") for file in (PAPER, FAITHFUL)] == ["layer3.5", None]


@pytest.mark.parametrize("file", [PAPER, FAITHFUL])
def test_a_dry_run_goes_up_to_the_data(file: Path, tmp_path: Path) -> None:
    """Of one network: the whole graph has 21,504 pictures."""
    results = read(file)["results"]
    experiment = Experiment(tmp_path, read(file))
    output = experiment.run("-n", "--configfile", str(file), "--", f"{results}/cars/training.csv").output
    assert re.search(r"split_data +1\nfinetune_cars +1\ntotal +3", output)
