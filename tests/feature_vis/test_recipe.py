"""The content key changes with what decides a picture and with nothing else."""

import dataclasses

import pytest

from feature_vis import recipe
from feature_vis.errors import InputError
from feature_vis.recipe import Recipe, content_key

OTHER = {
    "size": 64,
    "steps": 3,
    "learning_rate": 0.1,
    "objective": "post_relu",
    "transforms": "none",
    "decay_power": 2.0,
    "seed": 1,
}


def test_every_setting_is_in_the_key() -> None:
    assert set(OTHER) == {field.name for field in dataclasses.fields(Recipe)}
    keys = {content_key(dataclasses.replace(Recipe(), **{name: value}), "l", 0, "d") for name, value in OTHER.items()}
    keys |= {
        content_key(Recipe(), layer, channel, digest)
        for layer, channel, digest in [("l", 0, "d"), ("m", 0, "d"), ("l", 1, "d"), ("l", 0, "e")]
    }
    assert len(keys) == len(OTHER) + 4


def test_the_version_is_in_the_key(monkeypatch) -> None:
    before = content_key(Recipe(), "l", 0, "d")
    monkeypatch.setattr(recipe, "RECIPE_VERSION", recipe.RECIPE_VERSION + 1)
    assert content_key(Recipe(), "l", 0, "d") != before


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(InputError, match=r"(?s)size.*steps.*objective"):
        Recipe(size=1, steps=0, objective="relu")


def test_unknown_settings_are_named() -> None:
    with pytest.raises(InputError, match="stepz"):
        Recipe.from_settings({"stepz": 3})
