"""The schema: what it forbids, in plain words, and its defaults, which are those of the code."""

import copy
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from made_config import SCHEMA
from places import REPOSITORY

from feature_vis.errors import InputError
from feature_vis.recipe import CHOICES, MODES, Recipe
from feature_vis.regularizers import REGULARIZERS
from feature_vis.transforms import PRESETS, Transforms
from featurediff.config.schema import did_you_mean, read_schema, unusable_values, with_defaults
from featurediff.config.validation import find_mistakes
from featurediff.data.split import make_split
from featurediff.rendering.failed_pictures import find_failed
from featurediff.training.settings import CHOICES as TRAINING_CHOICES
from featurediff.training.settings import TrainingSettings

DEMO = yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def said(path: str, value: Any) -> list[str]:
    """What is said of the demo's config with another value at a place, `visualize batch`."""
    config = copy.deepcopy(DEMO)
    *above, last = path.split()
    parent = config
    for key in above:
        parent = parent[key]
    parent[last] = value
    return [mistake.text for mistake in find_mistakes(config, SCHEMA)]


CASES = [
    ("seeds", "3", "seeds: must be a whole number from 1 to 1,000, not '3'"),
    ("seeds", None, "seeds: must be a whole number from 1 to 1,000, not null"),
    ("gpu", 2, "gpu: must be 0, 1 or required, not 2"),
    ("gpu", True, "gpu: must be 0, 1 or required, not true"),
    ("visualize recipe", {"momentum": 1}, "recipe.momentum: must be a number of at least 0 and below 1, not 1"),
    ("visualize recipe", {"stesp": 3}, "visualize.recipe has an unknown key 'stesp': did you mean 'steps'?"),
    ("visualize recipe", {"transforms": "papr"}, "must be paper, small, lucid, crops or none or keys"),
    ("visualize recipe", {"transforms": {"padd": 1}}, "transforms has an unknown key 'padd': did you mean 'pad'?"),
    (
        "visualize recipe",
        {"transforms": {"crop": [1]}},
        "crop: must be a list of 2: each a number above 0 and at most 1",
    ),
    ("visualize recipe", {"transforms": {"crop": []}}, "visualize.recipe.transforms.crop: must not be empty"),
    ("visualize recipe", {"size": [16, "x"]}, "recipe.size.1: must be a whole number from 16 to 8,192, not 'x'"),
    ("visualize layers", {}, "visualize.layers: must not be empty"),
    ("visualize", {}, "visualize: the key 'layers' is missing"),
    ("visualize layers layer4.1", {}, "visualize.layers.layer4.1: the key 'channels' is missing"),
    ("visualize layers layer4.1 channels", {"a": 1}, "must be all, a number, a range such as 0-15, or a list of those"),
    ("visualize layers layer4.1 channels", [[]], "layer4.1.channels.0: must be"),
    ("networks base epoch", "bets", "epoch: must be best or last or a whole number of at least 0, not 'bets'"),
    ("data dogs format", "kagle_dogs", "not 'kagle_dogs': did you mean 'kaggle_dogs'?"),
    ("networks dogs training learning_rate", "1e-4", "a number above 0, not '1e-4', which YAML takes for a text"),
    ("networks dogs training learning_rate", float("nan"), "training.learning_rate: must be a finite number, not nan"),
    ("networks dogs training epochs", 10**5000, "networks.dogs.training.epochs: is a number of more than 18 digits"),
    ("networks dogs data", "x" * 2000, "networks.dogs.data: has more than 1,000 characters"),
    ("data dogs root", "a\0b", r"data.dogs.root: has control characters: 'a\x00b'"),
    ("data dogs root", "\ud800", r"data.dogs.root: has control characters: '\ud800'"),
    ("networks x\n", DEMO["networks"]["dogs"], r"networks: the key has control characters: 'x\n'"),
    ("networks 1x", DEMO["networks"]["dogs"], "networks cannot have the key '1x': A letter, then letters, digits"),
    (
        "networks",
        {**DEMO["networks"], False: DEMO["networks"]["dogs"]},
        "networks: the key false is no text: put it in",
    ),
    ("results", "-rf", "results: cannot be '-rf': Folder of all that is made; its name does not begin with -"),
    ("results", "a{b}", "results: cannot be 'a{b}': Folder of all that is made"),
    ("results", "", "results: cannot be ''"),
]


