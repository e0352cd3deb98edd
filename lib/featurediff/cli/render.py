"""Renders channels of any network without a workflow."""

from pathlib import Path
from typing import Any

import torch

from feature_vis.errors import InputError
from feature_vis.networks.models import weights_digest
from feature_vis.networks.structure import channel_counts
from feature_vis.recipe import Recipe
from featurediff.networks import load_weights
from featurediff.rendering.batch import make_targets, visualize
from featurediff.rendering.channels import parse_channels

__all__ = ["choose_device", "render_channels"]


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one; else any name that torch knows, `cpu` or `cuda:1`.

    Raises:
        InputError: a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise InputError(f"the device {name!r} cannot be used: {str(error).splitlines()[0]}") from None


def render_channels(
    model: str, weights: str, layer: str, channels: str, settings: dict[str, Any], out: Path, device: torch.device
) -> tuple[list[Path], int]:
    """Make each channel's picture, `<out>/<layer>/channel<k>.png`; returns all paths and the number of new pictures.

    A picture of the same recipe and the same weights is kept, so an interrupted call goes on. `weights`: a file, or the
    library's name of some. `channels`: `all`, a number, a range, or several with commas. `settings`: those of `Recipe`.

    Raises:
        InputError: a network, weights, layer, channel or setting that does not exist.
    """
    recipe = Recipe.from_settings(settings)
    network = load_weights(model, weights).module()
    numbers = parse_channels(channels, channel_counts(network, [layer], recipe.shape)[layer])
    paths = [out / layer / f"channel{channel}.png" for channel in numbers]
    recipes = {"layer": recipe.settings(), "channels": {}}
    targets = make_targets([str(path) for path in paths], layer, recipes, weights_digest(network, layer))
    rendered, _ = visualize(targets, layer, network, out / layer / ".staging", device)
    return paths, rendered
