"""What does not fit the networks, at the place of the config that asks for it."""

import copy
from functools import partial
from typing import Any

import pytest
from torch import nn

from featurediff.config.check import sound_part
from featurediff.config.network_check import answer
from featurediff.config.networks import ask_about

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


@pytest.fixture
def config() -> dict[str, Any]:
    return sound_part(copy.deepcopy(CONFIG), [])


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return {}


@pytest.fixture
def examined(networks: dict[str, nn.Module]) -> Any:
    """path -> text, and the channels."""

    def asked(config: dict[str, Any]) -> tuple[dict[str, str], dict[str, int]]:
        mistakes, counts = ask_about(config, partial(answer, networks=networks))
        assert len({mistake.path for mistake in mistakes}) == len(mistakes)
        return {".".join(mistake.path): mistake.text for mistake in mistakes}, counts

    return asked


def test_a_config_that_fits(config, examined) -> None:
    assert examined(config) == ({}, {"layer3": 256, "layer4": 512})


def test_one_question_an_architecture_and_only_what_decides_the_answer(config) -> None:
    asked = []
    ask_about(config, lambda question: asked.append(question) or None)
    config["visualize"]["recipe"]["steps"] = 7
    config["networks"]["tuned"]["training"]["epochs"] = 9
    ask_about(config, lambda question: asked.append(question) or None)
    assert asked[0] == asked[1]
    of_resnet = asked[0]["architectures"]["resnet18"]
    assert of_resnet["trainings"] == [{"train_from": "layer4", "size": 64}]
    assert [recipe["shape"] for recipe in of_resnet["layers"]["layer3"]] == [[32, 32], [48, 48]]
    assert of_resnet["weights"] == ["IMAGENET1K_V1"]


def test_where_nobody_answers_the_rest_is_looked_at(config) -> None:
    config["visualize"]["layers"]["layer3"]["channels"] = "5-3"
    mistakes, counts = ask_about(config, lambda _: None)
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
        "layer2": {"channels": 0, "recipe": {"colors": "images"}},
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
        "visualize.layers.layer2": "statistics must be a file",
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


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_that_is_required(config, there: bool) -> None:
    asked = []

    def ask(question):
        asked.append(question["gpu"])
        return {"no_gpu": "" if there or not question["gpu"] else "torch sees none", "architectures": {}}

    config["visualize"]["layers"] = {}
    assert ask_about({**config, "gpu": 1}, ask)[0] == []
    mistakes, _ = ask_about({**config, "gpu": "required"}, ask)
    assert asked == [False, True]
    assert [mistake.path for mistake in mistakes] == ([] if there else [("gpu",)])
    assert there or "gpu: required, but torch sees none: write 1" in mistakes[0].text
