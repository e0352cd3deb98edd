"""From the config to what has to be made: networks, layers, channels, batches. No torch here.

The workflow reads this module while it builds its graph; it must stay quick to import.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feature_vis.networks.user_module import source_digest
from featurediff.config.expand import architecture
from featurediff.config.file import Config
from featurediff.rendering.channels import parse_channels
from featurediff.rendering.paths import picture_paths
from featurediff.training.settings import TrainingSettings

__all__ = ["Plan"]


class Plan:
    """All that the rules ask of an expanded config in which no mistake was found (`validation.make_plan`).

    `counts`: how many channels each layer has; only `channels: all` needs it.
    """

    def __init__(self, config: Config, counts: Mapping[str, int] | None = None) -> None:
        networks, visualize = config["networks"], config["visualize"]
        self.config = config
        self.seed: int = config["seed"]
        self.seeds = range(config["seeds"])
        self.results = Path(config["results"])
        self.threads: int = config["threads"]
        self.gpu = 0 if config["gpu"] == 0 else 1

        self.base: str = config["base"]
        self.networks: list[str] = list(networks)
        self.tuned = [name for name in networks if name != self.base]
        self.trained = [name for name in networks if "training" in networks[name]]
        self.loaded = [name for name in networks if name not in self.trained]
        self.differences = self.tuned if config["difference"]["starts"] else []
        self.filmed = [name for name in self.tuned if name in self.trained and "film" in config]
        self.controls: dict[str, str] = {
            name: network["control_of"] for name, network in networks.items() if "control_of" in network
        }
        self.drawn = [name for name, data in config["data"].items() if "draw" in data]
        self.embedder: dict[str, str] = _with_source(config["compare"].get("embedder", {"network": self.base}))

        self.layers: list[str] = list(visualize["layers"])
        self.channels = {
            layer: parse_channels(settings["channels"], (counts or {}).get(layer))
            for layer, settings in visualize["layers"].items()
        }
        self.batch_size: int = visualize["batch"]
        self.picture_count = len(networks) * sum(map(len, self.channels.values()))  # of one seed
        self.film_channels = self._film_channels()

    # --- networks and their training ---

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
        """The settings of a network's training; not its threads, or more of them would look like another training."""
        settings = self.config["networks"][network]["training"]
        return {name: value for name, value in settings.items() if name != "threads"}

    def training_threads(self, network: str) -> int:
        """CPU threads of a network's training."""
        return int(self.config["networks"][network]["training"]["threads"])

    def training_memory(self, network: str) -> int:
        """10^6 bytes that a network's training takes, its cache of pictures included."""
        return 7000 + int(self.training(network)["cache_mb"])

    def epochs(self, network: str) -> int:
        """How many epochs a network is trained for."""
        return int(self.training(network)["epochs"])

    # --- pictures ---

    def recipe(self, layer: str, channel: int | None = None) -> dict[str, Any]:
        """The recipe's settings for a layer, or for one of its channels."""
        settings = self.config["visualize"]["layers"][layer]
        return settings["overrides"].get(channel, settings["recipe"])

    def recipes(self, layer: str, channels: tuple[int, ...]) -> dict[str, Any]:
        """What a batch needs: the layer's recipe, and those of its channels that differ from it."""
        overrides = self.config["visualize"]["layers"][layer]["overrides"]
        own = {str(channel): overrides[channel] for channel in channels if channel in overrides}
        return {"layer": self.recipe(layer), "channels": own}

    def batches(self) -> dict[tuple[int, ...], list[str]]:
        """Each distinct batch of consecutive channels with the layers that have it; they share one rule."""
        shared: dict[tuple[int, ...], list[str]] = {}
        for layer, channels in self.channels.items():
            for first in range(0, len(channels), self.batch_size):
                shared.setdefault(tuple(channels[first : first + self.batch_size]), []).append(layer)
        return shared

    def pictures(self) -> Iterator[str]:
        """The path of every picture: of every network, layer, seed and channel."""
        for network in self.networks:
            for layer in self.layers:
                yield from picture_paths(self.results / network / "pictures" / layer, self.channels[layer], self.seeds)

    def leads(self, layer: str) -> list[int]:
        """Some of a layer's channels, at least one of every batch: whoever has these has had every batch's job run.

        They are the same for every batch size from 16 on, so that another size changes nobody's input.
        """
        channels = self.channels[layer]
        return sorted({*channels[:: 16 if self.batch_size >= 16 else 1], channels[-1]})

    # --- comparisons ---

    def probe_data(self, network: str) -> list[str]:
        """The data sets whose photographs probe a network and the base: the config's, else those they learned from."""
        if "probe" in self.config["compare"]:
            return [self.config["compare"]["probe"]["data"]]
        data = [self.config["networks"][name].get("data") for name in (self.base, network)]
        return [name for name in dict.fromkeys(data) if name is not None]

    def probe(self, network: str) -> dict[str, Any]:
        """On which photographs a fine-tuned network is compared with the base, and how they are prepared."""
        trained = next((name for name in (network, self.base) if name in self.trained), None)
        training = {} if trained is None else self.training(trained)
        shown = self.config["compare"].get("probe", training)
        roots = {name: self.config["data"][name]["root"] for name in self.probe_data(network)}
        return {"roots": roots, "size": shown.get("size", TrainingSettings.size), "resize": shown.get("resize")}

    def changes_from(self, network: str) -> str | None:
        """The first module in which a network may differ from the base; None where any may."""
        settings = self.config["networks"][network]
        if settings.get("weights") != self.base or "training" not in settings:
            return None
        training = settings["training"]
        return None if training["frozen_statistics"] == "moving" else training["train_from"]

    def difference(self) -> dict[str, Any]:
        """How the pictures of what a network and the base disagree about are rendered."""
        return {name: self.config["difference"][name] for name in ("starts", "recipe")} | {"seed": self.seed}

    # --- films ---

    def film_epochs(self, network: str) -> list[int]:
        """The epochs of a network's film, in order; those beyond its training are left out."""
        wanted = self.config["film"]["epochs"]
        return [epoch for epoch in range(self.epochs(network)) if wanted == "all" or epoch in wanted]

    def film(self, network: str) -> dict[str, Any]:
        """What an epoch of a network's film needs: which channels, and how they are rendered."""
        return {
            "architecture": self.architecture(network),
            **{key: value for key, value in self.model(network).items() if key == "source"},
            "channels": self.film_channels,
            "seeds": list(self.seeds[: self.config["film"].get("seeds")]),
            "recipes": {layer: self.recipes(layer, tuple(self.channels[layer])) for layer in self.film_channels},
        }

    def _film_channels(self) -> dict[str, int | list[int]]:
        """For each layer of the film its channels, or how many of the most changed."""
        if "film" not in self.config:
            return {}
        wanted = self.config["film"]["channels"]
        if isinstance(wanted, int):
            return {layer: min(wanted, len(channels)) for layer, channels in self.channels.items()}
        return {
            layer: self.channels[layer] if spec == "all" else parse_channels(spec, None)
            for layer, spec in wanted.items()
        }


def _with_source(model: dict[str, str]) -> dict[str, str]:
    """Beside a model of the user's own, the digest of its source."""
    source = source_digest(model.get("model", ""))
    return {**model, "source": source} if source else model
