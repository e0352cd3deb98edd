"""Everything that is wrong with a config, said at once before anything runs. No torch here.

In this order: what the schema forbids, names that lead nowhere, folders and files, and, asked of a process that has
torch (`featurediff.config.network_check`), what does not fit the networks. A part that is wrong already is left out of
what comes after it.
"""

import copy
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from feature_vis.errors import InputError
from feature_vis.networks.names import is_weights_name
from featurediff.config.expand import Expanded, expand
from featurediff.config.file import Config, ConfigFile, Keys, Mistake, format_mistakes, mistake_at
from featurediff.config.network_check import Ask, ask_in_a_process, make_question
from featurediff.config.plan import Plan
from featurediff.config.schema import did_you_mean, read_schema, schema_mistakes, unusable_values, with_defaults
from featurediff.rendering.channels import parse_channels
from featurediff.training.settings import PACE, training_problems

__all__ = ["check_alone", "check_surroundings", "find_mistakes", "make_plan"]

# Folders of the results that belong to no network.
_OWN_FOLDERS = frozenset({"benchmarks", "compare", "data", "logs", "plots", "report"})

# More pictures than this are no experiment: snakemake would need many gigabytes to plan them.
_MOST_PICTURES = 2_000_000

Problems = Iterator[tuple[Keys, str]]  # the keys below a part of the config, and what is wrong there


def make_plan(config: Config, schema_file: str | Path, files: Sequence[ConfigFile] = (), *, first: bool = True) -> Plan:
    """The plan of a config in which no mistake was found.

    `files`: those it was read from, for the lines; a user's own module lies beside the last of them. `first`: False in
    the jobs of a workflow that was checked when it started; files may have gone meanwhile, and another machine may
    have no GPU.

    Raises:
        InputError: all mistakes.
    """
    mistakes, expanded = check_alone(config, schema_file, files[-1].file.parent if files else ".")
    ask = partial(ask_in_a_process, cache=Path(expanded.config["results"]) / ".cache")
    more, counts = check_surroundings(expanded, ask, first=first)
    mistakes += [*more, *(mistake for file in files for mistake in file.mistakes)]
    if mistakes:
        raise InputError("the config cannot be followed:\n" + format_mistakes(mistakes, files))
    return Plan(expanded.config, counts)


def find_mistakes(config: Config, schema_file: str | Path) -> list[Mistake]:
    """All that is wrong with a config by itself, without its files and networks."""
    return check_alone(config, schema_file)[0]


def check_alone(config: Config, schema_file: str | Path, folder: str | Path = ".") -> tuple[list[Mistake], Expanded]:
    """What is wrong with a config by itself, and its valid part, expanded; `folder` is where the config lies."""
    schema = read_schema(Path(schema_file))
    unusable = list(unusable_values(config))
    forbidden = schema_mistakes(_valid_part(config, unusable), schema)
    mistakes = [*unusable, *_not_caused_by(unusable, forbidden)]
    expanded = expand(_valid_part(config, [*unusable, *forbidden]), schema, folder)
    found: list[Mistake] = []
    if not any(_hides_names(mistake.path) for mistake in mistakes):
        made = {name: expanded.config["networks"][name] for name, keys in expanded.origins.items() if keys[1] != name}
        found += schema_mistakes({"networks": made}, schema, partial=True) if made else []
        found += _name_mistakes(expanded.config)
    valid = with_defaults(_valid_part(expanded.config, found), schema)
    others = _not_caused_by(mistakes, [expanded.where_written(mistake) for mistake in found])
    return [*mistakes, *expanded.mistakes, *others], replace(expanded, config=valid)


def check_surroundings(expanded: Expanded, ask: Ask, *, first: bool = True) -> tuple[list[Mistake], dict[str, int]]:
    """What of a valid config does not fit its files and networks, and how many channels each layer has, as far as
    that is known; for `first` see `make_plan`.
    """
    config = expanded.config
    mistakes = [*_nested_folders(config), *_absent_files(config)] if first else []
    question = make_question(config if first or config["gpu"] != "required" else {**config, "gpu": 1})
    answered = ask(question) or {"no_gpu": "", "mistakes": [], "counts": {}}
    if answered["no_gpu"]:
        text = f"required, but {answered['no_gpu']}: write 1, which does without one where there is none"
        mistakes.append(mistake_at(("gpu",), text))
    mistakes += [Mistake(tuple(path), text) for path, text in answered["mistakes"]]
    mistakes += _channel_mistakes(config, answered["counts"])
    return [expanded.where_written(mistake) for mistake in mistakes], answered["counts"]


# --- parts ---


