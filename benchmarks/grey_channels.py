"""How many channels stay grey: the objective before the last ReLU beside the original's, after it.

    python benchmarks/grey_channels.py --weights resnet50.pth --size 160
    python benchmarks/grey_channels.py --weights resnet50.pth --size 400 --channels 32 --steps 48

Channels are drawn at random from the original's four layers of ResNet-50; both recipes start from the same noise and
see the same transforms. A picture is grey where its contrast stays that of noise
(`featurediff.rendering.failed_pictures`), or its activation after the ReLU never left zero. Channels that are alive at
the start are compared as well: what both recipes reached, after the ReLU and without transforms. `--sheet` writes the
first recipe's pictures.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sheets import write_sheet
from torch import nn
from weights import load_network

from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import Rendered, render
from feature_vis.seeding import generator
from featurediff.rendering.failed_pictures import MAX_CONTRAST, contrast

LAYERS = {"layer3.5": 1024, "layer4.0": 2048, "layer4.1": 2048, "layer4.2": 2048}

HEAD = [
    "| layer | channels | grey, objective before the ReLU | grey, after it | alive at the start: channels "
    "| mean activation, before | after | channels with less |",
    "|---|---|---|---|---|---|---|---|",
]


@dataclass(frozen=True)
class Both:
    """The pictures of some channels by both objectives, and the seconds they took, before and after the ReLU."""

    before: list[Rendered]
    after: list[Rendered]
    seconds: tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="IMAGENET1K_V2", help="a state dict's path, or torchvision's name")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--channels", type=int, default=256, help="in all, the same number of each layer")
    parser.add_argument("--transforms", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    recipe = Recipe(size=options.size, steps=options.steps, transforms=options.transforms, seed=options.seed)
    found: dict[str, Both] = {}
    for layer, both in compare(load_network(options.weights), LAYERS, options.channels, recipe, options.device):
        found[layer] = both
        print(f"{layer}: {len(both.before)} channels, {both.seconds[0]:.0f} and {both.seconds[1]:.0f} s", flush=True)
    print(f"\n{options.size} px, {options.steps} steps, transforms {options.transforms}\n")
    print(*table(found), sep="\n")
    if options.sheet is not None:
        write_sheet(options.sheet, [result.picture for both in found.values() for result in both.before])


def compare(
    model: nn.Module, layers: Mapping[str, int], channels: int, recipe: Recipe, device: str | torch.device
) -> Iterator[tuple[str, Both]]:
    """Each layer when it is done. `layers`: the number of channels of each, of which `channels` are drawn in all."""
    source = Objectives(model)
    for layer, count in layers.items():
        drawn = torch.randperm(count, generator=generator(recipe.seed, layer))[: channels // len(layers)]
        wanted = [source(layer, int(channel)) for channel in drawn]
        results, seconds = [], []
        for objective in ("pre_relu", "post_relu"):
            began = time.perf_counter()
            rendered = render(wanted, replace(recipe, objective=objective), device=device)
            results.append(sorted(rendered, key=lambda result: result.index))
            seconds.append(time.perf_counter() - began)
        yield layer, Both(results[0], results[1], (seconds[0], seconds[1]))


def table(found: Mapping[str, Both]) -> list[str]:
    """Lines of Markdown: a row a layer, and one of them all."""
    together = [result for both in found.values() for result in both.before]
    after = [result for both in found.values() for result in both.after]
    return [
        *HEAD,
        *[_row(layer, both.before, both.after) for layer, both in found.items()],
        _row("all", together, after),
    ]


def _row(layer: str, before: list[Rendered], after: list[Rendered]) -> str:
    grey, grey_after = (np.array([is_grey(result) for result in results]) for results in (before, after))
    both = np.array([result.activation_start > 0 for result in before]) & ~grey_after
    a, b = (np.array([result.activation_reached for result in results])[both] for results in (before, after))
    means = f"{a.mean():.2f} | {b.mean():.2f}" if len(a) else "– | –"
    return f"| {layer} | {len(before)} | {grey.sum()} | {grey_after.sum()} | {len(a)} | {means} | {(a < b).sum()} |"


def is_grey(result: Rendered) -> bool:
    return contrast(result.picture) < MAX_CONTRAST or result.activation_reached <= 0


if __name__ == "__main__":
    main()
