"""What a picture starts from: noise, another picture, or the saved state of an earlier one."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.images import colors
from feature_vis.images.image_files import read_image
from feature_vis.networks.models import load_file, save_file
from feature_vis.parameterizations import Parameterization, parameterization
from feature_vis.recipe import Recipe

__all__ = ["STATE_SUFFIX", "save_state", "start_parameters"]

# A file with this suffix holds a state; any other file that a recipe starts from is a picture.
STATE_SUFFIX = ".state"

_SETTINGS = ("parameterization", "decay_power", "colors")  # which a state and the recipe that reads it must share


def save_state(path: str | Path, recipe: Recipe, parameters: Tensor) -> None:
    """Write the parameters of a finished picture, (*P), so that `Recipe(start=path)` goes on exactly from there.

    A PNG would round to 8 bits and clip colours.

    Raises:
        InputError: a name that does not end in `.state`.
    """
    if Path(path).suffix != STATE_SUFFIX:
        raise InputError(f"a state is saved as a file that ends in {STATE_SUFFIX}, not {path}")
    settings = {name: getattr(recipe, name) for name in _SETTINGS}
    save_file(path, {**settings, "size": list(recipe.shape), "parameters": parameters.detach().cpu()})


def start_parameters(
    recipe: Recipe, first: Parameterization, seed: tuple[str | int, ...], color_basis: Tensor | None
) -> Tensor:
    """The parameters, (*P), that a picture starts from, for the first of its sizes.

    `color_basis`: the recipe's, (C, C). A picture is stretched to the size. A state may be of the same size or of a
    smaller one, from which it grows.

    Raises:
        InputError: a file that cannot be read, or a state of another kind.
    """
    if recipe.start is None:
        return first.start(*seed)
    if Path(recipe.start).suffix == STATE_SUFFIX:
        return _read_state(recipe, first)
    picture = _read_picture(recipe.start, first.size, first.channels)  # (C, H, W)
    return first.parameters_of(colors.from_rgb(picture.unsqueeze(0), color_basis)[0])


def _read_state(recipe: Recipe, first: Parameterization) -> Tensor:
    """(*P)"""
    state = load_file(str(recipe.start))
    try:
        parameters, size = state["parameters"], tuple(state["size"])
        settings = {name: (state[name], getattr(recipe, name)) for name in _SETTINGS}
    except KeyError as error:
        raise InputError(f"{recipe.start} does not hold the state of a picture: {error} is missing") from None
    if different := [f"{name} {saved!r}, not {own!r}" for name, (saved, own) in settings.items() if saved != own]:
        raise InputError(f"the state in {recipe.start} was made with {', '.join(different)}")
    if size == first.size:
        return parameters
    if recipe.parameterization == "maco":
        raise InputError(
            f"the state in {recipe.start} has {size[0]} × {size[1]} px: with `maco` it can only go on at that size"
        )
    smaller = parameterization(recipe.parameterization, (size[0], size[1]), first.channels, recipe.decay_power)
    return smaller.grown(parameters.unsqueeze(0), first)[0]


def _read_picture(path: str, size: tuple[int, int], channels: int) -> Tensor:
    """(C, H, W) in [0, 1], stretched to the size."""
    mode = {1: "L", 3: "RGB"}.get(channels)
    converted = read_image(path, lambda image: image.convert(mode).resize((size[1], size[0]), Image.Resampling.LANCZOS))
    pixels = torch.from_numpy(np.asarray(converted).copy()).float() / 255  # (H, W) or (H, W, C)
    return pixels.unsqueeze(0) if pixels.dim() == 2 else pixels.permute(2, 0, 1)
