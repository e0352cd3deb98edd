"""The schema: what it forbids, in plain words, and its defaults, which are those of the code."""

import dataclasses
import inspect
from typing import Any

import pytest
from made_config import SCHEMA, mistakes_after

from feature_vis.errors import InputError
from feature_vis.recipe import CHOICES, MODES, Recipe
from feature_vis.regularizers import REGULARIZERS
from feature_vis.transforms import PRESETS, Transforms
from featurediff.config.schema import did_you_mean, read_schema, unusable_values, with_defaults
from featurediff.data.split import make_split
from featurediff.rendering.failed_pictures import find_failed
from featurediff.training.settings import CHOICES as TRAINING_CHOICES
from featurediff.training.settings import TrainingSettings

MANY = "must be paper, small, lucid, crops or none or keys"
CHANNELS = "must be all, a number, a range such as 0-15, or a list of those"
# What is laid over the small config, and what is said of it, once.
CASES = [
    ("seeds: '3'", "seeds: must be a whole number from 1 to 1,000, not '3'"),
    ("seeds: null", "seeds: must be a whole number from 1 to 1,000, not null"),
    ("gpu: 2", "gpu: must be 0, 1 or required, not 2"),
    ("gpu: true", "gpu: must be 0, 1 or required, not true"),
    ("sed: 1", "the config has an unknown key 'sed': did you mean 'seed'?"),
    ("visualize: {recipe: {momentum: 1}}", "recipe.momentum: must be a number of at least 0 and below 1, not 1"),
    ("visualize: {recipe: {stesp: 3}}", "visualize.recipe has an unknown key 'stesp': did you mean 'steps'?"),
    ("visualize: {recipe: {transforms: papr}}", MANY),
    ("visualize: {recipe: {transforms: {padd: 1}}}", "transforms has an unknown key 'padd': did you mean 'pad'?"),
    ("visualize: {recipe: {transforms: {crop: [1]}}}", "must be a list of 2: each a number above 0 and at most 1"),
    ("visualize: {recipe: {transforms: {crop: []}}}", "visualize.recipe.transforms.crop: must not be empty"),
    ("visualize: {recipe: {size: [16, x]}}", "recipe.size.1: must be a whole number from 16 to 8,192, not 'x'"),
    ("visualize: {layers: {layer3: GONE, layer4: GONE}}", "visualize.layers: must not be empty"),
    ("visualize: {layers: GONE}", "visualize: the key 'layers' is missing"),
    ("networks: GONE", "the config: the key 'networks' is missing"),
    ("networks: 3", "networks: must be keys with their values, not 3"),
    ("visualize: {layers: {layer4: {channels: GONE}}}", "visualize.layers.layer4: the key 'channels' is missing"),
    ("visualize: {layers: {layer4: {channels: {a: 1}}}}", CHANNELS),
    ("visualize: {layers: {layer4: {channels: [[]]}}}", "visualize.layers.layer4.channels.0: must be"),
    ("visualize: {layers: {../x: {channels: 0}}}", "visualize.layers cannot have the key '../x'"),
    ("networks: {base: {epoch: bets}}", "must be best or last or a whole number of at least 0, not 'bets'"),
    ("data: {d: {format: kagle_dogs}}", "not 'kagle_dogs': did you mean 'kaggle_dogs'?"),
    ("networks: {tuned: {training: {learning_rate: 1e-4}}}", "above 0, not '1e-4', which YAML takes for a text"),
    (
        "networks: {tuned: {training: {learning_rate: .nan}}}",
        "training.learning_rate: must be a finite number, not nan",
    ),
    (
        {"networks": {"tuned": {"training": {"epochs": 10**5000}}}},
        "training.epochs: is a number of more than 18 digits",
    ),
    ({"networks": {"tuned": {"data": "x" * 2000}}}, "networks.tuned.data: has more than 1,000 characters"),
    ({"data": {"d": {"root": "a\0b"}}}, r"data.d.root: has control characters: 'a\x00b'"),
    ({"data": {"d": {"root": "\ud800"}}}, r"data.d.root: has control characters: '\ud800'"),
    ({"networks": {"x\n": {"weights": "base"}}}, r"networks: the key has control characters: 'x\n'"),
    ("networks: {1x: {weights: base}}", "networks cannot have the key '1x': A letter, then letters, digits, - and _."),
    ("networks: {no: {weights: base}}", "networks: the key false is no text: put it into quotes"),
    ("results: -rf", "results: cannot be '-rf': Folder of all that is made; its name does not begin with -"),
    ("results: a{b}", "results: cannot be 'a{b}': Folder of all that is made"),
    ("results: ''", "results: cannot be ''"),
    ({"film": {"channels": "x" * 900}}, f", not '{'x' * 59}…"),
]


@pytest.mark.parametrize(("change", "words"), CASES)
def test_in_plain_words(change: str | dict[str, Any], words: str) -> None:
    found = mistakes_after(change).values()
    assert sum(words in text for text in found) == 1, found
    assert not any("is not of type" in text or "valid under" in text for text in found)


