"""What does not fit the networks, asked without their weights, at the place of the config that asks for it."""

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from made_config import changed, expansion

from feature_vis.networks.models import build
from featurediff.config import network_check
from featurediff.config.network_check import answer, ask_in_a_process, make_question
from featurediff.config.validation import check_surroundings

NOTHING: Any = {"gpu": False, "networks": {}, "embedder": {}, "layers": {}, "sources": {}}


@pytest.fixture(scope="module")
def examined():
    """In this process; each architecture is built once."""
    networks: dict = {}
    return lambda config: check_surroundings(expansion(config), partial(answer, networks=networks))


def test_a_question_has_only_what_decides_the_answer(config) -> None:
    before = make_question(expansion(config).config)
    assert before["networks"]["tuned"] == {"weights": "base", "train_from": "layer4", "size": 224}
    assert [frame["shape"] for frame in before["layers"]["layer3"]] == [[32, 32], [48, 48]]
    training = "networks: {tuned: {training: {epochs: 9, learning_rate: 0.1}}}"
    config = changed(f"{{visualize: {{recipe: {{steps: 7}}}}, {training}, seeds: 2, film: {{}}}}")
    assert make_question(expansion(config).config) == before
    config["networks"]["tuned"]["training"]["size"] = 32
    assert make_question(expansion(config).config) != before


def test_where_nobody_answers_the_rest_is_looked_at() -> None:
    config = changed("visualize: {layers: {layer3: {channels: 5-3}, layer4: {channels: all}}}")
    mistakes, counts = check_surroundings(expansion(config), lambda _: None)
    assert [mistake.path[-2:] for mistake in mistakes] == [("layer3", "channels"), ("layer4", "channels")]
    assert "needs torch beside the workflow" in mistakes[1].text
    assert counts == {}


EVERYWHERE = """\
networks:
  base: {weights: IMAGENET1K_V9}
  tuned: {training: {train_from: layer9}}
  again: {weights: base, data: d, training: {epochs: 3, train_from: layer9}}
  other: {model: resnt18, weights: IMAGENET1K_V1}
compare: {embedder: {model: resnet18, weights: IMAGENET1K_V9}}
visualize: {layers: {layer4.7: {channels: 0}, layer4: {channels: 510-512}, layer3: {overrides: {7: {size: 48}}}}}
film: {channels: {layer3: 2-900, layer4: "0"}}
"""
PLACES = {
    "networks.base.weights": "torchvision has IMAGENET1K_V1; networks here: base",
    "networks.tuned.training.train_from": "no module 'layer9'",
    "networks.again.training.train_from": "no module 'layer9'",
    "networks.other.model": "close names: resnet18",
    "compare.embedder.weights": "no weights called 'IMAGENET1K_V9'",
    "visualize.layers.layer4.7": "resnet18: there is no layer 'layer4.7'",
    "visualize.layers.layer4.channels": "there is no channel 512: the layer has 512, 0 to 511",
    "visualize.layers.layer3.overrides.7": "channel 7 is not rendered",
    "film.channels.layer3": "there is no channel 256, 257, 258, 259, 260, …: the layer has 256",
}
SMALL = "a picture of 16 × 16 px is too small"


def vgg(layer: str, recipe: str, training: str = "{}") -> str:
    """Another architecture, and one of its layers."""
    layers = f"{{layer3: GONE, layer4: GONE, {layer}: {{channels: 0, recipe: {recipe}}}}}"
    network = f"{{model: vgg11, training: {training}}}"
    return f"{{networks: {{tuned: GONE, base: {network}}}, visualize: {{layers: {layers}}}}}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        (EVERYWHERE, PLACES),
        ("film: {channels: {layer3: 2-8, layer4: all}}", {"film.channels.layer3": "channel 3, 4, 5, 6, 7, … is not"}),
        (vgg("features.16", "{}", "{size: 16}"), {"networks.base.training.size": f"the output: {SMALL}"}),
        (vgg("features.16", "{size: 48, transforms: {trim: 24}}"), {"visualize.layers.features.16": "nothing is left"}),
        (vgg("features.20", "{size: 48, transforms: none}"), {}),
        (
            vgg("features.20", "{size: 16, transforms: none}"),
            {"visualize.layers.features.20": f"{SMALL} for it, the least is 32 px"},
        ),
    ],
)
def test_every_place_is_named(change: str, expected: dict[str, str], examined) -> None:
    mistakes, counts = examined(changed(change))
    found = {".".join(mistake.path): mistake.text for mistake in mistakes}
    assert set(found) == set(expected)
    assert len(found) == len(mistakes)
    assert all(found[path].startswith(path) and words in found[path] for path, words in expected.items()), found
    assert change or counts == {"layer3": 256, "layer4": 512}


