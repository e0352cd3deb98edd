"""How long the original experiment takes: its recipe as it stands, and the cheapest that reaches as much.

A sample of channels is rendered and written as the workflow does it, and the time is projected to all pictures of
config/paper.yaml, layer by layer. Not in it: the start of jobs, training, and everything that is made from pictures.
"""

import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import yaml
from sheets import write_sheet

from feature_vis.images.png import write_picture
from feature_vis.objectives import Objectives
from feature_vis.recipe import MODES, Recipe
from feature_vis.render import render
from feature_vis.seeding import generator
from featurediff.rendering.channels import parse_channels
from gpu_sections.results import Report
from gpu_sections.setting import ROOT, Setting, end_blocks

GOAL_PLAIN, GOAL_QUICK = 30, 10  # minutes
SHARE = 0.55  # of the time that is left, for a sample of every layer
SHOWN = 4  # channels of a layer on the sheet

# What may be cheaper, each a change of the experiment's recipe.
CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "64 steps at rate 0.1": {"steps": 64, "learning_rate": 0.1},
    "96 steps at rate 0.1, growing": {"steps": 96, "learning_rate": 0.1, "schedule": "growing"},
    "96 steps, transforms `small`": {"steps": 96, "transforms": "small"},
    "96 steps at rate 0.1": {"steps": 96, "learning_rate": 0.1},
    "128 steps at rate 0.1, growing": {"steps": 128, "learning_rate": 0.1, "schedule": "growing"},
    "128 steps, transforms `small`": {"steps": 128, "transforms": "small"},
    "128 steps at rate 0.1": {"steps": 128, "learning_rate": 0.1},
    "160 steps, transforms `small`": {"steps": 160, "transforms": "small"},
    "160 steps at rate 0.1": {"steps": 160, "learning_rate": 0.1},
    "192 steps at rate 0.1, growing": {"steps": 192, "learning_rate": 0.1, "schedule": "growing"},
    "192 steps": {"steps": 192},
    "256 steps, growing": {"schedule": "growing"},
}


@dataclass(frozen=True)
class Sample:
    """The pictures of some channels of a layer, their activations after the ReLU, and the seconds they took."""

    pictures: list[np.ndarray]
    reached: np.ndarray  # (N,)
    seconds: float


class Experiment:
    """The pictures that the original made, and how to make some of them."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text(encoding="utf-8"))
        self.networks = len(config["networks"])
        recipe = Recipe.from_settings(config["visualize"]["recipe"])
        self.recipe = replace(recipe, size=setting.size(400), steps=setting.number(recipe.steps, 4))
        given = {
            layer: len(parse_channels(own["channels"], None)) for layer, own in config["visualize"]["layers"].items()
        }
        model = setting.network()
        # deepest first: what is left out at the end is then counted rather too dear
        self.layers = dict(reversed((given if setting.model == "resnet50" else end_blocks(model)).items()))
        self.source = Objectives(model)
        self.device = setting.torch_device()

    def all_pictures(self) -> int:
        return self.networks * sum(self.layers.values())

    def channels(self, layer: str, count: int) -> list[int]:
        """Drawn at random; fewer are the first of more."""
        return torch.randperm(self.layers[layer], generator=generator(0, layer, "experiment"))[:count].tolist()

    def sample(self, layer: str, count: int, recipe: Recipe) -> Sample:
        """Render and write the first channels of the layer's order."""
        wanted = [self.source(layer, channel) for channel in self.channels(layer, count)]
        began = time.perf_counter()
        with ThreadPoolExecutor(torch.get_num_threads()) as writer:  # as the workflow's job does
            found, written = [], []
            for result in render(wanted, recipe, device=self.device):
                found.append(result)
                file = self.setting.work / f"{result.index}.png"
                written.append(writer.submit(write_picture, file, result.picture, {"layer": layer}))
            for outcome in written:
                outcome.result()
        seconds = time.perf_counter() - began
        found.sort(key=lambda result: result.index)
        reached = np.array([result.activation_reached for result in found])
        return Sample([result.picture for result in found], reached, seconds)

    def projected(self, found: Mapping[str, Sample]) -> float:
        """Minutes for all pictures; a layer that was not sampled takes what a picture took at most."""
        each = {layer: sample.seconds / len(sample.reached) for layer, sample in found.items()}
        layers = self.layers.items()
        return self.networks * sum(count * each.get(layer, max(each.values())) for layer, count in layers) / 60


