"""From the config to what has to be made: networks, layers, channels, batches. No torch here.

The workflow reads this module while it builds its graph; it must stay quick to import.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from feature_vis.errors import InputError
from feature_vis.files import write_text
from feature_vis.recipe import Recipe

__all__ = [
    "Plan",
    "architecture",
    "batches",
    "code_digest",
    "overrides",
    "parse_channels",
    "picture_paths",
    "recipe_settings",
]

Config = dict[str, Any]


def parse_channels(spec: int | str | list[int | str], count: int | None) -> list[int]:
    """Channel numbers, sorted, each once: from `all`, a number, a range `0-15`, or a list of those.

    `count`: how many channels the layer has; None where that is not known.
    """
    numbers: set[int] = set()
    for part in spec if isinstance(spec, list) else str(spec).split(","):
        text = str(part).strip()
        if text == "all":
            if count is None:
                raise InputError("'all' needs torch beside the workflow to count the channels: write a range, 0-2047")
            numbers |= set(range(count))
            continue
        first, dash, last = text.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InputError(f"channels {text!r} is neither 'all', a number, nor a range such as 0-15")
        if dash and int(last) < int(first):
            raise InputError(f"channels {text!r} runs backwards")
        numbers |= set(range(int(first), int(last or first) + 1))
    if count is not None and (outside := sorted(number for number in numbers if number >= count)):
        shown = ", ".join(str(number) for number in outside[:5]) + (", …" if len(outside) > 5 else "")
        raise InputError(f"there is no channel {shown}: the layer has {count}, 0 to {count - 1}")
    return sorted(numbers)


def picture_paths(folder: str | Path, channels: Iterable[int], seeds: Iterable[int]) -> list[str]:
    """A layer's pictures, seed after seed: of seed 0 in its folder, of further ones in `seed<s>` below."""
    channels = list(channels)
    folders = [Path(folder, f"seed{seed}") if seed else Path(folder) for seed in seeds]
    return [f"{place}/channel{channel}.png" for place in folders for channel in channels]


def batches(channels: list[int], size: int) -> list[tuple[int, ...]]:
    """Consecutive channels, `size` a batch; the last may be shorter."""
    return [tuple(channels[first : first + size]) for first in range(0, len(channels), size)]


def architecture(config: Config, network: str) -> str:
    """The torchvision name of a network, its own or that of the network it starts from."""
    settings = config["networks"][network]
    return settings["model"] if "model" in settings else architecture(config, settings["weights"])


def overrides(config: Config, layer: str) -> dict[int, Config]:
    """The settings of a layer's single channels."""
    given = config["visualize"]["layers"][layer].get("overrides", {})
    return {int(channel): settings for channel, settings in given.items()}


def recipe_settings(config: Config, layer: str, channel: int | None = None) -> dict[str, Any]:
    """The recipe's settings for a layer, or for one of its channels: general, then layer's, then channel's."""
    visualize = config["visualize"]
    of_layer = visualize["layers"][layer].get("recipe", {})
    of_channel = {} if channel is None else overrides(config, layer).get(channel, {})
    settings = {"seed": config.get("seed", 0)} | visualize.get("recipe", {}) | of_layer | of_channel
    return Recipe.from_settings(settings).settings()