@pytest.mark.parametrize(("path", "value", "words"), [pytest.param(*case, id=case[2][:40]) for case in CASES])
def test_in_plain_words(path: str, value: Any, words: str) -> None:
    if path == "networks x\n":
        path, value = "networks", {**DEMO["networks"], "x\n": value}
    found = said(path, value)
    assert sum(words in text for text in found) == 1, found
    assert not any("is not of type" in text or "valid under" in text for text in found)


def test_a_long_value_is_cut() -> None:
    (text,) = said("film channels", "x" * 900)
    assert len(text) < 250
    assert "…" in text


def test_each_value_that_only_yaml_can_take_is_named() -> None:
    config = {"a": [1, float("inf")], "b": {"c": 10**30, "d": "x\ny", "e": True}, 1.5: {"x": "a\0"}, "f": -0.5}
    assert [mistake.path for mistake in unusable_values(config)] == [("a", "1"), ("b", "c"), ("b", "d"), ("1.5",)]


def test_names_close_and_far() -> None:
    assert did_you_mean("steps", ["step", "size"]) == ": did you mean 'step'?"
    assert did_you_mean("x", ["step", "size"]) == ": there are step, size"
    assert did_you_mean("x", []) == ": there are none"
    assert did_you_mean("bad_channels", ["failed_pictures"]) == ": it is called 'failed_pictures' now"


def test_defaults_are_filled_in_where_a_key_is_absent_and_may_be() -> None:
    schema = {
        "properties": {
            "a": {"default": 1},
            "b": {"default": {}, "properties": {"c": {"default": [2]}, "d": {}}},
            "e": {"properties": {"f": {"default": 3}}},
            "g": {"additionalProperties": {"properties": {"h": {"default": None}}}},
            "r": {"$ref": "#/$defs/r"},
        },
        "$defs": {"r": {"properties": {"i": {"default": 4}}}},
    }
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
    pytest.param(Recipe, {"statistics": "a.npz"}, RECIPE, {"mode"}, id="recipe"),
    pytest.param(TrainingSettings, {"epochs": 1}, TRAINING, {"threads", "seed"}, id="training"),
]


@pytest.mark.parametrize(("kind", "needed", "described", "of_config"), CLASSES)
def test_keys_and_defaults_of_the_schema_are_those_of_the_code(kind, needed, described, of_config) -> None:
    """To the letter, because the keys of trainings and pictures are digests of them: 0 is not 0.0."""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name != "seed"}
    assert set(described) == set(fields) | of_config
    made = kind(**needed)
    for name in set(fields) - {"epochs", "statistics"}:
        assert repr(described[name]["default"]) == repr(getattr(made, name)), name
    assert not any("default" in described[name] for name in {"threads", "seed", "epochs"} & set(described))


@pytest.mark.parametrize(
    ("function", "described"),
    [(make_split, PROPERTIES["data"]["additionalProperties"]), (find_failed, PROPERTIES["failed_pictures"])],
)
def test_defaults_of_functions_are_those_of_the_schema(function: Any, described: Mapping[str, Any]) -> None:
    parameters = inspect.signature(function).parameters
    for name, key in described["properties"].items():
        if name != "draw" and "default" in key:
            assert parameters[name].default == key["default"], name


@pytest.mark.parametrize(("kind", "needed", "described", "of_config"), CLASSES)
def test_ranges_and_choices_of_the_schema_are_those_of_the_code(kind, needed, described, of_config) -> None:
    """But for upper limits that only keep what no machine can hold out of a config."""
    for name, key in described.items():
        if name in {*of_config, "size"}:  # one number or two
            continue
        step = 1 if "integer" in key.get("type", ()) else 1e-6
        allowed, forbidden = list(key.get("enum", ())), ["no such choice"] if "enum" in key else []
        if "minimum" in key:
            allowed, forbidden = [*allowed, key["minimum"]], [*forbidden, key["minimum"] - step]
        if "exclusiveMinimum" in key:
            allowed, forbidden = [*allowed, key["exclusiveMinimum"] + step], [*forbidden, key["exclusiveMinimum"]]
        if "exclusiveMaximum" in key:
            allowed, forbidden = [*allowed, key["exclusiveMaximum"] - step], [*forbidden, key["exclusiveMaximum"]]
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
