"""From a config as it is written to plain networks: what is said once for several is spelled out. No torch here.

- `experiments`, a list: the networks of each become `<experiment>-<network>`; they share the base, the data and all
  else of the config.
- `sweep` in a network: one network for each combination of values, `<network>-<setting>-<value>`.
- A network whose weights are a file and that names no model has the base's.
- A user's own module, `module:function`, is found from the config's folder: its name is said from the working folder.

All that comes after this knows plain networks alone. So what two of them have in common is made once: the base and its
pictures, the data's split, and the pictures of layers that neither has changed.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_vis.networks.names import is_weights_name
from feature_vis.networks.user_module import within
from featurediff.config.file import Mistake
from featurediff.config.plan import architecture

__all__ = ["Plain", "plain"]

# Combinations of a few settings' values are soon more than can be trained, or planned.
_MOST_NETWORKS = 1000

Config = dict[str, Any]
Origin = tuple[str, ...]


@dataclass(frozen=True)
class Plain:
    """A config of plain networks; `origins`: the keys that lead to where each network stands in the config as written.

    `mistakes`: names that two networks have.
    """

    config: Config
    origins: dict[str, Origin]
    mistakes: list[Mistake]

    def as_written(self, mistake: Mistake) -> Mistake:
        """With the keys that lead to the place in the config as written."""
        path = mistake.path
        if len(path) > 1 and path[0] == "networks" and path[1] in self.origins:
            path = (*self.origins[path[1]], *path[2:])
        return Mistake(path, mistake.text)


def plain(config: Config, folder: str | Path = ".") -> Plain:
    """Spell a config out; `folder` is where it lies. The config itself is not changed."""
    networks: dict[str, Config] = {}
    origins: dict[str, Origin] = {}
    mistakes = []
    for name, network, origin in _spelled_out(config):
        if len(networks) == _MOST_NETWORKS:
            mistakes.append(Mistake(origin, f"{'.'.join(origin)}: there are more than {_MOST_NETWORKS:,} networks"))
            break
        if name in networks:
            first = ".".join(origins[name])
            mistakes.append(Mistake(origin, f"{'.'.join(origin)}: its network {name} is there already, from {first}"))
            continue
        networks[name], origins[name] = network, origin
    base = architecture(networks, config.get("base", "base"))
    for network in networks.values():
        weights = network.get("weights")
        from_file = weights is not None and weights not in networks and not is_weights_name(weights)
        if "model" not in network and from_file and base is not None:
            network["model"] = base
        if "model" in network:
            network["model"] = within(network["model"], folder)
    spelled = {key: value for key, value in config.items() if key != "experiments"} | {"networks": networks}
    embedder = config.get("compare", {}).get("embedder", {})
    if "model" in embedder:
        named = {**embedder, "model": within(embedder["model"], folder)}
        spelled["compare"] = {**config["compare"], "embedder": named}
    return Plain(spelled, origins, mistakes)


def _spelled_out(config: Config) -> Iterator[tuple[str, Config, Origin]]:
    for name, network in config["networks"].items():
        yield from _swept(name, network, ("networks", name))
    for number, experiment in enumerate(config.get("experiments", [])):
        own = experiment.get("networks", {})
        for name, network in own.items():
            named = {key: f"{experiment['name']}-{network[key]}" for key in _REFERENCES if network.get(key) in own}
            origin = ("experiments", str(number), "networks", name)
            yield from _swept(f"{experiment['name']}-{name}", {**network, **named}, origin)


# The keys by which a network names another.
_REFERENCES = ("weights", "control_of")


def _swept(name: str, network: Config, origin: Origin) -> Iterator[tuple[str, Config, Origin]]:
    rest = {key: value for key, value in network.items() if key != "sweep"}
    sweep = network.get("sweep", {})
    for values in itertools.product(*sweep.values()):
        chosen = dict(zip(sweep, values, strict=True))
        parts = [name, *(f"{key}-{_in_a_name(value)}" for key, value in chosen.items())]
        training = {"training": {**rest.get("training", {}), **chosen}} if chosen else {}
        yield "-".join(parts), {**rest, **training}, origin


def _in_a_name(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(value).lower() if value in (None, True, False) else str(value))
