"""What the schema forbids, in plain words."""

import copy
from typing import Any

import pytest
import yaml
from places import REPOSITORY

from featurediff.config.check import find_mistakes
from featurediff.config.words import did_you_mean, without_unusable_values

DEMO = yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def said(path: str, value: Any) -> list[str]:
    """What is said of the demo's config with another value at a place, `visualize batch`."""
    config = copy.deepcopy(DEMO)
    *above, last = path.split()
    parent = config
    for key in above:
        parent = parent[key]
    parent[last] = value
    return [mistake.text for mistake in find_mistakes(config, REPOSITORY / "config" / "schema.yaml")]


CASES = [
    ("seeds", "3", "seeds: must be a whole number from 1 to 1,000, not '3'"),
    ("seeds", None, "seeds: must be a whole number from 1 to 1,000, not null"),
    ("gpu", 2, "gpu: must be 0, 1 or required, not 2"),
    ("gpu", True, "gpu: must be 0, 1 or required, not true"),
    (
        "visualize recipe",
        {"momentum": 1},
        "recipe.momentum: must be a number of at least 0 and below 1, not 1",
    ),
    ("visualize recipe", {"stesp": 3}, "visualize.recipe has an unknown key 'stesp': did you mean 'steps'?"),
    (
        "visualize recipe",
        {"transforms": "papr"},
        "must be paper, small, lucid, crops or none or keys",
    ),
    (
        "visualize recipe",
        {"transforms": {"padd": 1}},
        "transforms has an unknown key 'padd': did you mean 'pad'?",
    ),
    (
        "visualize recipe",
        {"transforms": {"crop": [1]}},
        "crop: must be a list of 2: each a number above 0 and at most 1",
    ),
    ("visualize recipe", {"transforms": {"crop": []}}, "visualize.recipe.transforms.crop: must not be empty"),
    (
        "visualize recipe",
        {"size": [16, "x"]},
        "recipe.size.1: must be a whole number from 16 to 8,192, not 'x'",
    ),
    ("visualize layers", {}, "visualize.layers: must not be empty"),
    ("visualize", {}, "visualize: the key 'layers' is missing"),
    ("visualize layers layer4.1", {}, "visualize.layers.layer4.1: the key 'channels' is missing"),
    ("visualize layers layer4.1 channels", {"a": 1}, "must be all, a number, a range such as 0-15, or a list of those"),
    ("visualize layers layer4.1 channels", [[]], "layer4.1.channels.0: must be"),
    (
        "networks base epoch",
        "bets",
        "epoch: must be best or last or a whole number of at least 0, not 'bets'",
    ),
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


def test_a_value_that_only_yaml_can_take_is_said_once_and_its_place_taken() -> None:
    config = {"a": [1, float("inf")], "b": {"c": 10**30, "d": "x\ny"}, "e": True, "f": -0.5}
    usable, mistakes = without_unusable_values(config)
    assert usable == {"a": [1, 1], "b": {"c": 1, "d": "x"}, "e": True, "f": -0.5}
    assert [mistake.path for mistake in mistakes] == [("a", "1"), ("b", "c"), ("b", "d")]
    assert config["b"]["c"] == 10**30


def test_names_close_and_far() -> None:
    assert did_you_mean("steps", ["step", "size"]) == ": did you mean 'step'?"
    assert did_you_mean("x", ["step", "size"]) == ": there are step, size"
    assert did_you_mean("x", []) == ": there are none"
