"""The original's experiment as configs: what they make, and each known difference with its switch."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_config import plan_of
from places import REPOSITORY
from workflow.conftest import Experiment

from featurediff.config.plan import Plan

PAPER, FAITHFUL = (REPOSITORY / "config" / name for name in ("paper.yaml", "paper-faithful.yaml"))


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())


@pytest.fixture(scope="module")
def plans() -> tuple[Plan, Plan]:
    """They are valid, too."""
    return plan_of(read(PAPER)), plan_of(read(FAITHFUL))


def test_what_the_original_made(plans: tuple[Plan, Plan]) -> None:
    """21,504 pictures of 400 px, after 60 and 30 epochs from layer3.5 on, the last of which is looked at."""
    for plan, seeds in zip(plans, (1, 2), strict=True):
        assert plan.picture_count == 3 * (1024 + 3 * 2048)
        assert len(plan.seeds) == seeds
        assert (plan.recipe("layer4.2")["size"], plan.recipe("layer4.2")["transforms"]) == (400, "paper")
        trained = {name: (plan.epochs(name), plan.config["networks"][name]["epoch"]) for name in plan.trained}
        assert trained == {"dogs": (60, "last"), "cars": (30, "last")}
        assert {plan.architecture(name) for name in plan.networks} == {"resnet50"}
    # a frozen layer must come out unchanged, unless its statistics move: then the control would stop the run
    assert [plan.changes_from("dogs") for plan in plans] == ["layer3.5", None]


def values(config: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of a config by its keys."""
    if not isinstance(config, dict):
        return {path: config}
    return {place: value for key, inner in config.items() for place, value in values(inner, (*path, key)).items()}


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


def test_faithful_changes_nothing_else_of_a_picture(plans: tuple[Plan, Plan]) -> None:
    ours, original = (plan.recipe("layer4.0") for plan in plans)
    differing = {name: (ours[name], original[name]) for name in ours if ours[name] != original[name]}
    other = {"objective": ("pre_relu", "post_relu"), "precision": ("auto", "float32")}
    assert differing == {"momentum": (0.5, 0.9), **other}


@pytest.mark.parametrize("file", [PAPER, FAITHFUL])
def test_a_dry_run_goes_up_to_the_data(file: Path, tmp_path: Path) -> None:
    """Of one network: the whole graph has 21,504 pictures."""
    results = read(file)["results"]
    experiment = Experiment(tmp_path, read(file))
    output = experiment.run("-n", "--configfile", str(file), "--", f"{results}/cars/training.csv").output
    assert re.search(r"split_data +1\nfinetune_cars +1\ntotal +3", output)