def test_each_value_that_only_yaml_can_take_is_named() -> None:
    config = {"a": [1, float("inf")], "b": {"c": 10**30, "d": "x\ny", "e": True}, 1.5: {"x": "a\0"}, "f": -0.5}
    assert [mistake.path for mistake in unusable_values(config)] == [("a", "1"), ("b", "c"), ("b", "d"), ("1.5",)]


def test_names_that_are_close_to_none() -> None:
    assert did_you_mean("x", ["step", "size"]) == ": there are step, size"
    assert did_you_mean("x", []) == ": there are none"


def test_defaults_are_filled_in_where_a_key_is_absent_and_may_be() -> None:
    keys = {
        "a": {"default": 1},
        "b": {"default": {}, "properties": {"c": {"default": [2]}, "d": {}}},
        "e": {"properties": {"f": {"default": 3}}},
        "g": {"additionalProperties": {"properties": {"h": {"default": None}}}},
        "r": {"$ref": "#/$defs/r"},
    }
    schema = {"properties": keys, "$defs": {"r": {"properties": {"i": {"default": 4}}}}}
    given = {"a": 0, "g": {"x": {}, "y": {"h": 5}}, "r": {}}
    filled = with_defaults(given, schema)
    assert filled == {"a": 0, "b": {"c": [2]}, "g": {"x": {"h": None}, "y": {"h": 5}}, "r": {}}
    assert given["g"]["x"] == {}
    filled["b"]["c"].append(3)
    assert with_defaults({}, schema)["b"] == {"c": [2]}  # the schema's own list is not handed out
    assert with_defaults({"e": {}}, schema)["e"] == {"f": 3}


PROPERTIES = read_schema(SCHEMA)["properties"]
TRAINING = PROPERTIES["networks"]["additionalProperties"]["properties"]["training"]["properties"]
RECIPE = read_schema(SCHEMA)["$defs"]["recipe"]["properties"]
# the class, what it cannot be made without, the schema's part, and what only the whole config knows
CLASSES = [
    (Recipe, {"statistics": "a.npz"}, RECIPE, {"mode"}),
    (TrainingSettings, {"epochs": 1}, TRAINING, {"threads", "seed"}),
]


@pytest.mark.parametrize(("kind", "needed", "described", "of_config"), CLASSES)
def test_keys_and_defaults_of_the_schema_are_those_of_the_code(kind, needed, described, of_config) -> None:
    """To the letter, because the keys of trainings and pictures are digests of them: 0 is not 0.0."""
    fields = {field.name for field in dataclasses.fields(kind)} - {"seed"}
    assert set(described) == fields | of_config
    made = kind(**needed)
    for name in fields - {"epochs", "statistics"}:
        assert repr(described[name]["default"]) == repr(getattr(made, name)), name
    assert not any("default" in described[name] for name in {"threads", "seed", "epochs"} & set(described))


def test_defaults_of_functions_are_those_of_the_schema() -> None:
    data, failed = PROPERTIES["data"]["additionalProperties"], PROPERTIES["failed_pictures"]
    for function, part in ((make_split, data), (find_failed, failed)):
        defaults = {name: key["default"] for name, key in part["properties"].items() if "default" in key}
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in defaults} == defaults


@pytest.mark.parametrize(("kind", "needed", "described", "of_config"), CLASSES)
def test_ranges_and_choices_of_the_schema_are_those_of_the_code(kind, needed, described, of_config) -> None:
    """But for upper limits that only keep what no machine can hold out of a config."""
    for name in set(described) - {*of_config, "size"}:  # size: one number or two
        key = described[name]
        step = 1 if "integer" in key.get("type", ()) else 1e-6
        allowed, forbidden = list(key.get("enum", ())), ["no such choice"] if "enum" in key else []
        limits = [("minimum", 0, -step), ("exclusiveMinimum", step, 0), ("exclusiveMaximum", -step, 0)]
        for limit, inside, outside in limits:
            allowed += [key[limit] + inside] if limit in key else []
            forbidden += [key[limit] + outside] if limit in key else []
        for value in allowed:
            kind(**{**needed, name: value})
        for value in forbidden:
            with pytest.raises(InputError, match=name):
                kind(**{**needed, name: value})


def test_names_in_the_schema_are_those_of_the_code() -> None:
    named, settings = RECIPE["transforms"]["oneOf"]
    assert set(named["enum"]) == set(PRESETS)
    assert set(settings["properties"]) == {field.name for field in dataclasses.fields(Transforms)}
    assert set(RECIPE["mode"]["enum"]) == set(MODES)
    assert set(RECIPE["regularizers"]["properties"]) == set(REGULARIZERS)
    for described, choices in ((RECIPE, CHOICES), (TRAINING, TRAINING_CHOICES)):
        assert {name: tuple(described[name]["enum"]) for name in choices} == choices
