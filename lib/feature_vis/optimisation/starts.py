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

__all__ = ["STATE_SUFFIX", "save_state", "start_of"]

# A file of this kind holds a state; any other that a recipe starts from is a picture.
STATE_SUFFIX = ".state"


def save_state(path: str | Path, recipe: Recipe, parameters: Tensor) -> None:
    """Write what a finished picture was held as, (*P): `Recipe(start=path)` goes on from exactly there.

    A PNG has 8 bits a value, and colours that were clipped; its state has neither fault.

    Raises:
        InputError: a name that does not end in `.state`.
    """
    if Path(path).suffix != STATE_SUFFIX:
        raise InputError(f"a state is saved as a file that ends in {STATE_SUFFIX}, not {path}")
    held = {name: getattr(recipe, name) for name in ("parameterization", "decay_power", "colors")}
    save_file(path, {**held, "size": list(recipe.shape), "parameters": parameters.detach().cpu()})


def start_of(recipe: Recipe, held: Parameterization, seed: tuple[str | int, ...], matrix: Tensor | None) -> Tensor:
    """The parameters, (*P), that a picture starts from, for the first of its sizes.

    `matrix`: the recipe's colour basis. A picture is stretched to the size; a state may be of the same size or of a
    smaller one, from which it grows.

    Raises:
        InputError: a file that cannot be read, or a state of another kind.
    """
    if recipe.start is None:
        return held.start(*seed)
    if Path(recipe.start).suffix == STATE_SUFFIX:
        return _read_state(recipe, held)
    picture = _read_picture(recipe.start, held.size, held.channels)  # (C, H, W)
    return held.parameters_of(colors.from_rgb(picture.unsqueeze(0), matrix)[0])


def _read_state(recipe: Recipe, held: Parameterization) -> Tensor:
    """(*P)"""
    state = load_file(str(recipe.start))
    try:
        parameters, size = state["parameters"], tuple(state["size"])
        others = {name: (state[name], getattr(recipe, name)) for name in ("parameterization", "decay_power", "colors")}
    except KeyError as error:
        raise InputError(f"{recipe.start} is no state of a picture: it has no {error}") from None
    if different := [f"{name} {there!r}, not {here!r}" for name, (there, here) in others.items() if there != here]:
        raise InputError(f"the state in {recipe.start} was made with {', '.join(different)}")
    if size == held.size:
        return parameters
    if recipe.parameterization == "maco":
        raise InputError(f"the state in {recipe.start} is of {size} pixels: `maco` goes on at the same size alone")
    smaller = parameterization(recipe.parameterization, (size[0], size[1]), held.channels, recipe.decay_power)
    return smaller.grown(parameters.unsqueeze(0), held)[0]


def _read_picture(path: str, size: tuple[int, int], channels: int) -> Tensor:
    """(C, H, W) in [0, 1], stretched to the size."""
    mode = {1: "L", 3: "RGB"}.get(channels)
    converted = read_image(path, lambda image: image.convert(mode).resize((size[1], size[0]), Image.Resampling.LANCZOS))
    pixels = torch.from_numpy(np.asarray(converted).copy()).float() / 255  # (H, W) or (H, W, C)
    return pixels.unsqueeze(0) if pixels.dim() == 2 else pixels.permute(2, 0, 1)
