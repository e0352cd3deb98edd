"""From the config to what has to be made: networks, layers, channels, batches. No torch here.

The workflow reads this module while it builds its graph; it must stay quick to import.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feature_vis.networks.user_module import source_digest
from feature_vis.recipe import Recipe
from featurediff.rendering.channels import parse_channels
from featurediff.rendering.paths import picture_paths
from featurediff.training.settings import TrainingSettings

__all__ = [
    "Plan",
    "architecture",
    "batches",
    "overrides",
    "recipe_settings",
]

Config = dict[str, Any]


def batches(channels: list[int], size: int) -> list[tuple[int, ...]]:
    """Consecutive channels, `size` a batch; the last may be shorter."""
    return [tuple(channels[first : first + size]) for first in range(0, len(channels), size)]


def architecture(networks: Mapping[str, Config], name: str) -> str | None:
    """The name of a network's architecture, its own or that of the network it starts from; None where none is named."""
    for _ in networks:  # no longer than there are networks: they may lead in a circle
        network = networks.get(name, {})
        if "model" in network:
            return str(network["model"])
        name = network.get("weights", "")
    return None


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


def _with_source(model: dict[str, str]) -> dict[str, str]:
    """Beside a model of the user's own, the digest of its source."""
    source = source_digest(model.get("model", ""))
    return {**model, "source": source} if source else model


class Plan:
    """All that the rules ask of a config in which no mistake was found (`featurediff.config.examination.make_plan`).

    Its networks are plain ones (`featurediff.config.expand`). `counts`: how many channels each layer has; only
    `channels: all` needs it.
    """

    def __init__(self, config: Config, counts: Mapping[str, int] | None = None) -> None:
        self.config = config
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
        self.gpu: int = 0 if config.get("gpu") == 0 else 1
        self.seeds = range(config.get("seeds", 4))
        self.filmed = [name for name in self.tuned if name in self.trained and "film" in config]
        self.controls: dict[str, str] = {
            name: network["control_of"] for name, network in config["networks"].items() if "control_of" in network
        }
        self.embedder: dict[str, str] = _with_source(config.get("compare", {}).get("embedder", {"network": self.base}))
        self._batch: int = config["visualize"].get("batch", 64)
        self.channels = self._all_channels(counts or {})
        self.picture_count = len(self.networks) * sum(map(len, self.channels.values()))  # of one seed
        self.film_channels = self._film_channels()

    def architecture(self, network: str) -> str:
        """The name of a network's architecture, its own or that of the network it starts from."""
        named = architecture(self.config["networks"], network)
        assert named is not None, "the config was checked"
        return named

    def model(self, network: str) -> dict[str, str]:
        """A parameter of all that builds a network: what is made of the user's own changes with its source."""
        return _with_source({"model": self.architecture(network)})

    def starts_from(self, network: str) -> str | None:
        """The other network whose weights it starts from, if any."""
        weights = self.config["networks"][network].get("weights")
        return weights if weights in self.config["networks"] else None

    def data(self, name: str) -> dict[str, Any]:
        """A data set's settings, seed included, as `featurediff.data.split.make_split` takes them."""
        return {key: value for key, value in self.config["data"][name].items() if key != "draw"} | {"seed": self.seed}

    def training(self, network: str) -> dict[str, Any]:
        """The training settings of a network, seed included, without its threads."""
        given = {
            name: value for name, value in self.config["networks"][network]["training"].items() if name != "threads"
        }
        return {"seed": self.seed, **given}

    def training_threads(self, network: str) -> int:
        """CPU threads of a network's training."""
        return int(self.config["networks"][network]["training"].get("threads", self.threads))

    def training_memory(self, network: str) -> int:
        """10^6 bytes that a network's training takes, its cache of pictures included."""
        return 7000 + TrainingSettings.from_settings(self.training(network)).cache_mb

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
            for batch in batches(self.channels[layer], self._batch):
                shared.setdefault(batch, []).append(layer)
        return shared

    def pictures(self) -> Iterator[str]:
        """The path of every picture: of every network, layer, seed and channel."""
        for network in self.networks:
            for layer in self.layers:
                yield from picture_paths(self.results / network / "pictures" / layer, self.channels[layer], self.seeds)

    def leads(self, layer: str) -> list[int]:
        """Some of a layer's channels, at least one of every batch: whoever has these has had every batch's job run.

        The same ones for every batch size from 16 on, so that another size changes nobody's input.
        """
        channels = self.channels[layer]
        return sorted({*channels[:: 16 if self._batch >= 16 else 1], channels[-1]})

    def film_epochs(self, network: str) -> list[int]:
        """The epochs of a network's film, in order; those beyond its training are left out."""
        wanted, trained = self.config["film"].get("epochs", "all"), range(self.epochs(network))
        return [epoch for epoch in trained if wanted == "all" or epoch in wanted]

    def film(self, network: str) -> dict[str, Any]:
        """What an epoch of a network's film needs: which channels, and how they are rendered."""
        return {
            "architecture": self.architecture(network),
            **{key: value for key, value in self.model(network).items() if key == "source"},
            "channels": self.film_channels,
            "seeds": list(self.seeds[: self.config["film"].get("seeds")]),
            "recipes": {layer: self.recipes(layer, tuple(self.channels[layer])) for layer in self.film_channels},
        }

    def probe_data(self, network: str) -> list[str]:
        """The data sets whose pictures probe a network and the base: the config's, else those they learned from."""
        if "probe" in self.config.get("compare", {}):
            return [self.config["compare"]["probe"]["data"]]
        data = [self.config["networks"][name].get("data") for name in (self.base, network)]
        return [name for name in dict.fromkeys(data) if name is not None]

    def probe(self, network: str) -> dict[str, Any]:
        """On which photographs a fine-tuned network is compared with the base, and how they are prepared."""
        trained = next((name for name in (network, self.base) if name in self.trained), None)
        training = self.config["networks"][trained]["training"] if trained is not None else {}
        shown = self.config.get("compare", {}).get("probe", training)
        roots = {name: self.config["data"][name]["root"] for name in self.probe_data(network)}
        return {"roots": roots, "size": shown.get("size", 224), "resize": shown.get("resize")}

    def changes_from(self, network: str) -> str | None:
        """The first module in which a network may differ from the base; None where any may."""
        settings = self.config["networks"][network]
        if settings.get("weights") != self.base or "training" not in settings:
            return None
        training = settings["training"]
        return None if training.get("frozen_statistics") == "moving" else training.get("train_from")

    def _overrides(self, layer: str) -> dict[int, dict[str, Any]]:
        return overrides(self.config, layer)

    def _all_channels(self, counts: Mapping[str, int]) -> dict[str, list[int]]:
        layers = self.config["visualize"]["layers"]
        return {layer: parse_channels(settings["channels"], counts.get(layer)) for layer, settings in layers.items()}

    def _film_channels(self) -> dict[str, int | list[int]]:
        """For each layer of the film its channels, or how many of the most changed."""
        if "film" not in self.config:
            return {}
        wanted = self.config["film"].get("channels", 16)
        if isinstance(wanted, int):
            return {layer: min(wanted, len(self.channels[layer])) for layer in self.layers}
        return {
            layer: self.channels[layer] if spec == "all" else parse_channels(spec, None)
            for layer, spec in wanted.items()
        }
