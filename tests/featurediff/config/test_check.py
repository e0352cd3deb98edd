"""What is wrong in a config by itself."""

import copy
import dataclasses
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made_config import CONFIG
from places import REPOSITORY

from feature_vis.recipe import CHOICES, MODES, Recipe
from feature_vis.regularizers import REGULARIZERS
from feature_vis.transforms import PRESETS, Transforms
from featurediff.config.check import find_mistakes, sound_part
from featurediff.config.file import Mistake
from featurediff.training.settings import CHOICES as TRAINING_CHOICES
from featurediff.training.settings import TrainingSettings

SCHEMA = REPOSITORY / "config" / "schema.yaml"


@pytest.mark.parametrize("name", ["config.yaml", "config/paper.yaml"])
def test_the_configs_that_are_shipped_are_valid(name: str) -> None:
    assert find_mistakes(yaml.safe_load((REPOSITORY / name).read_text()), SCHEMA) == []


def add_control(
    config: dict[str, Any], *, control_of: str = "tuned", seed: int = 1, epochs: int = 3, **changes
) -> None:
    """Another run of `tuned`."""
    run = copy.deepcopy(config["networks"]["tuned"]) | changes
    run["training"] |= {"seed": seed, "epochs": epochs}
    config["networks"]["again"] = run | {"control_of": control_of}


