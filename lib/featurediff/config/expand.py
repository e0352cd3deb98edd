"""From a config as it is written to one in which everything is spelled out. No torch here.

- `experiments`, a list: the networks of each become `<experiment>-<network>`; they share the base, the data and all
  else of the config.
- `sweep` in a network: one network for each combination of values, `<network>-<setting>-<value>`.
- A network whose weights are a file and that names no model has the base's.
- A user's own module, `module:function`, is found from the config's folder: its name is given from the working folder.
- What is absent has its default: the schema's; in a training `seed` and `threads` of the whole config; in a recipe
  what lies below it, from the channel's over the layer's and the general settings to the defaults of `Recipe`;
  the recipe of the difference lies over the general settings.

All that comes after this knows expanded configs alone. So what two networks have in common is made once: the base and
its pictures, the data's split, and the pictures of layers that neither has changed.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_vis.errors import InputError
from feature_vis.networks.names import is_weights_name
from feature_vis.networks.user_module import within
from feature_vis.recipe import Recipe
from featurediff.config.file import Config, Keys, Mistake, mistake_at
from featurediff.config.schema import Schema, with_defaults

__all__ = ["Expanded", "architecture", "expand"]

# Combinations of a few settings' values are soon more than can be trained, or planned.
_MOST_NETWORKS = 1000

# The keys by which a network names another.
_REFERENCES = ("weights", "control_of")


@dataclass(frozen=True)
class Expanded:
    """A config in which everything is spelled out.

    `origins`: the keys that lead to where each network stands in the config as written. `mistakes`: names that two
    networks have, and recipes that cannot be followed; the latter's layers have no `recipe`.
    """

    config: Config
    origins: Mapping[str, Keys]
    mistakes: list[Mistake]

    def where_written(self, mistake: Mistake) -> Mistake:
        """The mistake with the keys that lead to its place in the config as written."""
        path = mistake.path
        if len(path) > 1 and path[0] == "networks" and path[1] in self.origins:
            path = (*self.origins[path[1]], *path[2:])
        return Mistake(path, mistake.text)


def architecture(networks: Mapping[str, Config], name: str) -> str | None:
    """The name of a network's architecture, its own or that of the network it starts from; None where none is named."""
    for _ in networks:  # no longer than there are networks: they may lead in a circle
        network = networks.get(name, {})
        if "model" in network:
            return str(network["model"])
        name = network.get("weights", "")
    return None


def expand(config: Config, schema: Schema, folder: str | Path = ".") -> Expanded:
    """Spell a config out in a copy; `folder` is where it lies. Parts that are missing are empty."""
    networks: dict[str, Config] = {}
    origins: dict[str, Keys] = {}
    mistakes = []
    for name, network, origin in _named_networks(config):
        if len(networks) == _MOST_NETWORKS:
            mistakes.append(mistake_at(origin, f"there are more than {_MOST_NETWORKS:,} networks"))
            break
        if name in networks:
            first = ".".join(origins[name])
            mistakes.append(mistake_at(origin, f"its network {name} is there already, from {first}"))
            continue
        networks[name], origins[name] = network, origin
    written = {key: value for key, value in config.items() if key != "experiments"}
    full = with_defaults({"visualize": {}, **written, "networks": networks}, schema)
    full["visualize"].setdefault("layers", {})
    base = architecture(full["networks"], full["base"])
    for network in full["networks"].values():
        weights = network.get("weights")
        from_file = weights is not None and weights not in networks and not is_weights_name(weights)
        if "model" not in network and from_file and base is not None:
            network["model"] = base
        if "training" in network:
            network["training"] = {"seed": full["seed"], "threads": full["threads"], **network["training"]}
    for named in (*full["networks"].values(), full["compare"].get("embedder", {})):
        if "model" in named:
            named["model"] = within(named["model"], folder)
    return Expanded(full, origins, mistakes + list(_complete_recipes(full)))


def _named_networks(config: Config) -> Iterator[tuple[str, Config, Keys]]:
    for name, network in config.get("networks", {}).items():
        yield from _swept(name, network, ("networks", name))
    for number, experiment in enumerate(config.get("experiments", [])):
        own = experiment.get("networks", {}) if "name" in experiment else {}
        for name, network in own.items():
            named = {key: f"{experiment['name']}-{network[key]}" for key in _REFERENCES if network.get(key) in own}
            origin = ("experiments", str(number), "networks", name)
            yield from _swept(f"{experiment['name']}-{name}", {**network, **named}, origin)


def _swept(name: str, network: Config, origin: Keys) -> Iterator[tuple[str, Config, Keys]]:
    rest = {key: value for key, value in network.items() if key != "sweep"}
    sweep = network.get("sweep", {})
    for values in itertools.product(*sweep.values()):
        chosen = dict(zip(sweep, values, strict=True))
        parts = [name, *(f"{key}-{_in_a_name(value)}" for key, value in chosen.items())]
        training = {"training": {**rest.get("training", {}), **chosen}} if chosen else {}
        yield "-".join(parts), {**rest, **training}, origin


def _in_a_name(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(value).lower() if value in (None, True, False) else str(value))


def _complete_recipes(config: Config) -> Iterator[Mistake]:
    """Give every layer and the difference a whole `recipe`, and `overrides` those of channels, by number."""
    general = {"seed": config["seed"], **config["visualize"].get("recipe", {})}
    try:
        config["difference"]["recipe"] = _complete(general | config["difference"].pop("recipe", {}))
    except InputError as error:
        yield mistake_at(("difference",), str(error))
    for layer, settings in config["visualize"]["layers"].items():
        of_layer = general | settings.pop("recipe", {})
        of_channels = {int(channel): of_layer | own for channel, own in settings.get("overrides", {}).items()}
        try:
            settings["overrides"] = {channel: _complete(recipe) for channel, recipe in of_channels.items()}
            settings["recipe"] = _complete(of_layer)
        except InputError as error:
            yield mistake_at(("visualize", "layers", layer), str(error))


def _complete(recipe: Config) -> Config:
    return Recipe.from_settings(recipe).settings()
