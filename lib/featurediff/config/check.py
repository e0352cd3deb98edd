"""Everything about a config that is wrong by itself: what the schema forbids, and names that lead nowhere."""

import copy
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from featurediff.config.expand import plain
from featurediff.config.file import Mistake
from featurediff.config.words import did_you_mean, in_plain_words, without_unusable_values
from featurediff.training.settings import PACE, training_problems

__all__ = ["find_mistakes", "sound_part"]

Config = dict[str, Any]

# Folders of the results that belong to no network.
_OWN_FOLDERS = frozenset({"benchmarks", "compare", "data", "logs", "plots", "report"})


def find_mistakes(config: Config, schema_file: str | Path) -> list[Mistake]:
    """All that the schema forbids, and the names in what it allows that no part of the config defines."""
    usable, mistakes = without_unusable_values(config)
    unusable = {mistake.path for mistake in mistakes}
    schema = Path(schema_file)
    mistakes += [mistake for mistake in _against(_validator(schema), usable) if mistake.path not in unusable]
    wrong = [mistake.path for mistake in mistakes]
    if any(path in ((), ("networks",), ("data",)) or path[0] == "experiments" for path in wrong):
        return mistakes
    spelled = plain(_without(config, wrong))
    swept = [name for name, origin in spelled.origins.items() if origin != ("networks", name)]
    # what a sweep or an experiment makes must be a network that might have been written
    made = {"networks": {name: spelled.config["networks"][name] for name in swept}}
    found = _against(_validator(schema, partly=True), made) if made["networks"] else []
    found += _dangling(spelled.config)
    others = [spelled.as_written(mistake) for mistake in found]
    # what is said of a whole may be the fault of a part that is wrong already
    others = [other for other in others if not any(path[: len(other.path)] == other.path for path in wrong)]
    return list(dict.fromkeys(mistakes + spelled.mistakes + others))


