"""Folders in one another, and files that are absent."""

from pathlib import Path
from typing import Any

import pytest

from featurediff.config.check import sound_part
from featurediff.config.places import absent_files, folders_in_one_another


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "birds" / "red").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(root: str = "birds", results: str = "results", **data: Any) -> dict[str, Any]:
    return sound_part({"results": results, "data": {"birds": {"format": "csv", "root": root, **data}}}, [])


def texts(mistakes: Any) -> list[str]:
    return [mistake.text for mistake in mistakes]


@pytest.mark.parametrize(
    ("root", "results"), [("birds", "birds"), ("birds", "birds/red/../x"), (".", "results"), ("birds", "link/x")]
)
def test_results_inside_the_data(root: str, results: str, folder: Path) -> None:
    (folder / "link").symlink_to(folder / "birds" / "red")
    (text,) = texts(folders_in_one_another(config(root, results)))
    assert text == f"results: {results} lies inside the data set birds ({root}), whose pictures it would become"
    # what is drawn there would not be alone either
    assert texts(folders_in_one_another(config(root, results, draw={"kind": "dogs"}))) == [text]


def test_data_inside_the_results(folder: Path) -> None:
    (mistake,) = folders_in_one_another(config("results/birds"))
    assert mistake.path == ("data", "birds", "root")
    assert "data.birds.root: results/birds lies inside results" in mistake.text
    assert texts(folders_in_one_another(config("results/birds", draw={"kind": "dogs"}))) == []


@pytest.mark.parametrize(("root", "results"), [("birds", "birds-results"), ("birds", "results"), ("../x", "results")])
def test_folders_beside_one_another(root: str, results: str) -> None:
    assert texts(folders_in_one_another(config(root, results))) == []


def test_a_link_that_leads_to_itself_is_no_error(folder: Path) -> None:
    (folder / "circle").symlink_to(folder / "circle")
    assert texts(folders_in_one_another(config("circle/x", "circle/y"))) == []


def whole(folder: Path) -> dict[str, Any]:
    return {
        "data": {"birds": {"format": "csv", "root": "nowhere"}, "drawn": {"root": "results/x", "draw": {}}},
        "networks": {
            "base": {"model": "resnet18", "weights": "base.pth"},
            "tuned": {"weights": "base", "data": "birds", "training": {"epochs": 1}},
            "named": {"model": "resnet18", "weights": "IMAGENET1K_V1"},
        },
        "visualize": {
            "layers": {
                "layer4": {"channels": 0, "recipe": {"start": "a.png"}, "overrides": {0: {"start": "x" * 300}}},
                "layer3": {"channels": 0, "recipe": {"colors": "images"}},  # another examination speaks of it
            }
        },
        "compare": {"embedder": {"model": "resnet18", "weights": "dino.pth"}},
    }


def test_all_files_that_are_absent(folder: Path) -> None:
    found = {mistake.path: mistake.text for mistake in absent_files(whole(folder))}
    assert set(found) == {
        ("networks", "base", "weights"),
        ("compare", "embedder", "weights"),
        ("visualize", "layers", "layer4"),
    }
    assert found["networks", "base", "weights"] == "networks.base.weights: there is no file base.pth"


def test_what_an_earlier_run_has_read_may_be_gone(folder: Path) -> None:
    for file in ("results/base/network.pth", "dino.pth", "a.png"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    config = whole(folder)
    del config["visualize"]["layers"]["layer4"]["overrides"]
    assert list(absent_files(config)) == []
