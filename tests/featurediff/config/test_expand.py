"""From a config as it is written to one in which everything is spelled out."""

import copy
from pathlib import Path
from typing import Any

import pytest
from made_config import SCHEMA, expanded, plan_of

from featurediff.config.expand import expand
from featurediff.config.schema import read_schema
from featurediff.config.validation import find_mistakes

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


def written(network: dict[str, Any]) -> dict[str, Any]:
    """A network without what was filled in."""
    kept = {key: value for key, value in network.items() if key not in {"epoch", "training"}}
    training = {key: network["training"][key] for key in ("epochs", "train_from", "learning_rate")}
    return kept | {"training": training}


def test_a_config_is_expanded_in_a_copy(config: dict[str, Any]) -> None:
    before = copy.deepcopy(config)
    found = expand(config, read_schema(SCHEMA))
    assert config == before
    assert found.origins == {"base": ("networks", "base"), "dogs": ("networks", "dogs")}
    assert found.mistakes == []
    assert found.config["networks"]["dogs"]["weights"] == "base"
    assert (found.config["seeds"], found.config["compare"]["pairs"], "film" in found.config) == (4, 10, False)
    assert expand(found.config, read_schema(SCHEMA)).config == found.config


def test_a_training_has_the_seed_and_threads_of_the_config_where_it_has_none_of_its_own(config: dict[str, Any]) -> None:
    config |= {"seed": 5, "threads": 3}
    config["networks"]["again"] = {**config["networks"]["dogs"], "training": {"epochs": 1, "seed": 7, "threads": 2}}
    networks = expanded(config)["networks"]
    found = [(networks[name]["training"]["seed"], networks[name]["training"]["threads"]) for name in ("dogs", "again")]
    assert found == [(5, 3), (7, 2)]
    assert "training" not in networks["base"]


def test_recipes_go_from_general_to_particular(config: dict[str, Any]) -> None:
    config["seed"] = 5
    config["visualize"]["recipe"] = {"mode": "paper", "steps": 4}
    config["visualize"]["layers"]["layer3"] = {
        "channels": "0-2",
        "recipe": {"steps": 5},
        "overrides": {"1": {"size": [48, 32]}},
    }
    layers = expanded(config)["visualize"]["layers"]
    assert (layers["layer4"]["recipe"]["steps"], layers["layer4"]["overrides"]) == (4, {})
    assert {key: layers["layer3"]["recipe"][key] for key in ("steps", "size", "seed")} == {
        "steps": 5,
        "size": 400,
        "seed": 5,
    }
    assert layers["layer3"]["overrides"] == {1: layers["layer3"]["recipe"] | {"size": (48, 32)}}


def test_a_recipe_that_cannot_be_followed_is_a_mistake_and_its_layer_has_none(config: dict[str, Any]) -> None:
    config["visualize"]["layers"]["layer4"]["recipe"] = {"colors": "images"}
    found = expand(config, read_schema(SCHEMA))
    (mistake,) = found.mistakes
    assert mistake.path == ("visualize", "layers", "layer4")
    assert "statistics must be a file" in mistake.text
    assert "recipe" not in found.config["visualize"]["layers"]["layer4"]


def test_a_sweep_is_a_network_for_each_combination(config: dict[str, Any]) -> None:
    config["networks"]["dogs"]["sweep"] = {"learning_rate": [1.0e-5, 0.001], "train_from": ["layer4.1", None]}
    networks = expanded(config)["networks"]
    assert list(networks) == [
        "base",
        "dogs-learning_rate-1e-05-train_from-layer4_1",
        "dogs-learning_rate-1e-05-train_from-none",
        "dogs-learning_rate-0_001-train_from-layer4_1",
        "dogs-learning_rate-0_001-train_from-none",
    ]
    assert written(networks["dogs-learning_rate-0_001-train_from-layer4_1"]) == {
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
    networks = expanded(config)["networks"]
    assert list(networks) == ["base", "dogs", "short-dogs", "short-puppies", "short-again", "other-dogs"]
    assert networks["short-dogs"]["weights"] == "base"
    assert networks["short-puppies"]["weights"] == "short-dogs"
    assert networks["short-again"]["control_of"] == "short-dogs"
    assert "experiments" not in expanded(config)
    plan = plan_of(config)
    assert plan.base == "base"
    assert plan.tuned == ["dogs", "short-dogs", "short-puppies", "short-again", "other-dogs"]


def test_a_file_of_weights_has_the_bases_model(config: dict[str, Any], tmp_path: Path) -> None:
    config["networks"] |= {"mine": {"weights": "b.pth"}, "typo": {"weights": "bsae"}}
    config["networks"]["base"] = {"weights": "start"}
    config["networks"]["start"] = {"model": "nets:build", "weights": "a.pth"}
    networks = expanded(config)["networks"]
    assert networks["mine"] == {"weights": "b.pth", "model": "nets:build", "epoch": "best"}
    assert "model" not in networks["typo"]
    texts = [mistake.text for mistake in find_mistakes(config, SCHEMA)]
    assert texts == ["networks.typo.weights: needs a model, or as weights the name of a network above, not 'bsae'"]


def test_a_users_module_is_found_from_the_configs_folder(config: dict[str, Any]) -> None:
    config["networks"]["base"]["model"] = "nets:build"
    config["compare"] = {"embedder": {"model": "judge:build", "weights": "j.pth"}, "pairs": 3}
    found = expand(config, read_schema(SCHEMA), "configs").config
    assert found["networks"]["base"]["model"] == "configs/nets:build"
    assert found["compare"]["embedder"] == {"model": "configs/judge:build", "weights": "j.pth"}
    assert config["networks"]["base"]["model"] == "nets:build"