def _valid_part(config: Config, mistakes: Collection[Mistake]) -> Config:
    """A copy without the values that are wrong; networks, data sets and experiments stay, and are empty."""
    valid = copy.deepcopy(config)
    for path in sorted((mistake.path for mistake in mistakes), key=len, reverse=True):
        parent: Any = valid
        for depth, name in enumerate(path, start=1):
            key = int(name) if isinstance(parent, list) else next((key for key in parent if str(key) == name), None)
            if key is None:
                break
            if depth < len(path) and (isinstance(parent[key], dict) or path[:depth] == ("experiments",)):
                parent = parent[key]
                continue
            # the value itself, or the list that it is an item of
            if (path[0], depth) in _KEPT and (isinstance(key, str) or parent is valid.get("experiments")):
                parent[key] = {}
            else:
                del parent[key]
            break
    return valid


# Where parts stand by their names, to which others refer, and how deep.
_KEPT = {("networks", 2), ("data", 2), ("experiments", 2), ("experiments", 4)}


def _not_caused_by(wrong: Collection[Mistake], mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Those mistakes of a whole that are not the fault of a part of it that is wrong already."""
    return [
        mistake
        for mistake in dict.fromkeys(mistakes)
        if not any(each.path[: len(mistake.path)] == mistake.path for each in wrong)
    ]


def _hides_names(path: Keys) -> bool:
    """Whether names may be missing because of what is wrong here."""
    return path in ((), ("networks",), ("data",)) or (path[0] == "experiments" and len(path) < 5)


# --- names ---


def _name_mistakes(config: Config) -> Iterator[Mistake]:
    """Names in a valid config that no other part of it defines, and settings that do not go together."""
    networks, base = config["networks"], config["base"]
    if base not in networks:
        yield mistake_at(("base",), f"there is no network {base!r}{did_you_mean(base, list(networks))}")
    for name in networks:
        for check in (_network_problems, _control_problems):
            yield from (mistake_at(("networks", name, *keys), text) for keys, text in check(config, name))
    yield from (mistake_at(("film", *keys), text) for keys, text in _film_problems(config))
    compare = config["compare"]
    if (data := compare.get("probe", {}).get("data")) is not None and data not in config["data"]:
        text = f"there is no data set {data!r}{did_you_mean(data, list(config['data']))}"
        yield mistake_at(("compare", "probe", "data"), text)
    embedder, path = compare.get("embedder", {}), ("compare", "embedder")
    if "network" in embedder and embedder["network"] not in networks:
        yield mistake_at((*path, "network"), f"there is no network {embedder['network']!r}")
    if ("model" in embedder) != ("weights" in embedder):
        yield mistake_at(path, "model and weights go together")
    if "network" in embedder and "model" in embedder:
        yield mistake_at(path, "either network, or model and weights")


def _network_problems(config: Config, name: str) -> Problems:
    networks, data, network = config["networks"], config["data"], config["networks"][name]
    weights, named = network.get("weights"), network.get("data")
    training, epoch = network.get("training"), network["epoch"]
    if name in _OWN_FOLDERS:
        yield (), "the results have a folder of that name: choose another"
    if training is not None and named is None:
        yield (), "training needs data"
    if named is not None and named not in data:
        yield ("data",), f"there is no data set {named!r}{did_you_mean(named, list(data))}"
    elif training is not None and named is not None and data[named].get("format") == "unlabelled":
        yield ("data",), f"{named} has no classes to train on: an unlabelled data set can only probe"
    if training is None and weights is None:
        yield (), "has neither weights nor training"
    if weights not in networks and "model" not in network:
        hint = f", not {weights!r}" if "weights" in network else ""
        yield ("weights",) if hint else (), f"needs a model, or as weights the name of a network above{hint}"
    if weights in networks and _starts_from_itself(networks, name):
        yield ("weights",), f"{weights} starts from {name} itself"
    if training is not None and "epochs" in training:
        epochs = training["epochs"]
        if isinstance(epoch, int) and epoch >= epochs:
            yield ("epoch",), f"{epochs} epochs are trained, 0 to {epochs - 1}, not {epoch}"
        yield from ((("training", key), text) for key, text in training_problems(training))


def _starts_from_itself(networks: Mapping[str, Config], name: str) -> bool:
    seen: set[str] = set()
    while name in networks and name not in seen:
        seen.add(name)
        name = networks[name].get("weights") or ""
    return name in seen


def _control_problems(config: Config, name: str) -> Problems:
    """Why a network cannot be a second run of the training of its `control_of`."""
    networks = config["networks"]
    if (other := networks[name].get("control_of")) is None:
        return
    if other not in networks:
        yield ("control_of",), f"there is no network {other!r}{did_you_mean(other, list(networks))}"
    elif other == name or config["base"] in (other, name):
        yield ("control_of",), f"two fine-tuned networks are compared, not {name} and {other}"
    else:
        first, second = (dict(networks[run].get("training", {})) for run in (name, other))
        seeds = first.pop("seed", None), second.pop("seed", None)
        first, second = ({k: v for k, v in each.items() if k not in PACE} for each in (first, second))
        if first != second or any(networks[name].get(key) != networks[other].get(key) for key in ("weights", "data")):
            text = f"{name} and {other} must have the same weights, data and training, but for its seed"
            yield ("control_of",), text
        elif seeds[0] == seeds[1]:
            yield ("control_of",), f"{name} is trained just as {other} is: give its training a seed of its own"


def _film_problems(config: Config) -> Problems:
    film, layers = config.get("film", {}), list(config["visualize"]["layers"])
    for layer in named if isinstance(named := film.get("channels"), dict) else ():
        if layer not in layers:
            yield ("channels", layer), f"{layer} is not among visualize.layers{did_you_mean(layer, layers)}"
    if film.get("seeds", 1) > config["seeds"]:
        yield ("seeds",), f"{film['seeds']} is more than seeds, {config['seeds']}"
    for name, network in config["networks"].items() if isinstance(epochs := film.get("epochs"), list) else ():
        trained = network.get("training", {}).get("epochs")
        if name != config["base"] and trained is not None and min(epochs) >= trained:
            yield ("epochs",), f"none of them is an epoch of {name}, 0 to {trained - 1}"


# --- folders and files ---


def _nested_folders(config: Config) -> Iterator[Mistake]:
    """Results among the pictures would become pictures, pictures among the results might be deleted with them."""
    results = config["results"]
    for name, data in config["data"].items():
        root = data.get("root")
        if root is None:
            continue
        if _within(results, root):
            text = f"{results} lies inside the data set {name} ({root}), whose pictures it would become"
            yield mistake_at(("results",), text)
        elif _within(root, results) and "draw" not in data:  # what the workflow draws is a result, too
            text = f"{root} lies inside {results}, where the results may be deleted and made again"
            text += ": move the pictures, or name another folder for the results"
            yield mistake_at(("data", name, "root"), text)


def _within(inner: str, outer: str) -> bool:
    """Whether a folder is another, or lies in it, when all links are followed."""
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer))


def _absent_files(config: Config) -> Iterator[Mistake]:
    """What a run might look for after hours only. Weights that an earlier run has read may be gone.

    Not the data: they are the first thing that is read, and a run can be planned before they are there.
    """
    results, networks, layers = Path(config["results"]), config["networks"], config["visualize"]["layers"]
    named: list[tuple[Keys, Any]] = [
        (("networks", name, "weights"), network.get("weights"))
        for name, network in networks.items()
        if not (results / name / "network.pth").exists()
    ]
    named.append((("compare", "embedder", "weights"), config["compare"].get("embedder", {}).get("weights")))
    files = [(path, file) for path, file in named if file not in networks and not is_weights_name(file or "NONE")]
    rendered: dict[Keys, Any] = {("visualize", "layers", layer): each for layer, each in layers.items()}
    rendered["difference",] = config["difference"]
    for place, settings in rendered.items():
        for recipe in (settings["recipe"], *settings.get("overrides", {}).values()) if "recipe" in settings else ():
            files += [(place, recipe[key]) for key in ("statistics", "start")]
    for path, file in dict.fromkeys(files):
        if file is not None and not os.path.isfile(file):  # noqa: PTH113 (False, not an error, for a name too long)
            yield mistake_at(path, f"there is no file {file}")


# --- channels ---


def _channel_mistakes(config: Config, counts: Mapping[str, int]) -> Iterator[Mistake]:
    """Channels that a layer does not have, and settings of channels that are not rendered."""
    rendered: dict[str, Collection[int]] = {}
    for layer, settings in config["visualize"]["layers"].items():
        path = ("visualize", "layers", layer)
        if "channels" not in settings:
            continue
        try:
            rendered[layer] = parse_channels(settings["channels"], counts.get(layer))
        except InputError as error:
            yield mistake_at((*path, "channels"), str(error))
            continue
        for channel in sorted(set(settings["overrides"]) - set(rendered[layer])):
            yield mistake_at((*path, "overrides", str(channel)), f"channel {channel} is not rendered")
    pictures = len(config["networks"]) * config["seeds"] * sum(map(len, rendered.values()))
    if pictures > _MOST_PICTURES:
        text = f"{pictures:,} pictures cannot be planned in one run: the most are {_MOST_PICTURES:,}"
        yield mistake_at(("visualize", "layers"), text)
    named = config.get("film", {}).get("channels")
    for layer, spec in named.items() if isinstance(named, dict) else ():
        if layer in rendered and spec != "all":
            try:
                not_rendered = sorted(set(parse_channels(spec, counts.get(layer))) - set(rendered[layer]))
            except InputError as error:
                yield mistake_at(("film", "channels", layer), str(error))
                continue
            if not_rendered:
                shown = ", ".join(map(str, not_rendered[:5])) + (", …" if len(not_rendered) > 5 else "")
                yield mistake_at(("film", "channels", layer), f"channel {shown} is not rendered")
