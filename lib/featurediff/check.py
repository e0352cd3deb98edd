"""Everything that can be known to go wrong before a run, said at once.

Each examination yields mistakes with the keys of the config they belong to. Where the schema already refuses a part
of the config, the examinations leave that part alone and look at the rest.
"""

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from feature_vis.activations import layer_shapes
from feature_vis.errors import InputError
from feature_vis.models import build, cached_weights
from feature_vis.recipe import Recipe
from feature_vis.transforms import frame, resolve
from featurediff.estimate import estimate
from transfer.config_check import find_mistakes, without
from transfer.config_file import ConfigFile, Mistake, in_words, read_config
from transfer.dataset import make_split
from transfer.experiments import is_weights_name, plain
from transfer.network import load_weights
from transfer.plan import Config, Plan, architecture, overrides, parse_channels, recipe_settings
from transfer.published import compare_with_published
from transfer.settings import TrainingSettings
from transfer.training import freeze_before

__all__ = ["Examined", "check_run", "examine", "find_workflow"]


@dataclass
class Examined:
    """What was found on the way: networks by architecture, splits by data set, and what is worth a line."""

    networks: dict[str, nn.Module] = field(default_factory=dict)
    splits: dict[str, pd.DataFrame] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check_run(
    file: Path | None, directory: Path, *, workflow: Path | None, cores: int, quick: bool
) -> tuple[str, list[str]]:
    """Examine a config; returns all problems in words, empty where there are none, and what else is worth saying.

    `directory`: where snakemake will run. `quick`: neither decode every picture nor measure.

    Raises:
        InputError: a config that cannot be read at all, no checkout, or no directory.
    """
    schema = find_workflow(workflow) / "config" / "schema.yaml"
    if file is not None:
        file = Path(os.path.relpath(file, directory))
    if not directory.is_dir():
        raise InputError(f"there is no folder {directory}: `featurediff init {directory}` makes it")
    with chdir(directory):
        read = read_config(file or Path("config.yaml"))
        mistakes, found = examine(read, schema, decode=not quick)
        lines = [*found.notes, f"device: {_device_name()}"]
        if not mistakes:
            plan = Plan(plain(read.config, read.file.parent).config, found.counts)
            more, mistakes = estimate(plan, found.networks, found.splits, cores, measure=not quick)
            lines += more
    return in_words(mistakes, [read]), [f"{read.file}: {_headline(mistakes)}", *lines]


def find_workflow(given: Path | None) -> Path:
    """The checkout that holds the Snakefile and config/schema.yaml: given, the working folder, or around this file.

    Raises:
        InputError: there is none.
    """
    candidates = [given] if given is not None else [Path.cwd(), *Path.cwd().parents, Path(__file__).parents[2]]
    for folder in candidates:
        if (folder / "Snakefile").is_file() and (folder / "config" / "schema.yaml").is_file():
            return folder.resolve()
    raise InputError(
        f"{given or 'neither the working folder nor one above it'} holds the workflow (Snakefile, config/schema.yaml): "
        "an installed package has the library alone; name the checkout by --workflow"
    )


def examine(read: ConfigFile, schema: Path, *, decode: bool) -> tuple[list[Mistake], Examined]:
    """All mistakes, in the order of the file's lines, and what the examinations came to know."""
    mistakes = find_mistakes(read.config, schema)
    sound = without(read.config, [mistake.path for mistake in mistakes])
    spelled = plain({"networks": {}, "data": {}, "visualize": {}, **sound}, read.file.parent)
    sound, found = spelled.config, Examined()
    for examination in (_examine_networks, _examine_training, _examine_layers, _examine_results):
        mistakes += map(spelled.as_written, examination(sound, found))
    mistakes += read.mistakes
    mistakes += _examine_data(sound, found, decode)
    order = {mistake: _line(read, mistake) for mistake in mistakes}
    return sorted(dict.fromkeys(mistakes), key=lambda mistake: order[mistake]), found


def _line(read: ConfigFile, mistake: Mistake) -> int:
    known = (read.lines.get(mistake.path[:end]) for end in range(len(mistake.path), 0, -1))
    return next((line for line in known if line is not None), 0)


def _examine_networks(config: Config, found: Examined) -> Iterator[Mistake]:
    """Architectures and weights; a random start of each is kept for what only needs its shape."""
    places = [(("networks", name), settings) for name, settings in config["networks"].items()]
    places.append((("compare", "embedder"), config.get("compare", {}).get("embedder", {})))
    for path, settings in places:
        model = settings.get("model")
        if model is not None and model not in found.networks:
            try:
                found.networks[model] = build(model)
            except InputError as error:
                yield Mistake((*path, "model"), f"{'.'.join(path)}.model: {error}")
        weights = settings.get("weights")
        if weights is None or weights in config["networks"] or model not in found.networks:
            continue
        try:
            if is_weights_name(weights):
                if (file := cached_weights(model, weights)) is None:
                    found.notes.append(f"{'.'.join(path)}: timm will fetch {weights} from the hub, or from its cache")
                elif not file.exists():
                    found.notes.append(f"{'.'.join(path)}: torchvision will fetch {weights} to {file}")
            else:
                found.networks[model] = load_weights(model, weights, headless=path[-1] == "embedder").module()
        except InputError as error:
            names = f"; networks here: {', '.join(config['networks'])}" if is_weights_name(weights) else ""
            yield Mistake((*path, "weights"), f"{'.'.join(path)}.weights: {error}{names}")


def _network(config: Config, found: Examined, name: str) -> nn.Module | None:
    """Of the architecture of one of the config's networks; None where that is wrong already."""
    try:
        return found.networks.get(architecture(config, name))
    except KeyError:  # it starts from a network that is wrong itself
        return None


