"""Where a config's files lie: folders that may not lie in one another, and files that are needed and absent.

No torch here. A config is taken as far as the schema allows it: a part that is wrong already is absent or empty.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from feature_vis.errors import InputError
from feature_vis.networks.names import is_weights_name
from feature_vis.recipe import Recipe
from featurediff.config.file import Mistake
from featurediff.config.plan import Config, overrides, recipe_settings

__all__ = ["absent_files", "folders_in_one_another"]


def folders_in_one_another(config: Config) -> Iterator[Mistake]:
    """Results among the pictures would become pictures, pictures among the results might be deleted with them."""
    results = config.get("results", "results")
    for name, data in config["data"].items():
        if "root" not in data:
            continue
        root = data["root"]
        if _within(results, root):
            text = f"results: {results} lies inside the data set {name} ({root}), whose pictures it would become"
            yield Mistake(("results",), text)
        elif _within(root, results) and "draw" not in data:  # what the workflow draws is a result, too
            text = f"data.{name}.root: {root} lies inside {results}, where the results may be deleted and made again"
            yield Mistake(("data", name, "root"), f"{text}: move the pictures, or name another folder for the results")


def absent_files(config: Config) -> Iterator[Mistake]:
    """What a run might look for after hours only. Weights that an earlier run has read may be gone.

    Not the data: they are the first thing that is read, and a run can be planned before they are there.
    """
    results = Path(config.get("results", "results"))
    for name, network in config["networks"].items():
        weights = network.get("weights")
        if weights not in config["networks"] and not (results / name / "network.pth").exists():
            yield from _absent(("networks", name, "weights"), None if _is_name(weights) else weights)
    weights = config.get("compare", {}).get("embedder", {}).get("weights")
    yield from _absent(("compare", "embedder", "weights"), None if _is_name(weights) else weights)
    for layer in config["visualize"].get("layers", {}):
        for file in _files_of_recipes(config, layer):
            yield from _absent(("visualize", "layers", layer), file)


def _files_of_recipes(config: Config, layer: str) -> list[str]:
    """The files that the recipes of a layer and of its channels start from; none where one cannot be followed."""
    try:
        settings = [recipe_settings(config, layer, channel) for channel in (None, *overrides(config, layer))]
    except InputError:
        return []
    recipes = [Recipe.from_settings(each) for each in settings]
    named = [file for recipe in recipes for file in (recipe.statistics, recipe.start) if file is not None]
    return list(dict.fromkeys(named))


def _is_name(weights: str | None) -> bool:
    return weights is None or is_weights_name(weights)


def _absent(path: tuple[str, ...], file: str | None) -> Iterator[Mistake]:
    if file is not None and not os.path.isfile(file):  # noqa: PTH113 (False, not an error, for a name too long)
        yield Mistake(path, f"{'.'.join(path)}: there is no file {file}")


def _within(inner: str, outer: str) -> bool:
    """Whether a folder is another, or lies in it, when all links are followed."""
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer))
