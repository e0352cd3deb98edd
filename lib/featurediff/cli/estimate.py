"""How long a run takes and how much it writes: a few steps of the real work are measured here and multiplied.

Two parts take nearly all of the time and are measured: rendering, for each layer at its size, and training, with the
pictures of the data set. The last line lists what is not counted.
"""

import copy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from feature_vis.networks.models import load_file
from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import BATCH, render
from featurediff.config.file import Mistake
from featurediff.config.plan import Plan
from featurediff.runtime.child_process import child_environment
from featurediff.training.finetune import finetune, freeze_before, set_up_training
from featurediff.training.settings import TrainingSettings

__all__ = ["Rate", "duration", "estimate", "image_steps", "rendering_rate", "size_on_disk", "training_rate"]

_WARM_UP = 2  # steps that are not timed: the first ones compile kernels
_SECONDS = 3.0  # that the measurement of a layer takes
_TRAINING_BATCH = 8  # pictures, on a CPU; a larger batch takes as long per picture there


@dataclass(frozen=True)
class Rate:
    """A speed, and the number of pictures or image-steps that it was measured on."""

    per_second: float
    measured: int


class _Enough(Exception):
    """Ends the rendering that is measured."""


def estimate(
    plan: Plan, networks: Mapping[str, nn.Module], splits: Mapping[str, pd.DataFrame], cores: int, *, measure: bool
) -> tuple[list[str], list[Mistake]]:
    """Lines about the time and disk that a run from nothing needs, and a mistake if the disk is too small.

    `networks`: one of each architecture. `splits`: those of the data sets that could be read.
    """
    pictures = len(plan.networks) * len(plan.seeds) * sum(len(channels) for channels in plan.channels.values())
    lines = [f"{pictures:,} pictures of {len(plan.networks)} networks, {len(plan.seeds)} a channel"]
    if measure:
        lines += _times(plan, networks, splits, min(cores, plan.threads))
    line, mistakes = _disk(plan, networks)
    return [*lines, line], mistakes


def _times(
    plan: Plan, networks: Mapping[str, nn.Module], splits: Mapping[str, pd.DataFrame], threads: int
) -> Iterator[str]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"this CPU, {threads} threads"
    yield f"time from nothing, one job after the other, measured now on {where}:"
    total, unknown = 0.0, []
    for name in plan.trained:
        data = plan.config["networks"][name]["data"]
        if data not in splits:
            unknown.append(f"training {name} (its pictures are not drawn yet)")
            continue
        settings = TrainingSettings.from_settings(plan.training(name))
        split, root = splits[data], Path(plan.config["data"][data]["root"])
        rate = training_rate(networks[plan.architecture(name)], split, root, settings, device)
        shown = int((split["split"] != "test").sum()) * settings.epochs
        total += shown / rate.per_second
        work = f"{shown:,} pictures, validation counted as training, at {rate.per_second:.3g}/s"
        yield f"  training {name}: {duration(shown / rate.per_second)} ({work}, from {rate.measured})"
    for architecture in dict.fromkeys(plan.architecture(name) for name in plan.networks):
        alike = [name for name in plan.networks if plan.architecture(name) == architecture]
        for layer in plan.layers:
            recipe = Recipe.from_settings(plan.recipe(layer))
            channels = plan.channels[layer]
            batch = min(len(channels), plan.batch_size)
            rate = rendering_rate(networks[architecture], layer, channels[:batch], recipe, device, _SECONDS)
            steps = len(alike) * image_steps(plan, layer)
            total += steps / rate.per_second
            work = f"{steps:,.0f} image-steps at {rate.per_second:.3g}/s, from {rate.measured}"
            yield f"  {architecture} {layer}: {duration(steps / rate.per_second)} ({work})"
    jobs = len(plan.trained) + len(plan.networks) * sum(len(layers) for layers in plan.batches().values())
    start = _seconds_to_start()
    total += jobs * start
    yield f"  start of these {jobs} jobs: {duration(jobs * start)} ({start:.1f} s each, from 1)"
    yield f"  together: {duration(total)}"
    left_out = [*unknown, "embedding, comparison, plots and the report"]
    left_out += ["pictures of what the networks disagree about"] if plan.differences else []
    yield f"  not counted: {'; '.join(left_out)}"