def test_more_pictures_than_can_be_planned(examined) -> None:
    config = changed("{seeds: 1000, visualize: {layers: {layer3: {channels: all}}}}")
    config["networks"] |= {f"run{number}": {"weights": "base"} for number in range(2)}
    for last, words in ((243, []), (244, ["2,004,000 pictures cannot be planned in one run: the most are 2,000,000"])):
        config["visualize"]["layers"]["layer4"]["channels"] = f"0-{last}"
        assert [mistake.text.partition("layers: ")[2] for mistake in examined(config)[0]] == words


def test_networks_that_are_there_are_used_and_new_ones_kept() -> None:
    networks = {"resnet18": build("resnet18", classes=7)}
    question = {**NOTHING, "layers": {"fc": [{"shape": [32, 32], "transforms": "none"}]}}
    question["networks"] = {"base": {"model": "resnet18"}, "other": {"model": "vgg11"}}
    assert answer({**question, "networks": {"base": {"model": "resnet18"}}}, networks)["counts"] == {"fc": 7}
    answer(question, networks)
    assert set(networks) == {"resnet18", "vgg11"}


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_looked_for_where_one_is_required(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    for value in (0, 1):
        assert check_surroundings(expansion({"gpu": value}), answer)[0] == []
    mistakes, _ = check_surroundings(expansion({"gpu": "required"}), answer)
    assert ["gpu: required, but torch" in mistake.text for mistake in mistakes] == [True] * (not there)
    assert check_surroundings(expansion({"gpu": "required"}), answer, first=False)[0] == []


def test_a_process_answers_as_this_one_would_and_is_asked_once(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list = []
    run = network_check.subprocess.run
    monkeypatch.setattr(network_check.subprocess, "run", lambda *a, **k: started.append(a) or run(*a, **k))
    config["networks"]["tuned"]["training"]["train_from"] = "layer9"
    question = make_question(expansion(config).config)
    found = ask_in_a_process(question, tmp_path / "cache")
    assert found == json.loads(json.dumps(answer(question)))
    assert len(found["mistakes"]) == 1
    assert ask_in_a_process(question, tmp_path / "cache") == found
    assert len(started) == 1
    # what is damaged is asked for again
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{")
    assert ask_in_a_process(question, tmp_path / "cache") == found
    assert len(started) == 2


def test_whether_there_is_a_gpu_is_asked_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"no_gpu": "sees none", "mistakes": [], "counts": {}}
    asked: list = []

    def run(*_: Any, **given: Any) -> subprocess.CompletedProcess:
        asked.append(given["input"])
        return subprocess.CompletedProcess([], 0, json.dumps(said))

    monkeypatch.setattr(network_check.subprocess, "run", run)
    assert [ask_in_a_process({**NOTHING, "gpu": True}, tmp_path) for _ in range(2)] == [said, said]
    assert len(asked) == 2
    assert ask_in_a_process(NOTHING, tmp_path) == said | {"no_gpu": ""}  # the rest was kept
    assert len(asked) == 2
    (tmp_path / "file").touch()  # in which no folder can be made to keep an answer
    assert ask_in_a_process(NOTHING, tmp_path / "file" / "cache") == said


def test_without_torch_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    assert ask_in_a_process(NOTHING, tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()