def code_digest(lib: str | Path) -> str:
    """SHA-256, 64 hex digits, of the code that measures and shows: tables are made again by another version of it.

    By content, so that a checkout, which touches every file, changes nothing. Weights and pictures have versions of
    their own, `TRAINING_VERSION` and `RECIPE_VERSION`: they cost too much for a changed comment.
    """
    digest = hashlib.sha256()
    for package in ("feature_vis", "transfer"):
        for file in sorted(Path(lib, package).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(lib).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


class Plan:
    """All that the rules ask of a checked config.

    `counts`: how many channels each layer has, for who knows it already; else a process of its own counts them.
    """

    def __init__(self, config: Config, counts: Mapping[str, int] | None = None) -> None:
        self.config = config
        self._counts = counts
        self.seed: int = config.get("seed", 0)
        self.results = Path(config.get("results", "results"))
        self.base: str = config.get("base", "base")
        self.networks: list[str] = list(config["networks"])
        self.tuned = [name for name in self.networks if name != self.base]
        self.trained = [name for name in self.networks if "training" in config["networks"][name]]
        self.loaded = [name for name in self.networks if name not in self.trained]
        self.drawn = [name for name, data in config.get("data", {}).items() if "draw" in data]
        self.layers: list[str] = list(config["visualize"]["layers"])
        self.threads: int = config.get("threads", 8)
        self.gpu: int = config.get("gpu", 1)
        self.seeds = range(config.get("seeds", 4))
        self.filmed = [name for name in self.tuned if name in self.trained and "film" in config]
        self.controls: dict[str, str] = {
            name: network["control_of"] for name, network in config["networks"].items() if "control_of" in network
        }
        self.embedder: dict[str, str] = config.get("compare", {}).get("embedder", {"network": self.base})
        self.channels = self._all_channels()
        self.film_channels = self._film_channels()

    def architecture(self, network: str) -> str:
        """The torchvision name of a network, its own or that of the network it starts from."""
        return architecture(self.config, network)

    def starts_from(self, network: str) -> str | None:
        """The other network whose weights it starts from, if any."""
        weights = self.config["networks"][network].get("weights")
        return weights if weights in self.config["networks"] else None

    def training(self, network: str) -> dict[str, Any]:
        """The training settings of a network, seed included."""
        return {"seed": self.seed, **self.config["networks"][network]["training"]}

    def epochs(self, network: str) -> int:
        return int(self.config["networks"][network]["training"]["epochs"])

    def recipe(self, layer: str, channel: int | None = None) -> dict[str, Any]:
        """The recipe's settings for a layer, or for one of its channels: general, then layer's, then channel's."""
        return recipe_settings(self.config, layer, channel)

    def recipes(self, layer: str, channels: tuple[int, ...]) -> dict[str, Any]:
        """What a batch needs: the layer's recipe, and those of its channels that differ from it."""
        own = {str(channel): self.recipe(layer, channel) for channel in channels if channel in self._overrides(layer)}
        return {"layer": self.recipe(layer), "channels": own}

    def batches(self) -> dict[tuple[int, ...], list[str]]:
        """Each distinct batch of channels with the layers that have it; they share one rule."""
        shared: dict[tuple[int, ...], list[str]] = {}
        for layer in self.layers:
            for batch in batches(self.channels[layer], self.config["visualize"].get("batch", 64)):
                shared.setdefault(batch, []).append(layer)
        return shared

    def film_epochs(self, network: str) -> list[int]:
        """The epochs of a network's film, in order; those beyond its training are left out."""
        wanted, trained = self.config["film"].get("epochs", "all"), range(self.epochs(network))
        return [epoch for epoch in trained if wanted == "all" or epoch in wanted]

    def film(self, network: str) -> dict[str, Any]:
        """What an epoch of a network's film needs: which channels, how they are rendered and on what probed."""
        return {
            "architecture": self.architecture(network),
            "channels": self.film_channels,
            "seeds": list(self.seeds[: self.config["film"].get("seeds")]),
            "recipes": {layer: self.recipes(layer, tuple(self.channels[layer])) for layer in self.film_channels},
            "probe": self.probe(network),
        }

    def probe_data(self, network: str) -> list[str]:
        """The data sets whose validation pictures probe a fine-tuned network and the base: those they learned from."""
        data = [self.config["networks"][name].get("data") for name in (self.base, network)]
        return [name for name in dict.fromkeys(data) if name is not None]

    def probe(self, network: str) -> dict[str, Any]:
        """How a fine-tuned network's units are compared with the base's: on which pictures, prepared how."""
        trained = next((name for name in (network, self.base) if name in self.trained), None)
        training = self.config["networks"][trained]["training"] if trained is not None else {}
        return {
            "roots": {name: self.config["data"][name]["root"] for name in self.probe_data(network)},
            "size": training.get("size", 224),
            "resize": training.get("resize"),
            "top_images": self.config.get("compare", {}).get("top_images", 9),
            "train_from": self._kept_from(network),
        }

    def _kept_from(self, network: str) -> str | None:
        """The first module in which a network may differ from the base; None where any may."""
        settings = self.config["networks"][network]
        if settings.get("weights") != self.base or "training" not in settings:
            return None
        return settings["training"].get("train_from")

    def embedder_in_words(self) -> str:
        """What the report says of the network that embeds pictures: no neutral judge where it is one under test."""
        network = self.embedder.get("network")
        if network is None:
            return f"{self.embedder['model']} with the weights {self.embedder['weights']}"
        return f"{network}, itself one of the networks under test"

    def summary(self, network: str) -> dict[str, str]:
        """What the report says of a network's origin."""
        settings = self.config["networks"][network]
        origin = {"name": network, "architecture": self.architecture(network)}
        return {**origin, "weights": settings.get("weights") or "random start", "data": settings.get("data", "")}

    def tile(self) -> int:
        """Pixels of a small picture's side on the page: smaller ones in large runs, to keep the page's folder small."""
        pictures = len(self.networks) * sum(len(channels) for channels in self.channels.values())
        return 64 if pictures > 4096 else 96

    def _overrides(self, layer: str) -> dict[int, dict[str, Any]]:
        return overrides(self.config, layer)

    def _all_channels(self) -> dict[str, list[int]]:
        layers = self.config["visualize"]["layers"]
        counts = self._channel_counts() if self._counts is None else self._counts
        channels, problems = {}, []
        for layer, settings in layers.items():
            try:
                channels[layer] = parse_channels(settings["channels"], counts.get(layer))
            except InputError as error:
                problems.append(f"  - visualize.layers.{layer}: {error}")
                continue
            strangers = sorted(set(self._overrides(layer)) - set(channels[layer]))
            if strangers:
                problems.append(f"  - visualize.layers.{layer}.overrides: channel {strangers} is not rendered")
        if problems:
            raise InputError("the config cannot be followed:\n" + "\n".join(problems))
        return channels

    def _film_channels(self) -> dict[str, int | list[int]]:
        """For each layer of the film its channels, or how many of the most changed."""
        if "film" not in self.config:
            return {}
        wanted = self.config["film"].get("channels", 16)
        if isinstance(wanted, int):
            return {layer: min(wanted, len(self.channels[layer])) for layer in self.layers}
        found: dict[str, int | list[int]] = {}
        problems = []
        for layer, spec in wanted.items():
            rendered = self.channels[layer]
            found[layer] = chosen = rendered if spec == "all" else parse_channels(spec, None)
            if strangers := [channel for channel in chosen if channel not in rendered]:
                problems.append(f"  - film.channels.{layer}: channel {strangers} is not rendered")
        if problems:
            raise InputError("the config cannot be followed:\n" + "\n".join(problems))
        return found

    def _channel_counts(self) -> dict[str, int]:
        """How many channels each layer has, asked of torch in a process of its own, once for a config.

        Empty where torch is not installed beside the workflow (each rule may have an environment of its own).
        """
        sizes = {layer: Recipe.from_settings(self.recipe(layer)).shape for layer in self.layers}
        question = json.dumps({"model": self.architecture(self.base), "sizes": sizes}, sort_keys=True)
        cache = self.results / ".cache" / f"channels-{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"
        with contextlib.suppress(OSError, ValueError):  # not there yet, or no longer whole: asked again
            return json.loads(cache.read_text(encoding="utf-8"))
        command = [sys.executable, "-m", "transfer.count_channels"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        answer = subprocess.run(command, input=question, env=environment, capture_output=True, text=True, check=False)
        if answer.returncode == 3:
            raise InputError("the config cannot be followed:\n" + answer.stdout.rstrip())
        if answer.returncode == 4:
            return {}
        if answer.returncode != 0:
            raise RuntimeError(f"counting channels failed:\n{answer.stderr}")
        with contextlib.suppress(OSError):  # a results folder that cannot be written can still be looked at
            write_text(cache, answer.stdout)
        return json.loads(answer.stdout)