@cache
def _validator(schema_file: Path, *, partly: bool = False) -> jsonschema.Draft202012Validator:
    """Of a whole config, or of a part of it that lacks others."""
    schema = yaml.safe_load(schema_file.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator({**schema, "required": []} if partly else schema)


def _against(validator: jsonschema.Draft202012Validator, config: Config) -> list[Mistake]:
    errors = sorted(validator.iter_errors(config), key=lambda error: [str(part) for part in error.absolute_path])
    return [mistake for error in errors for mistake in in_plain_words(error)]


def sound_part(config: Config, mistakes: Sequence[Mistake]) -> Config:
    """A copy without what is wrong, in which networks, data sets and layers can be asked for."""
    rest = _without(config, [mistake.path for mistake in mistakes])
    return {"networks": {}, "data": {}, "visualize": {}, **rest}


def _without(config: Config, paths: list[tuple[str, ...]]) -> Config:
    """A copy without the values at these paths; networks and data sets stay by their names, and are empty."""
    pruned = copy.deepcopy(config)
    for path in sorted(paths, key=len, reverse=True):
        parent: Any = pruned
        for depth, name in enumerate(path, start=1):
            found = [key for key in parent if str(key) == name]
            if not found:
                break
            key = found[0]
            if depth < len(path) and isinstance(parent[key], dict):
                parent = parent[key]
                continue
            # the value itself, or the list that it is an item of
            if depth == 2 and path[0] in ("networks", "data") and isinstance(key, str):
                parent[key] = {}
            else:
                del parent[key]
            break
    return pruned


def _dangling(config: Config) -> Iterator[Mistake]:
    """Names in a valid config that no other part of it defines."""
    networks, data = config["networks"], config.get("data", {})
    for name in _OWN_FOLDERS & set(networks):
        yield Mistake(("networks", name), f"networks.{name}: the results have a folder of that name: choose another")
    base = config.get("base", "base")
    if base not in networks:
        yield Mistake(("base",), f"base: there is no network {base!r}{did_you_mean(base, list(networks))}")
    for name, network in networks.items():
        for key, text in _dangling_of_network(name, network, networks, data):
            path = ("networks", name, key) if key else ("networks", name)
            yield Mistake(path, f"{'.'.join(path)}: {text}")
    for name, network in networks.items():
        for key, text in training_problems(network.get("training", {})):
            yield Mistake(("networks", name, "training", key), f"networks.{name}.training.{key}: {text}")
    yield from _film_problems(config)
    yield from _control_problems(config)
    yield from _probe_problems(config)
    embedder = config.get("compare", {}).get("embedder", {})
    path = ("compare", "embedder")
    if "network" in embedder and embedder["network"] not in networks:
        yield Mistake((*path, "network"), f"compare.embedder.network: there is no network {embedder['network']!r}")
    if ("model" in embedder) != ("weights" in embedder):
        yield Mistake(path, "compare.embedder: model and weights go together")
    if "network" in embedder and "model" in embedder:
        yield Mistake(path, "compare.embedder: either network, or model and weights")


def _dangling_of_network(name: str, network: Config, networks: Config, data: Config) -> Iterator[tuple[str, str]]:
    """The key, empty for the network as a whole, and what is wrong with it."""
    if "training" in network and "data" not in network:
        yield "", "training needs data"
    if "data" in network and network["data"] not in data:
        yield "data", f"there is no data set {network['data']!r}{did_you_mean(network['data'], list(data))}"
    elif "training" in network and "data" in network and data[network["data"]].get("format") == "unlabelled":
        yield "data", f"{network['data']} has no classes to train on: an unlabelled data set can only probe"
    if "training" not in network and network.get("weights") is None:
        yield "", "has neither weights nor training"
    if network.get("weights") not in networks and "model" not in network:
        hint = f", not {network['weights']!r}" if "weights" in network else ""
        yield "weights" if hint else "", f"needs a model, or as weights the name of a network above{hint}"
    epoch, trained = network.get("epoch"), network.get("training", {}).get("epochs")
    if isinstance(epoch, int) and trained is not None and epoch >= trained:
        yield "epoch", f"{trained} epochs are trained, 0 to {trained - 1}, not {epoch}"
    if network.get("weights") in networks and _circular(networks, name):
        yield "weights", f"{network['weights']} starts from {name} itself"


def _probe_problems(config: Config) -> Iterator[Mistake]:
    name, data = config.get("compare", {}).get("probe", {}).get("data"), config.get("data", {})
    if name is not None and name not in data:
        text = f"compare.probe.data: there is no data set {name!r}{did_you_mean(name, list(data))}"
        yield Mistake(("compare", "probe", "data"), text)


def _film_problems(config: Config) -> Iterator[Mistake]:
    film, seeds = config.get("film", {}), config.get("seeds", 4)
    layers = list(config.get("visualize", {}).get("layers", {}))
    if isinstance(named := film.get("channels"), dict):
        for layer in (name for name in named if name not in layers):
            text = f"film.channels: {layer} is not among visualize.layers{did_you_mean(layer, layers)}"
            yield Mistake(("film", "channels", layer), text)
    if film.get("seeds", 1) > seeds:
        yield Mistake(("film", "seeds"), f"film.seeds: {film['seeds']} is more than seeds, {seeds}")
    if isinstance(epochs := film.get("epochs"), list):
        for name, network in config["networks"].items():
            trained = network.get("training", {}).get("epochs")
            if name != config.get("base", "base") and trained is not None and min(epochs) >= trained:
                text = f"film.epochs: none of them is an epoch of {name}, 0 to {trained - 1}"
                yield Mistake(("film", "epochs"), text)


def _control_problems(config: Config) -> Iterator[Mistake]:
    for name, network in config["networks"].items():
        model = network.get("control_of")
        text = None if model is None else _control_problem(config, name, model)
        if text is not None:
            yield Mistake(("networks", name, "control_of"), f"networks.{name}.control_of: {text}")


def _control_problem(config: Config, name: str, model: str) -> str | None:
    """Why `name` cannot be a second run of `model`'s training."""
    networks, base = config["networks"], config.get("base", "base")
    if model not in networks:
        return f"there is no network {model!r}{did_you_mean(model, list(networks))}"
    if model == name or base in (model, name):
        return f"two fine-tuned networks are compared, not {name} and {model}"
    run, other = (
        {**networks[one], "training": {k: v for k, v in networks[one].get("training", {}).items() if k not in PACE}}
        for one in (name, model)
    )
    seeds = [each["training"].pop("seed", config.get("seed", 0)) for each in (run, other)]
    if any(run.get(key) != other.get(key) for key in ("weights", "data", "training")):
        return f"{name} and {model} must have the same weights, data and training, but for its seed"
    if seeds[0] == seeds[1]:
        return f"{name} is trained just as {model} is: give its training a seed of its own"
    return None


def _circular(networks: Config, name: str) -> bool:
    seen, current = set(), name
    while current in networks:
        if current in seen:
            return True
        seen.add(current)
        current = networks[current].get("weights")
    return False