def _seconds_to_start() -> float:
    """Seconds that a job which renders takes for its imports."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import featurediff.rendering.batch"], env=child_environment(), check=True)
    return time.monotonic() - began


def image_steps(plan: Plan, layer: str) -> float:
    """The image-steps of one network at the layer's own size; a channel of another size counts by its area."""
    full = Recipe.from_settings(plan.recipe(layer))
    steps = 0.0
    for channel in plan.channels[layer]:
        recipe = Recipe.from_settings(plan.recipe(layer, channel))
        before = 0
        for (height, width), last in recipe.stages():  # a growing picture starts smaller
            steps += (last - before) * height * width / (full.shape[0] * full.shape[1])
            before = last
    return steps * len(plan.seeds)


def rendering_rate(
    model: nn.Module, layer: str, channels: list[int], recipe: Recipe, device: torch.device, seconds: float
) -> Rate:
    """Image-steps per second of a batch at the recipe's full size, without the first steps."""
    marks: list[tuple[float, int]] = []

    def note(count: int) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        marks.append((time.monotonic(), count))
        if len(marks) > _WARM_UP and marks[-1][0] - marks[_WARM_UP - 1][0] > seconds:
            raise _Enough

    asked = channels if device.type == "cuda" else channels[:BATCH]
    objectives = Objectives(model)
    recipe = replace(recipe, steps=1000, schedule="plain", plateau=None)
    with suppress(_Enough):
        for _ in render([objectives(layer, channel) for channel in asked], recipe, device=device, progress=note):
            pass
    taken = marks[_WARM_UP:]
    count = sum(number for _, number in taken)
    return Rate(count / (taken[-1][0] - marks[_WARM_UP - 1][0]), count)


def training_rate(
    model: nn.Module, split: pd.DataFrame, root: Path, settings: TrainingSettings, device: torch.device
) -> Rate:
    """Pictures per second of an epoch: decoding, augmentation, forward and backward pass. `model` is not changed."""
    size = settings.batch_size if device.type == "cuda" else min(settings.batch_size, _TRAINING_BATCH)
    quick = replace(settings, epochs=1, batch_size=size)
    row: dict[str, float] = {}
    some = split
    for steps in (1, 3):  # the first call warms up
        some = _some_of(split, size * steps)
        setup = set_up_training(copy.deepcopy(model), some, root, quick)
        with tempfile.TemporaryDirectory() as folder:
            row = load_file(finetune(setup, quick, "estimate", Path(folder), device)[0])["log"]
    return Rate(row["images_per_second"], int((some["split"] == "train").sum()))


def _some_of(split: pd.DataFrame, count: int) -> pd.DataFrame:
    """`count` training pictures from all over the split and one for validation, with classes numbered anew."""
    train, validation = (split[split["split"] == part] for part in ("train", "val"))
    some = pd.concat([train.iloc[:: max(1, len(train) // count)].head(count), validation.head(1)])
    return some.assign(class_index=pd.factorize(some["label"])[0])


def size_on_disk(plan: Plan, networks: Mapping[str, nn.Module]) -> tuple[int, int]:
    """Bytes of all networks and checkpoints, including the optimizer's moments, and of all pictures uncompressed."""
    checkpoints = 0
    for name in plan.networks:
        model = networks[plan.architecture(name)]
        state = sum(tensor.nbytes for tensor in model.state_dict().values())
        checkpoints += state
        if name in plan.trained:
            settings = TrainingSettings.from_settings(plan.training(name))
            learning = sum(parameter.nbytes for parameter in freeze_before(model, settings.train_from).parameters())
            moments = 1 if settings.optimizer == "sgd" else 2
            checkpoints += plan.epochs(name) * (state + moments * learning)
    pixels = 0
    for layer in plan.layers:
        for channel in plan.channels[layer]:
            height, width = Recipe.from_settings(plan.recipe(layer, channel)).shape
            pixels += height * width
    return checkpoints, pixels * 3 * len(plan.seeds) * len(plan.networks)


def _disk(plan: Plan, networks: Mapping[str, nn.Module]) -> tuple[str, list[Mistake]]:
    checkpoints, pictures = size_on_disk(plan, networks)
    folder = next(folder for folder in (plan.results, *plan.results.absolute().parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    line = f"disk: {_bytes(checkpoints)} of networks and checkpoints, at most {_bytes(pictures)} of pictures; "
    if checkpoints + pictures <= free:
        return line + f"{_bytes(free)} are free", []
    text = f"results: {plan.results} may need {_bytes(checkpoints + pictures)}, and {_bytes(free)} are free"
    return line + f"{_bytes(free)} are free", [Mistake(("results",), text)]


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`, `12 days`: two digits are all that is known."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 72 * 3600)):
        if seconds < limit:
            return f"{max(seconds / size, 1):.0f} {unit}" if unit != "h" else f"{seconds / size:.1f} h"
    return f"{seconds / 86400:.0f} days"


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
