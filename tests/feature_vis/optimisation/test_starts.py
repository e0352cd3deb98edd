"""What a picture starts from."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from feature_vis.errors import InputError
from feature_vis.objectives import Objectives
from feature_vis.optimisation.starts import save_state, start_parameters
from feature_vis.parameterizations import parameterization
from feature_vis.recipe import Recipe
from feature_vis.render import render

RECIPE = Recipe(size=32, steps=4, precision="float32", transforms="none")


@pytest.fixture(scope="module")
def source() -> Objectives:
    torch.manual_seed(0)
    return Objectives(nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 3)))


@pytest.mark.parametrize("name", ["fourier", "pixel", "laplacian"])
def test_a_saved_state_goes_on_where_the_picture_ended(source, tmp_path, name: str) -> None:
    recipe = dataclasses.replace(RECIPE, parameterization=name)
    (first,) = render([source("2", 1)], recipe)
    save_state(tmp_path / "one.state", recipe, first.parameters)
    still = dataclasses.replace(recipe, start=str(tmp_path / "one.state"), steps=1, learning_rate=1e-12)
    (again,) = render([source("2", 1)], still)
    assert np.array_equal(again.picture, first.picture)
    assert again.activation_start == first.activation_reached
    (further,) = render([source("2", 1)], dataclasses.replace(still, steps=4, learning_rate=0.05))
    assert further.activation_reached > first.activation_reached


def test_a_state_grows_to_a_larger_picture(tmp_path) -> None:
    small = parameterization("fourier", (32, 32))
    parameters = small.start(0)
    save_state(tmp_path / "small.state", RECIPE, parameters)
    large = parameterization("fourier", (64, 64))
    recipe = dataclasses.replace(RECIPE, size=64, start=str(tmp_path / "small.state"))
    grown = start_parameters(recipe, large, (0,), None)
    shown = large.image(grown.unsqueeze(0))[0, :, ::2, ::2]  # pixel 0 stays pixel 0
    assert torch.allclose(shown, small.image(parameters.unsqueeze(0))[0], atol=1e-5)


def test_other_files_and_states_of_another_kind_are_refused(tmp_path) -> None:
    save_state(tmp_path / "a.state", RECIPE, parameterization("fourier", (32, 32)).start(0))
    torch.save({"model": {}}, tmp_path / "network.state")
    (tmp_path / "broken.state").write_bytes(b"PK")
    for name, change, words in [
        ("a.state", {"parameterization": "pixel"}, "parameterization 'fourier', not 'pixel'"),
        ("a.state", {"colors": "none"}, "colors 'imagenet', not 'none'"),
        ("a.state", {"size": 16}, "only grow"),
        *((name, {}, name) for name in ("network.state", "broken.state", "absent.state")),
    ]:
        recipe = dataclasses.replace(RECIPE, start=str(tmp_path / name), **change)
        with pytest.raises(InputError, match=words):
            start_parameters(recipe, parameterization(recipe.parameterization, recipe.shape), (0,), None)
    with pytest.raises(InputError, match=r"\.state"):
        save_state(tmp_path / "one.png", RECIPE, torch.zeros(1))


@pytest.mark.parametrize("value", [0, 51, 255])
def test_a_picture_that_is_started_from_is_taken_as_it_is(tmp_path, value: int) -> None:
    Image.new("RGB", (40, 20), (value,) * 3).save(tmp_path / "a.png")
    recipe = dataclasses.replace(RECIPE, start=str(tmp_path / "a.png"), parameterization="pixel", colors="none")
    pixels = torch.sigmoid(start_parameters(recipe, parameterization("pixel", (32, 24)), (0,), None))
    torch.testing.assert_close((255 * pixels).round(), torch.full((3, 32, 24), float(value)), rtol=0, atol=0)