def run(setting: Setting, report: Report) -> None:
    experiment = Experiment(setting)
    recipe = experiment.recipe
    report.add(
        f"The original experiment is {experiment.all_pictures()} pictures: {experiment.networks} networks, "
        + ", ".join(f"{count} channels of `{layer}`" for layer, count in reversed(experiment.layers.items()))
        + f". {recipe.size} px, {recipe.steps} steps, transforms `{recipe.transforms}`, otherwise the default recipe.",
        "",
    )
    experiment.sample(next(iter(experiment.layers)), 2, replace(recipe, steps=2))  # kernels are chosen
    count, few = setting.number(128, 4), setting.number(32, 2)
    plain = _measure(experiment, report, "plain", recipe, (few, count), GOAL_PLAIN)
    chosen = _search(experiment, report, plain, few)
    if chosen is None:
        return
    quick = _measure(experiment, report, chosen[0], chosen[1], (few, count), GOAL_QUICK)
    plain, quick = ({layer: found[layer] for layer in plain if layer in quick} for found in (plain, quick))
    _show(setting, plain, quick, report)
    _originals(experiment, report, plain, quick, setting.number(8, 2))


def _measure(
    experiment: Experiment, report: Report, name: str, recipe: Recipe, counts: tuple[int, int], goal: float
) -> dict[str, Sample]:
    """Sample every layer, and say after each what the whole experiment would take.

    `counts`: channels of a layer, at least and at most; fewer than the most where they would leave no time for more.
    """
    report.add(
        "",
        f"**{name}**:",
        "",
        "| layer | channels | s | image-steps/s | mean activation |",
        "|---|---|---|---|---|",
    )
    found: dict[str, Sample] = {}
    count, budget = counts[1], SHARE * experiment.setting.left()
    for layer in experiment.layers:
        if found:
            each = max(sample.seconds / len(sample.reached) for sample in found.values())
            rest = budget - sum(sample.seconds for sample in found.values())
            count = int(min(count, max(counts[0], rest / each / (len(experiment.layers) - len(found)))))
            if experiment.setting.left() < 1.3 * each * count + 3:
                break
        found[layer] = own = experiment.sample(layer, count, recipe)
        channels = len(own.reached)
        rate = channels * recipe.steps / own.seconds
        report.add(f"| {layer} | {channels} | {own.seconds:.1f} | {rate:.0f} | {own.reached.mean():.2f} |")
        minutes = experiment.projected(found)
        done = sum(len(sample.reached) for sample in found.values())
        is_gpu = experiment.device.type == "cuda"
        verdict = f"the goal of {goal} minutes is {'reached' if minutes <= goal else 'missed'}"
        report.last(
            [
                "",
                f"All {experiment.all_pictures()} pictures would take {minutes:.1f} minutes, projected from {done} "
                f"channels of {len(found)} layers; " + (verdict if is_gpu else "the goal is one for a GPU"),
            ]
        )
    report.keep()
    return found


def area_steps(recipe: Recipe) -> float:
    """What a picture costs, in steps at its full size."""
    before, cost = 0, 0.0
    for (height, width), last in recipe.stages():
        cost += (last - before) * height * width / (recipe.shape[0] * recipe.shape[1])
        before = last
    return cost