MISTAKES = {
    "unknown key": (lambda c: c.update(sed=1), "did you mean 'seed'"),
    "unknown base": (lambda c: c.update(base="bass"), "did you mean 'base'"),
    "unknown data": (lambda c: c["networks"]["base"].update(data="e"), "no data set 'e'"),
    "no data": (lambda c: c["networks"]["base"].pop("data"), "training needs data"),
    "a warm-up without end": (
        lambda c: c["networks"]["base"]["training"].update(warmup_epochs=2),
        "networks.base.training.warmup_epochs: the learning rate rises over 2 epochs, and 2 are trained",
    ),
    "no weights": (lambda c: c["networks"]["base"].pop("training"), "neither weights nor training"),
    "no model": (lambda c: c["networks"]["base"].pop("model"), "needs a model"),
    "circle": (lambda c: c["networks"]["base"].update(weights="tuned"), "starts from base itself"),
    "wrong type": (lambda c: c["visualize"]["recipe"].update(steps=0), "visualize.recipe.steps"),
    "wrong name": (lambda c: c["networks"].update({"../x": {}}), "'../x': A letter, then letters, digits, - and _."),
    "name of a folder": (lambda c: c["networks"].update(plots=c["networks"]["tuned"]), "a folder of that name"),
    "layer that is a path": (
        lambda c: c["visualize"]["layers"].update({"../x": {"channels": 0}}),
        "visualize.layers cannot have the key '../x'",
    ),
    "no epoch": (lambda c: c["networks"]["base"].update(epoch=2), "2 epochs are trained, 0 to 1, not 2"),
    "film of no layer": (
        lambda c: c.update(film={"channels": {"layer5": [0]}}),
        "layer5 is not among visualize.layers",
    ),
    "film of more seeds": (lambda c: c.update(seeds=2, film={"seeds": 3}), "film.seeds: 3 is more than seeds, 2"),
    "film beyond the end": (lambda c: c.update(film={"epochs": [3]}), "none of them is an epoch of tuned, 0 to 2"),
    "control of nothing": (lambda c: add_control(c, control_of="tunde"), "did you mean 'tuned'"),
    "control of the base": (lambda c: add_control(c, control_of="base"), "two fine-tuned networks are compared"),
    "control of another task": (lambda c: add_control(c, weights=None, model="vgg11"), "the same weights, data"),
    "control trained otherwise": (lambda c: add_control(c, epochs=9), "the same weights, data and training"),
    "control without a seed": (lambda c: add_control(c, seed=0), "a seed of its own"),
    "half an embedder": (lambda c: c.update(compare={"embedder": {"model": "vgg11"}}), "model and weights go together"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_said_in_words(mistake: str, config) -> None:
    assert find_mistakes(config, SCHEMA) == []
    change, message = MISTAKES[mistake]
    change(config)
    assert any(message in mistake.text for mistake in find_mistakes(config, SCHEMA))


def test_names_are_looked_up_in_what_the_schema_allows(config) -> None:
    config["networks"]["base"]["epochs"] = 3  # belongs into `training`
    config["networks"]["tuned"]["data"] = "e"
    config["networks"]["other"] = {"weights": "tuned", "model": 3}
    paths = {mistake.path for mistake in find_mistakes(config, SCHEMA)}
    assert paths == {("networks", "base", "epochs"), ("networks", "tuned", "data"), ("networks", "other", "model")}


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_a_config_the_mistakes_have_words(data: st.DataObject) -> None:
    spoilt = copy.deepcopy(CONFIG)
    spoilt["networks"]["control"] = {**copy.deepcopy(CONFIG["networks"]["tuned"]), "control_of": "tuned"}
    spoilt["film"] = {"channels": {"layer4": [0]}, "epochs": [0, 1], "seeds": 1}
    for _ in range(data.draw(st.integers(1, 3))):
        parent: Any = spoilt
        while True:
            key = data.draw(st.sampled_from(list(parent) if isinstance(parent, dict) else list(range(len(parent)))))
            if not isinstance(parent[key], dict | list) or not parent[key] or data.draw(st.booleans()):
                break
            parent = parent[key]
        parent[key] = data.draw(st.sampled_from([None, -1, 7, "base", "all", [], [None], {}, {"base": 1}, {7: {}}]))
    assert all(mistake.text for mistake in find_mistakes(spoilt, SCHEMA))


def test_defaults_of_the_schema_are_those_of_the_code() -> None:
    text = yaml.safe_load(SCHEMA.read_text())
    network = text["properties"]["networks"]["additionalProperties"]["properties"]
    recipe = text["$defs"]["recipe"]["properties"]
    assert set(recipe.pop("mode")["enum"]) == set(MODES)
    training = network["training"]["properties"]
    assert "default" not in training.pop("seed")  # that of the whole config
    assert "default" not in training.pop("threads")  # likewise
    for code, described in [(Recipe(), recipe), (TrainingSettings(epochs=1), training)]:
        defaults = {name: value for name, value in dataclasses.asdict(code).items() if name != "seed"}
        assert set(described) == set(defaults)
        for name, value in defaults.items():
            if "default" in described[name]:
                assert described[name]["default"] == value, name


def test_choices_of_the_schema_are_those_of_the_code() -> None:
    recipe = yaml.safe_load(SCHEMA.read_text())["$defs"]["recipe"]["properties"]
    named, settings = recipe["transforms"]["oneOf"]
    assert set(named["enum"]) == set(PRESETS)
    assert set(settings["properties"]) == {field.name for field in dataclasses.fields(Transforms)}
    assert set(recipe["regularizers"]["properties"]) == set(REGULARIZERS)
    for name, choices in CHOICES.items():
        assert tuple(recipe[name]["enum"]) == choices, name
    networks = yaml.safe_load(SCHEMA.read_text())["properties"]["networks"]["additionalProperties"]
    training = networks["properties"]["training"]["properties"]
    for name, choices in TRAINING_CHOICES.items():
        assert tuple(training[name]["enum"]) == choices, name


def test_what_is_sound_can_be_asked_for(config) -> None:
    config["networks"]["tuned"]["training"]["epochs"] = 0
    mistakes = [Mistake(("networks", "base"), ""), *find_mistakes(config, SCHEMA)]
    sound = sound_part(config, mistakes)
    assert sound["networks"] == {
        "base": {},
        "tuned": {**config["networks"]["tuned"], "training": {"train_from": "layer4"}},
    }
    assert sound_part({}, []) == {"networks": {}, "data": {}, "visualize": {}}
    assert config["networks"]["base"] != {}  # a copy
