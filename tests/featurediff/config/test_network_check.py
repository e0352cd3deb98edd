"""What does not fit the networks, asked without their weights, at the place of the config that asks for it."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from made_config import SCHEMA
from places import REPOSITORY
from torch import nn

from feature_vis.networks.models import build
from featurediff.config import network_check
from featurediff.config.expand import Expanded, expand
from featurediff.config.network_check import answer, ask_in_a_process, make_question
from featurediff.config.schema import read_schema
from featurediff.config.validation import check_surroundings

LIB = REPOSITORY / "lib"
CONFIG: dict[str, Any] = {
    "data": {"d": {"format": "csv", "root": "d"}},
    "networks": {
        "base": {"model": "resnet18", "weights": "IMAGENET1K_V1"},
        "tuned": {"weights": "base", "data": "d", "training": {"epochs": 3, "train_from": "layer4", "size": 64}},
        "again": {"weights": "base", "data": "d", "training": {"epochs": 3, "train_from": "layer4", "size": 64}},
    },
    "visualize": {
        "recipe": {"size": 32},
        "layers": {"layer3": {"channels": "0-2", "overrides": {1: {"size": 48}}}, "layer4": {"channels": "all"}},
    },
}


NOTHING: Any = {"gpu": False, "networks": {}, "embedder": {}, "layers": {}, "sources": {}}


def spelled(config: dict[str, Any]) -> Expanded:
    return expand(config, read_schema(SCHEMA))


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(CONFIG)


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return {}


@pytest.fixture
def examined(networks: dict[str, nn.Module]) -> Any:
    """path -> text, and the channels."""

    def asked(config: dict[str, Any]) -> tuple[dict[str, str], dict[str, int]]:
        mistakes, counts = check_surroundings(spelled(config), lambda question: answer(question, networks))
        assert len({mistake.path for mistake in mistakes}) == len(mistakes)
        return {".".join(mistake.path): mistake.text for mistake in mistakes}, counts

    return asked


def test_a_config_that_fits(config, examined) -> None:
    assert examined(config) == ({}, {"layer3": 256, "layer4": 512})


def test_a_question_has_only_what_decides_the_answer(config) -> None:
    before = make_question(spelled(config).config)
    config["visualize"]["recipe"]["steps"] = 7
    config["networks"]["tuned"]["training"] |= {"epochs": 9, "learning_rate": 0.1}
    config |= {"seeds": 2, "film": {}}
    assert make_question(spelled(config).config) == before
    assert before["networks"]["tuned"] == {"weights": "base", "train_from": "layer4", "size": 64}
    assert [frame["shape"] for frame in before["layers"]["layer3"]] == [[32, 32], [48, 48]]
    config["networks"]["tuned"]["training"]["size"] = 32
    assert make_question(spelled(config).config) != before


def test_where_nobody_answers_the_rest_is_looked_at(config) -> None:
    config["visualize"]["layers"]["layer3"]["channels"] = "5-3"
    mistakes, counts = check_surroundings(spelled(config), lambda _: None)
    assert [mistake.path[-2:] for mistake in mistakes] == [("layer3", "channels"), ("layer4", "channels")]
    assert "needs torch beside the workflow" in mistakes[1].text
    assert counts == {}


def test_every_place_is_named(config, examined) -> None:
    config["networks"]["tuned"]["training"]["train_from"] = "layer9"
    config["networks"]["again"]["training"]["train_from"] = "layer9"
    config["networks"]["other"] = {"model": "resnt18", "weights": "IMAGENET1K_V1"}
    config["networks"]["base"]["weights"] = "IMAGENET1K_V9"
    config["compare"] = {"embedder": {"model": "resnet18", "weights": "IMAGENET1K_V9"}}
    config["visualize"]["layers"] |= {
        "layer4.7": {"channels": 0},
        "layer4": {"channels": "510-512"},
        "layer3": {"channels": "0-2", "overrides": {7: {"size": 48}}},
    }
    config["film"] = {"channels": {"layer3": "2-900", "layer4": "0"}}
    found, _ = examined(config)
    expected = {
        "networks.tuned.training.train_from": "no module 'layer9'",
        "networks.again.training.train_from": "no module 'layer9'",
        "networks.other.model": "close names: resnet18",
        "networks.base.weights": "torchvision has IMAGENET1K_V1; networks here: base",
        "compare.embedder.weights": "no weights called 'IMAGENET1K_V9'",
        "visualize.layers.layer4.7": "resnet18: there is no layer 'layer4.7'",
        "visualize.layers.layer4.channels": "there is no channel 512: the layer has 512, 0 to 511",
        "visualize.layers.layer3.overrides.7": "channel 7 is not rendered",
        "film.channels.layer3": "there is no channel 256, 257, 258, 259, 260, …: the layer has 256",
    }
    assert set(found) == set(expected)
    for path, words in expected.items():
        assert found[path].startswith(path)
        assert words in found[path]


def test_a_film_of_a_channel_that_is_not_rendered(config, examined) -> None:
    config["film"] = {"channels": {"layer3": "2-4", "layer4": "all"}}
    assert examined(config)[0] == {"film.channels.layer3": "film.channels.layer3: channel 3, 4 is not rendered"}


def test_pictures_too_small_to_train_on(config, examined) -> None:
    config["networks"]["base"] = {"model": "vgg11", "weights": "IMAGENET1K_V1"}
    config["networks"]["tuned"]["training"] = {"epochs": 1, "size": 16}
    del config["networks"]["again"]
    config["visualize"]["layers"] = {"features.20": {"channels": 0}}
    (text,) = examined(config)[0].values()
    assert text.startswith("networks.tuned.training.size: the output: a picture of 16 × 16 px is too small")


def test_more_pictures_than_can_be_planned(config, examined) -> None:
    config["seeds"] = 1000
    config["visualize"]["layers"]["layer4"]["channels"] = "all"
    assert examined(config)[0] == {}
    config["networks"] |= {f"run{number}": dict(config["networks"]["tuned"]) for number in range(2)}
    assert "2,575,000 pictures cannot be planned in one run: the most are 2,000,000" in str(examined(config)[0])


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"size": 48, "transforms": {"trim": 24}}, "nothing is left"),
        ({"size": 48, "transforms": "none", "layer": "features.20"}, None),
        (
            {"size": 16, "transforms": "none", "layer": "features.20"},
            "a picture of 16 × 16 px is too small for it, the least is 32 px",
        ),
    ],
)
def test_pictures_and_what_the_transforms_leave_of_them_must_be_large_enough(config, examined, recipe, words) -> None:
    layer = recipe.pop("layer", "features.16")
    config["networks"] = {"base": {"model": "vgg11", "weights": "IMAGENET1K_V1"}}
    config["visualize"]["layers"] = {layer: {"channels": 0, "recipe": recipe}}
    found, _ = examined(config)
    assert set(found) == ({f"visualize.layers.{layer}"} if words else set())
    assert words is None or words in found[f"visualize.layers.{layer}"]


def test_networks_that_are_there_are_used_and_new_ones_kept() -> None:
    networks = {"resnet18": build("resnet18", classes=7)}
    question = {**NOTHING, "layers": {"fc": [{"shape": [32, 32], "transforms": "none"}]}}
    question["networks"] = {"base": {"model": "resnet18"}, "other": {"model": "vgg11"}}
    assert answer({**question, "networks": {"base": {"model": "resnet18"}}}, networks)["counts"] == {"fc": 7}
    answer(question, networks)
    assert set(networks) == {"resnet18", "vgg11"}


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_looked_for_where_one_is_required(config, there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    config["visualize"]["layers"] = {}
    config["networks"] = {}
    for value in (0, 1):
        assert check_surroundings(spelled({**config, "gpu": value}), answer)[0] == []
    mistakes, _ = check_surroundings(spelled({**config, "gpu": "required"}), answer)
    assert [mistake.path for mistake in mistakes] == ([] if there else [("gpu",)])
    assert there or "gpu: required, but torch" in mistakes[0].text
    assert check_surroundings(spelled({**config, "gpu": "required"}), answer, first=False)[0] == []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list:
    """The processes that were started."""
    started: list = []
    run = network_check.subprocess.run
    monkeypatch.setattr(network_check.subprocess, "run", lambda *a, **k: started.append(a) or run(*a, **k))
    return started


def test_a_process_answers_as_this_one_would_and_is_asked_once(config, tmp_path: Path, calls: list) -> None:
    config["networks"]["tuned"]["training"]["train_from"] = "layer9"
    question = make_question(spelled(config).config)
    found = ask_in_a_process(question, tmp_path / "cache")
    assert found == json.loads(json.dumps(answer(question)))
    assert len(found["mistakes"]) == 1
    assert ask_in_a_process(question, tmp_path / "cache") == found
    assert len(calls) == 1
    # what is damaged is asked for again
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{")
    assert ask_in_a_process(question, tmp_path / "cache") == found
    assert len(calls) == 2


def test_whether_there_is_a_gpu_is_asked_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        returncode, stdout = 0, '{"no_gpu": "sees none", "mistakes": [], "counts": {}}'

    asked: list = []
    monkeypatch.setattr(network_check.subprocess, "run", lambda *_, **given: asked.append(given["input"]) or Done())
    for _ in range(2):
        assert ask_in_a_process({**NOTHING, "gpu": True}, tmp_path)["no_gpu"] == "sees none"
    assert len(asked) == 2
    assert ask_in_a_process(NOTHING, tmp_path)["no_gpu"] == ""  # and the rest was kept
    assert len(asked) == 2


def test_a_folder_that_cannot_be_written_to_keeps_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = ask_in_a_process(NOTHING, tmp_path / "file" / "cache")
    assert found == {"no_gpu": "", "mistakes": [], "counts": {}}


def test_without_torch_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "featurediff.config.network_check"],
        input=json.dumps(NOTHING),
        env={"PYTHONPATH": f"{tmp_path}:{LIB}"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    monkeypatch.setattr(network_check.subprocess, "run", lambda *_, **__: done)
    assert ask_in_a_process(NOTHING, tmp_path / "cache") is None
