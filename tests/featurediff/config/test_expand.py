"""From a config as it is written to plain networks."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import REPOSITORY

from featurediff.config.check import find_mistakes
from featurediff.config.expand import plain
from featurediff.config.file import Mistake
from featurediff.config.plan import Plan

SCHEMA = REPOSITORY / "config" / "schema.yaml"
CONFIG: dict[str, Any] = {
    "data": {"d": {"format": "csv", "root": "d"}},
    "networks": {
        "base": {"model": "resnet18", "weights": "a.pth"},
        "dogs": {"weights": "base", "data": "d", "training": {"epochs": 2, "train_from": "layer4"}},
    },
    "visualize": {"layers": {"layer4": {"channels": "0-2"}}},
}


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(CONFIG)


def test_a_plain_config_stays_as_it_is(config: dict[str, Any]) -> None:
    before = copy.deepcopy(config)
    spelled = plain(config)
    assert spelled.config == before == config
    assert spelled.origins == {"base": ("networks", "base"), "dogs": ("networks", "dogs")}
    assert spelled.mistakes == []


def test_a_sweep_is_a_network_for_each_combination(config: dict[str, Any]) -> None:
    config["networks"]["dogs"]["sweep"] = {"learning_rate": [1.0e-5, 0.001], "train_from": ["layer4.1", None]}
    networks = plain(config).config["networks"]
    assert list(networks) == [
        "base",
        "dogs-learning_rate-1e-05-train_from-layer4_1",
        "dogs-learning_rate-1e-05-train_from-none",
        "dogs-learning_rate-0_001-train_from-layer4_1",
        "dogs-learning_rate-0_001-train_from-none",
    ]
    assert networks["dogs-learning_rate-0_001-train_from-layer4_1"] == {
        "weights": "base",
        "data": "d",
        "training": {"epochs": 2, "train_from": "layer4.1", "learning_rate": 0.001},
    }
    assert find_mistakes(config, SCHEMA) == []


def test_experiments_share_the_base(config: dict[str, Any]) -> None:
    own = {
        "dogs": {"weights": "base", "data": "d", "training": {"epochs": 1}},
        "puppies": {"weights": "dogs", "data": "d", "training": {"epochs": 1}},
        "again": {"weights": "base", "data": "d", "control_of": "dogs", "training": {"epochs": 1, "seed": 1}},
    }
    config["experiments"] = [{"name": "short", "networks": own}, {"name": "other", "networks": {"dogs": own["dogs"]}}]
    spelled = plain(config)
    networks = spelled.config["networks"]
    assert list(networks) == ["base", "dogs", "short-dogs", "short-puppies", "short-again", "other-dogs"]
    assert networks["short-dogs"]["weights"] == "base"
    assert networks["short-puppies"]["weights"] == "short-dogs"
    assert networks["short-again"]["control_of"] == "short-dogs"
    assert "experiments" not in spelled.config
    assert find_mistakes(config, SCHEMA) == []
    plan = Plan(spelled.config, {"layer4": 512})
    assert plan.base == "base"
    assert plan.tuned == ["dogs", "short-dogs", "short-puppies", "short-again", "other-dogs"]


def test_a_file_of_weights_has_the_bases_model(config: dict[str, Any], tmp_path: Path) -> None:
    config["networks"] |= {"mine": {"weights": "b.pth"}, "typo": {"weights": "bsae"}}
    config["networks"]["base"] = {"weights": "start"}
    config["networks"]["start"] = {"model": "nets:build", "weights": "a.pth"}
    networks = plain(config).config["networks"]
    assert networks["mine"] == {"weights": "b.pth", "model": "nets:build"}
    assert "model" not in networks["typo"]
    texts = [mistake.text for mistake in find_mistakes(config, SCHEMA)]
    assert texts == ["networks.typo.weights: needs a model, or as weights the name of a network above, not 'bsae'"]


def test_a_users_module_is_found_from_the_configs_folder(config: dict[str, Any]) -> None:
    config["networks"]["base"]["model"] = "nets:build"
    config["compare"] = {"embedder": {"model": "judge:build", "weights": "j.pth"}, "pairs": 3}
    spelled = plain(config, "configs").config
    assert spelled["networks"]["base"]["model"] == "configs/nets:build"
    assert spelled["compare"] == {"embedder": {"model": "configs/judge:build", "weights": "j.pth"}, "pairs": 3}
    assert config["networks"]["base"]["model"] == "nets:build"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"networks": {"mine": {"checkpoint": "b.pth"}}},
            (("networks", "mine", "checkpoint"), "unknown key 'checkpoint': did you mean 'weights'?"),
        ),
        (
            {"networks": {"dogs": {"sweep": {"learning_rat": [1]}}}},
            (("networks", "dogs", "training", "learning_rat"), "did you mean 'learning_rate'?"),
        ),
        (
            {"networks": {"dogs": {"sweep": {"learning_rate": [0.1, -1]}}}},
            (("networks", "dogs", "training", "learning_rate"), "must be a number above 0, not -1"),
        ),
        (
            {"networks": {"dogs": {"sweep": {"size": [32, 32]}}}},
            (("networks", "dogs", "sweep", "size"), "has the same value twice"),
        ),
        (
            {
                "networks": {"short-dogs": {"weights": "a.pth"}},
                "experiments": [{"name": "short", "networks": {"dogs": {"weights": "b.pth"}}}],
            },
            (
                ("experiments", "0", "networks", "dogs"),
                "its network short-dogs is there already, from networks.short-dogs",
            ),
        ),
        (
            {
                "experiments": [
                    {"name": "short", "networks": {"dogs": {"weights": "base", "data": "x", "training": {"epochs": 1}}}}
                ]
            },
            (("experiments", "0", "networks", "dogs", "data"), "there is no data set 'x'"),
        ),
        ({"experiments": [{"networks": {}}]}, (("experiments", "0", "name"), "the key 'name' is missing")),
        (
            {"compare": {"probe": {"data": "photos"}}},
            (("compare", "probe", "data"), "compare.probe.data: there is no data set 'photos'"),
        ),
        (
            {"data": {"d": {"format": "unlabelled", "root": "d"}}},
            (("networks", "dogs", "data"), "d has no classes to train on: an unlabelled data set can only probe"),
        ),
    ],
)
def test_mistakes_are_said_where_they_stand(
    config: dict[str, Any], change: dict[str, Any], expected: tuple[tuple[str, ...], str]
) -> None:
    for key, value in change.items():
        for name, settings in value.items() if isinstance(value, dict) else ():
            if key == "networks" and name in config["networks"]:
                config["networks"][name] |= settings
            else:
                config.setdefault(key, {})[name] = settings
        if isinstance(value, list):
            config[key] = value
    found = find_mistakes(yaml.safe_load(yaml.safe_dump(config)), SCHEMA)
    path, text = expected
    assert any(isinstance(each, Mistake) and each.path == path and text in each.text for each in found), found