def candidates(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """The cheapest first. The steps are shares of 256, which a rehearsal has fewer of."""
    found = []
    for name, changes in CANDIDATES.items():
        steps = max(1, round(changes.get("steps", 256) * recipe.steps / 256))
        found.append((name, replace(recipe, **{**changes, "steps": steps})))
    return sorted(found, key=lambda pair: area_steps(pair[1]))


def original_settings(recipe: Recipe) -> Recipe:
    """The recipe with the original's objective, momentum and precision."""
    changed = {name: MODES["paper"][name] for name in ("objective", "momentum", "precision")}
    return replace(recipe, **changed)


def difference(reached: np.ndarray, base: np.ndarray) -> tuple[float, float]:
    """The mean difference of paired values, and its standard error."""
    found = reached - base
    return float(found.mean()), float(found.std(ddof=1) / math.sqrt(len(found)))


def _search(experiment: Experiment, report: Report, plain: Mapping[str, Sample], few: int) -> tuple[str, Recipe] | None:
    """The cheapest candidate whose mean activation is no lower than the plain recipe's, within a standard error."""
    base = np.concatenate([sample.reached[:few] for sample in plain.values()])
    step = sum(sample.seconds for sample in plain.values()) / sum(len(sample.reached) for sample in plain.values())
    report.add(
        "",
        f"Mean activation of {len(base)} of these channels, without transforms, and the difference to the plain one's:",
        "",
        "| recipe | cost, of the plain | mean activation | difference ± standard error |",
        "|---|---|---|---|",
        f"| plain | 100% | {base.mean():.2f} | |",
    )
    for name, recipe in candidates(experiment.recipe)[-2 if experiment.setting.rehearse else 0 :]:
        share = area_steps(recipe) / area_steps(experiment.recipe)
        if experiment.setting.left() < 2 * share * step * len(base) + 5:
            report.add("", "The time was over before a cheaper recipe was found.")
            return None
        reached = np.concatenate([experiment.sample(layer, few, recipe).reached for layer in plain])
        mean, error = difference(reached, base)
        report.add(f"| {name} | {share:.0%} | {reached.mean():.2f} | {mean:+.2f} ± {error:.2f} |")
        if mean >= -error:
            return name, recipe
    report.add("", "No candidate reaches as much.")
    return None


def _originals(
    experiment: Experiment, report: Report, plain: Mapping[str, Sample], quick: Mapping[str, Sample], few: int
) -> None:
    """What the original's settings reach, if there is time: float32 takes several times as long."""
    taken = sum(sample.seconds / len(sample.reached) for sample in plain.values())
    if experiment.setting.left() < 10 * taken * few + 5:
        report.add("", "There was no time for the original's settings.")
        return
    began = time.perf_counter()
    reached = [experiment.sample(layer, few, original_settings(experiment.recipe)).reached for layer in plain]
    seconds = time.perf_counter() - began
    theirs = np.concatenate(reached).mean()
    means = [np.concatenate([sample.reached[:few] for sample in found.values()]).mean() for found in (plain, quick)]
    report.add(
        "",
        f"Mean activation of {few * len(plain)} of these channels: plain {means[0]:.2f}, the quick recipe "
        f"{means[1]:.2f}, the original's settings (`mode: paper`) {theirs:.2f}, in {seconds:.1f} s.",
    )


def _show(setting: Setting, plain: Mapping[str, Sample], quick: Mapping[str, Sample], report: Report) -> None:
    """How much the quick recipe reaches beside the plain one, and some of their pictures."""
    least = {layer: min(len(found[layer].reached) for found in (plain, quick)) for layer in quick}
    reached, base = (
        np.concatenate([found[layer].reached[: least[layer]] for layer in quick]) for found in (quick, plain)
    )
    mean, error = difference(reached, base)
    report.add("", f"Over these {len(reached)} channels it reaches {mean:+.2f} ± {error:.2f} beside the plain recipe.")
    pairs = [
        pair
        for layer in quick
        for pair in list(zip(plain[layer].pictures, quick[layer].pictures, strict=False))[:SHOWN]
    ]
    write_sheet(setting.out / "experiment.jpg", [picture for pair in pairs for picture in pair], across=8, side=200)
    report.add("", f"`experiment.jpg`: {len(pairs)} channels, plain to the left and the quick recipe beside it.")