def _examine_training(config: Config, found: Examined) -> Iterator[Mistake]:
    """What a training would only stumble on once its data are read: modules, sizes, epochs."""
    for name, network in config["networks"].items():
        model = _network(config, found, name)
        if "epochs" not in network.get("training", {}) or model is None:
            continue
        path = ("networks", name, "training")
        settings = TrainingSettings.from_settings(network["training"])
        try:
            freeze_before(model, settings.train_from)
        except InputError as error:
            yield Mistake((*path, "train_from"), f"{'.'.join(path)}.{error}")
        for problem in layer_shapes(model, [""], (settings.size, settings.size))[1]:
            yield Mistake((*path, "size"), f"{'.'.join(path)}.size: {problem}")
        epoch = network.get("epoch", "best")
        if isinstance(epoch, int) and epoch >= settings.epochs:
            text = (
                f"networks.{name}.epoch: {settings.epochs} epochs are trained, 0 to {settings.epochs - 1}, not {epoch}"
            )
            yield Mistake(("networks", name, "epoch"), text)


def _examine_layers(config: Config, found: Examined) -> Iterator[Mistake]:
    """Layers, channels and picture sizes, in every network; the files that recipes name."""
    architectures = {architecture(config, name) for name in config["networks"] if _network(config, found, name)}
    for layer, settings in config["visualize"].get("layers", {}).items():
        path = ("visualize", "layers", layer)
        try:
            recipes = [
                Recipe.from_settings(recipe_settings(config, layer, k)) for k in (None, *overrides(config, layer))
            ]
            sizes = {
                size for recipe in recipes for size in (recipe.shape, frame(recipe.shape, resolve(recipe.transforms)))
            }
        except InputError as error:
            yield Mistake(path, f"{'.'.join(path)}: {error}")
            continue
        named = {getattr(recipe, key): key for recipe in recipes for key in ("statistics", "start")}
        for file, key in named.items():
            if file is not None and not Path(file).is_file():
                yield Mistake(path, f"{'.'.join(path)}: {key}: there is no file {file}")
        problems: dict[str, None] = {}
        for name in sorted(architectures):
            for size in sorted(sizes):
                shapes, wrong = layer_shapes(found.networks[name], [layer], size)
                problems |= dict.fromkeys(f"{name}: {line}" for line in wrong)
                if layer in shapes:
                    shape, axis = shapes[layer]
                    found.counts[layer] = shape[axis] if len(shape) > 1 else 0
        yield from (Mistake(path, f"{'.'.join(path)}: {problem}") for problem in problems)
        yield from _examine_channels(path, settings, overrides(config, layer), found.counts.get(layer))


def _examine_channels(
    path: tuple[str, ...], settings: Config, own: Collection[int], count: int | None
) -> Iterator[Mistake]:
    if count is None or "channels" not in settings:
        return
    try:
        channels = parse_channels(settings["channels"], count)
    except InputError as error:
        yield Mistake((*path, "channels"), f"{'.'.join(path)}.channels: {error}")
        return
    for channel in sorted(set(own) - set(channels)):
        here = (*path, "overrides", str(channel))
        yield Mistake(here, f"{'.'.join(here)}: channel {channel} is not rendered")


def _examine_results(config: Config, found: Examined) -> Iterator[Mistake]:
    """Whether the results folder can be written, and is none of the user's data."""
    results = Path(config.get("results", "results"))
    nearest = next(folder for folder in (results, *results.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):  # asks the file system itself, also as root
            pass
    except OSError as error:
        text = f"results: {nearest} cannot be written to ({error.strerror}): choose another folder"
        yield Mistake(("results",), text)
    for name, data in config["data"].items():
        if "root" in data and "draw" not in data and results.resolve().is_relative_to(Path(data["root"]).resolve()):
            text = (
                f"results: {results} lies inside the data set {name} ({data['root']}), whose pictures it would become"
            )
            yield Mistake(("results",), text)


def _examine_data(config: Config, found: Examined, decode: bool) -> Iterator[Mistake]:
    """Roots, formats, labels and, with `decode`, every picture."""
    for name, data in config["data"].items():
        if "draw" in data:
            found.notes.append(f"data {name}: drawn by the workflow")
        if "draw" in data or "root" not in data or "format" not in data:
            continue
        try:
            split, skipped = make_split(
                data["format"],
                data["root"],
                val_fraction=data.get("val_fraction", 0.2),
                seed=config.get("seed", 0),
                validation=data.get("validation", "seeded"),
                on_bad_image=data.get("on_bad_image", "error"),
                verify=decode,
                threads=min(4, os.cpu_count() or 1),
            )
        except InputError as error:
            yield Mistake(("data", name, "root"), f"data.{name}: {_indented(str(error))}")
            continue
        found.splits[name] = split
        parts = ", ".join(f"{count} {part}" for part, count in split["split"].value_counts().items())
        left_out = f"; {len(skipped)} files are left out" if len(skipped) else ""
        unread = "" if decode else "; not decoded"
        found.notes.append(f"data {name}: {split['label'].nunique()} classes, pictures: {parts}{left_out}{unread}")
        validation = data.get("validation", "seeded")
        found.notes += [f"data {name}: {line}" for line in compare_with_published(data["format"], split, validation)]


def _indented(text: str) -> str:
    return text.replace("\n", "\n      ")


def _headline(mistakes: list[Mistake]) -> str:
    if not mistakes:
        return "no problem was found"
    return "1 problem" if len(mistakes) == 1 else f"{len(mistakes)} problems"


def _device_name() -> str:
    if not torch.cuda.is_available():
        return "CPU, no GPU is seen"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)
