"""From a config as it is written to one in which everything is spelled out."""

import copy

from made_config import SCHEMA, expansion, plan_of

from featurediff.config.validation import find_mistakes


def test_a_config_is_expanded_in_a_copy(config) -> None:
    before = copy.deepcopy(config)
    found = expansion(config)
    assert config == before
    assert (found.origins, found.mistakes) == ({name: ("networks", name) for name in ("base", "tuned")}, [])
    assert found.config["networks"]["tuned"]["weights"] == "base"
    assert (found.config["seeds"], found.config["compare"]["pairs"], "film" in found.config) == (4, 10, False)
    assert expansion(found.config).config == found.config


def test_recipes_go_from_general_to_particular(config) -> None:
    config["seed"] = 5
    config["visualize"]["recipe"] = {"mode": "paper", "steps": 4}
    config["visualize"]["layers"]["layer3"]["overrides"] = {"1": {"size": [48, 32]}}
    layers = expansion(config).config["visualize"]["layers"]
    assert (layers["layer4"]["recipe"]["steps"], layers["layer4"]["overrides"]) == (4, {})
    recipe = layers["layer3"]["recipe"]
    assert (recipe["steps"], recipe["size"], recipe["seed"]) == (5, 400, 5)
    assert layers["layer3"]["overrides"] == {1: recipe | {"size": (48, 32)}}


def test_the_recipe_of_the_difference_lies_over_the_general_one(config) -> None:
    config |= {"seed": 5, "difference": {"recipe": {"size": 64}}}
    found = expansion(config).config["difference"]
    assert (found["starts"], found["photographs"]) == (8, 100)
    assert (found["recipe"]["steps"], found["recipe"]["size"], found["recipe"]["seed"]) == (4, 64, 5)
    config["difference"]["recipe"] = {"colors": "images"}
    assert [mistake.path for mistake in expansion(config).mistakes] == [("difference",)]


def test_a_sweep_is_a_network_for_each_combination(config) -> None:
    config["networks"]["tuned"]["sweep"] = {"learning_rate": [1.0e-5, 0.001], "train_from": ["layer4.1", None]}
    networks = expansion(config).config["networks"]
    pairs = [(rate, module) for rate in ("1e-05", "0_001") for module in ("layer4_1", "none")]
    assert list(networks) == ["base", *(f"tuned-learning_rate-{rate}-train_from-{module}" for rate, module in pairs)]
    network = networks["tuned-learning_rate-0_001-train_from-layer4_1"]
    assert set(network) == {"weights", "data", "epoch", "training"}
    assert (network["weights"], network["data"]) == ("base", "d")
    assert network["training"].items() >= {"epochs": 3, "train_from": "layer4.1", "learning_rate": 0.001}.items()
    assert find_mistakes(config, SCHEMA) == []


def test_experiments_share_the_base(config) -> None:
    dogs = {"weights": "base", "data": "d", "training": {"epochs": 1}}
    again = dogs | {"control_of": "dogs", "training": {"epochs": 1, "seed": 1}}
    own = {"dogs": dogs, "puppies": dogs | {"weights": "dogs"}, "again": again}
    config["experiments"] = [{"name": "short", "networks": own}, {"name": "other", "networks": {"dogs": dogs}}]
    plan = plan_of(config)
    assert (plan.base, plan.tuned) == ("base", ["tuned", "short-dogs", "short-puppies", "short-again", "other-dogs"])
    assert plan.config["networks"]["short-dogs"]["weights"] == "base"
    assert plan.config["networks"]["short-puppies"]["weights"] == "short-dogs"
    assert plan.config["networks"]["short-again"]["control_of"] == "short-dogs"
    assert "experiments" not in plan.config


def test_a_file_of_weights_has_the_bases_model(config) -> None:
    networks = {name: {"weights": file} for name, file in (("base", "start"), ("mine", "b.pth"), ("typo", "bsae"))}
    config["networks"] = networks | {"start": {"model": "nets:build", "weights": "a.pth"}}
    networks = expansion(config).config["networks"]
    assert networks["mine"] == {"weights": "b.pth", "model": "nets:build", "epoch": "best"}
    assert "model" not in networks["typo"]
    texts = [mistake.text for mistake in find_mistakes(config, SCHEMA)]
    assert texts == ["networks.typo.weights: needs a model, or as weights the name of a network above, not 'bsae'"]


def test_a_users_module_is_found_from_the_configs_folder(config) -> None:
    config["networks"]["base"]["model"] = "nets:build"
    config["compare"] = {"embedder": {"model": "judge:build", "weights": "j.pth"}}
    found = expansion(config, "configs").config
    assert found["networks"]["base"]["model"] == "configs/nets:build"
    assert found["compare"]["embedder"] == {"model": "configs/judge:build", "weights": "j.pth"}
    assert config["networks"]["base"]["model"] == "nets:build"
