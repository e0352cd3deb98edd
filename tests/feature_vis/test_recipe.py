"""A recipe says all that decides a picture; the content key changes with that and with nothing else."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from feature_vis import recipe
from feature_vis.errors import InputError
from feature_vis.recipe import CHOICES, MODES, Recipe, content_key

OTHER = {"size": 64, "steps": 3, "learning_rate": 0.1, "momentum": 0.8, "objective": "post_relu", "transforms": "none"}
OTHER |= {"parameterization": "pixel", "decay_power": 2.0, "colors": "none", "statistics": "statistics.npz"}
OTHER |= {"start": "start.png", "regularizers": {"l1": 0.5}, "schedule": "growing", "plateau": 0.01}
OTHER |= {"precision": "float32", "seed": 1}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch) -> None:
    """The files that recipes name, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("statistics.npz", "start.png"):
        Path(name).write_bytes(b"1")


def key(settings: Recipe) -> str:
    return content_key(settings, "l", 0, "d")


def test_every_setting_and_the_version_are_in_the_key(monkeypatch) -> None:
    assert set(OTHER) == {field.name for field in dataclasses.fields(Recipe)}
    assert all(getattr(Recipe(), name) != value for name, value in OTHER.items())
    keys = {key(dataclasses.replace(Recipe(), **{name: value})) for name, value in OTHER.items()}
    keys |= {content_key(Recipe(), *of) for of in [("l", 0, "d"), ("m", 0, "d"), ("l", 1, "d"), ("l", 0, "e")]}
    assert len(keys) == len(OTHER) + 4
    assert key(Recipe()) == key(Recipe.from_settings(Recipe().settings()))
    before = key(Recipe())
    monkeypatch.setattr(recipe, "RECIPE_VERSION", recipe.RECIPE_VERSION + 1)
    assert key(Recipe()) != before


@pytest.mark.parametrize("name", ["statistics", "start"])
def test_the_content_of_the_files_is_in_the_key(name: str) -> None:
    named = Recipe(**{name: OTHER[name]})
    before = key(named)
    Path(OTHER[name]).touch()
    assert key(named) == before
    Path(OTHER[name]).write_bytes(b"2")
    assert key(named) != before
    Path(OTHER[name]).unlink()
    with pytest.raises(InputError, match=OTHER[name]):
        key(named)


def test_all_wrong_settings_are_named_at_once() -> None:
    wrong = {"size": 1, "steps": 0, "learning_rate": 0, "momentum": 1, "objective": "relu", "parameterization": "jpeg"}
    wrong |= {"decay_power": -1, "colors": "images", "schedule": "slow", "plateau": 1.5, "precision": "float16"}
    with pytest.raises(InputError) as caught:
        Recipe(**wrong)
    assert [name for name in wrong if f"{name} must be" not in str(caught.value)] == ["colors"]
    assert "statistics must be a file" in str(caught.value)  # which those colours are read from
    with pytest.raises(InputError, match=r"no stepz, zeal: it has mode, colors, "):
        Recipe.from_settings({"stepz": 3, "zeal": 1})
    with pytest.raises(InputError, match=r"no mode 'papier': it has default, paper"):
        Recipe.from_settings({"mode": "papier"})


def test_modes_are_recipes_that_settings_override() -> None:
    assert Recipe.from_settings({}) == Recipe.from_settings({"mode": "default"}) == Recipe()
    for mode, settings in MODES.items():
        made = Recipe.from_settings({"mode": mode})
        assert {name: getattr(made, name) for name in settings} == dict(settings)
    paper = Recipe.from_settings({"mode": "paper", "size": [64, 48]})
    assert paper.shape == (64, 48)
    assert (paper.objective, paper.transforms, paper.stages()) == ("post_relu", "paper", [((64, 48), 256)])
    assert (paper.learning_rate, paper.momentum, paper.parameterization) == (0.05, 0.9, "fourier")


@pytest.mark.parametrize("parameterization", CHOICES["parameterization"])
@pytest.mark.parametrize("size", [64, 128, 224, 400, (160, 300)])
@pytest.mark.parametrize("steps", [1, 2, 9, 256])
def test_stages_grow_to_the_whole_picture(size: int | tuple[int, int], steps: int, parameterization: str) -> None:
    settings = {"size": size, "steps": steps, "parameterization": parameterization, "statistics": "statistics.npz"}
    growing = Recipe(**settings, schedule="growing")
    stages = growing.stages()
    assert stages[-1] == (growing.shape, steps)
    for (smaller, earlier), (larger, later) in itertools.pairwise(stages):
        assert smaller[0] < larger[0]
        assert smaller[1] < larger[1]
        assert earlier <= later
    assert all(min(shape) >= 64 and last >= 1 for shape, last in stages)
    assert len(stages) > 1 or min(growing.shape) < 90 or steps < 3
    for plain in (Recipe(**settings, schedule="plain"), Recipe(**settings, schedule="growing", start="start.png")):
        assert plain.stages() == [(plain.shape, steps)]
