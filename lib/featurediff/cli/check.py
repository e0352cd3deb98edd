"""All mistakes that can be found before a run, listed at once.

Each check yields mistakes with the keys of the config that they belong to. A part of the config that the schema refuses
is left out, and the rest is checked.
"""

import os
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from feature_vis.errors import InputError
from feature_vis.networks.models import build, cached_weights
from feature_vis.networks.names import is_weights_name
from featurediff.cli.estimate import estimate
from featurediff.cli.workflow import find_workflow
from featurediff.config.file import Config, ConfigFile, Mistake, format_mistakes, mistake_at, read_config
from featurediff.config.network_check import answer
from featurediff.config.plan import Plan
from featurediff.config.validation import check_alone, check_surroundings
from featurediff.data.expected_counts import compare_with_published
from featurediff.data.split import make_split
from featurediff.networks import load_weights
from featurediff.runtime.os_errors import check_writable

__all__ = ["Findings", "check_run", "collect_mistakes"]


@dataclass
class Findings:
    """What the checks found out besides mistakes."""

    config: Config  # its valid part, expanded
    networks: dict[str, nn.Module] = field(default_factory=dict)  # by architecture
    splits: dict[str, pd.DataFrame] = field(default_factory=dict)  # by data set
    counts: dict[str, int] = field(default_factory=dict)  # channels by layer
    notes: list[str] = field(default_factory=list)  # lines to print


def check_run(file: Path | None, directory: Path, *, cores: int, quick: bool) -> tuple[str, list[str]]:
    """Check a config; returns its problems as text, empty if there are none, and other lines to print.

    `directory`: where the workflow will run. `quick`: decode no pictures and measure no times.

    Raises:
        InputError: a config that cannot be read at all, or no directory.
    """
    schema = find_workflow() / "config" / "schema.yaml"
    if file is not None:
        file = Path(os.path.relpath(file, directory))
    if not directory.is_dir():
        raise InputError(f"there is no folder {directory}: `featurediff init {directory}` creates it")
    with chdir(directory):
        read = read_config(file or Path("config.yaml"))
        mistakes, found = collect_mistakes(read, schema, decode=not quick)
        lines = [*found.notes, f"device: {_device_name()}"]
        if not mistakes:
            plan = Plan(found.config, found.counts)
            more, mistakes = estimate(plan, found.networks, found.splits, cores, measure=not quick)
            lines += more
    return format_mistakes(mistakes, [read]), [f"{read.file}: {_headline(mistakes)}", *lines]


def collect_mistakes(read: ConfigFile, schema: Path, *, decode: bool) -> tuple[list[Mistake], Findings]:
    """All mistakes, and what else the checks found out."""
    mistakes, expanded = check_alone(read.config, schema, read.file.parent)
    found = Findings(expanded.config)
    of_weights = [expanded.where_written(mistake) for mistake in _examine_weights(expanded.config, found)]
    more, found.counts = check_surroundings(expanded, partial(answer, networks=found.networks))
    mistakes += [*of_weights, *more, *read.mistakes]
    mistakes += [*_examine_results(expanded.config), *_examine_data(expanded.config, found, decode)]
    return mistakes, found


def _examine_weights(config: Config, found: Findings) -> Iterator[Mistake]:
    """Read every file of weights; the networks found keep the weights, and with them the size of the head."""
    places = [(("networks", name), settings) for name, settings in config["networks"].items()]
    places.append((("compare", "embedder"), config["compare"].get("embedder", {})))
    for path, settings in places:
        model, weights = settings.get("model"), settings.get("weights")
        if model is None or weights is None or weights in config["networks"]:
            continue
        try:
            found.networks[model] = found.networks.get(model) or build(model)
            named = is_weights_name(weights)
            file = cached_weights(model, weights) if named else Path(weights)
        except InputError:  # an unknown name, which another check reports
            continue
        if file is None:
            found.notes.append(f"{'.'.join(path)}: timm will fetch {weights} from the hub, or from its cache")
        elif named and not file.exists():
            found.notes.append(f"{'.'.join(path)}: torchvision will fetch {weights} to {file}")
        elif not named and file.exists():
            try:
                found.networks[model] = load_weights(model, weights, headless=path[-1] == "embedder").module()
            except InputError as error:
                yield mistake_at((*path, "weights"), str(error))


def _examine_results(config: Config) -> Iterator[Mistake]:
    """Whether the results folder can be written to."""
    results = Path(config["results"])
    try:
        check_writable(results)
    except InputError as error:
        yield mistake_at(("results",), str(error))


def _examine_data(config: Config, found: Findings, decode: bool) -> Iterator[Mistake]:
    """Roots, formats, labels and, with `decode`, every picture."""
    for name, data in config["data"].items():
        if "draw" in data:
            found.notes.append(f"data {name}: drawn by the workflow")
        if "draw" in data or "root" not in data or "format" not in data:
            continue
        try:
            settings = {**data, "seed": config["seed"]}
            split, skipped = make_split(**settings, verify=decode, threads=min(4, os.cpu_count() or 1))
        except InputError as error:
            yield Mistake(("data", name, "root"), f"data.{name}: {_indented(str(error))}")
            continue
        found.splits[name] = split
        parts = ", ".join(f"{count} {part}" for part, count in split["split"].value_counts().items())
        left_out = f"; {len(skipped)} unreadable files are left out" if len(skipped) else ""
        unread = "" if decode else "; not decoded"
        found.notes.append(f"data {name}: {split['label'].nunique()} classes, pictures: {parts}{left_out}{unread}")
        validation = data["validation"]
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
