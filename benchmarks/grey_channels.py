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
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from feature_vis.networks.models import build, load_file, load_state
from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import Rendered, render
from feature_vis.seeding import generator
from featurediff.rendering.failed_pictures import MAX_CONTRAST, contrast

LAYERS = {"layer3.5": 1024, "layer4.0": 2048, "layer4.1": 2048, "layer4.2": 2048}


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

    weights = options.weights
    known = Path(weights).is_file()
    model = load_state("resnet50", load_file(weights), weights) if known else build("resnet50", weights=weights)
    source = Objectives(model)
    drawn = [
        (layer, int(channel))
        for layer, count in LAYERS.items()
        for channel in torch.randperm(count, generator=generator(options.seed, layer))[
            : options.channels // len(LAYERS)
        ]
    ]
    wanted = [source(layer, channel) for layer, channel in drawn]
    before = Recipe(size=options.size, steps=options.steps, transforms=options.transforms, seed=options.seed)
    results = {}
    for name, recipe in {"before the ReLU": before, "after the ReLU": replace(before, objective="post_relu")}.items():
        began = time.perf_counter()
        found = sorted(render(wanted, recipe, device=options.device), key=lambda result: result.index)
        print(f"objective {name}: {len(found)} pictures in {time.perf_counter() - began:.0f} s", flush=True)
        results[name] = found
    report([layer for layer, _ in drawn], results)
    if options.sheet is not None:
        write_sheet(options.sheet, [result.picture for result in results["before the ReLU"]])


def report(layers: list[str], results: dict[str, list[Rendered]]) -> None:
    first = results["before the ReLU"]
    grey = {name: np.array([is_grey(result) for result in found]) for name, found in results.items()}
    alive = np.array([result.activation_start > 0 for result in first])
    reached = {name: np.array([result.activation_reached for result in found]) for name, found in results.items()}
    both = alive & ~grey["after the ReLU"]
    print(f"\n{first[0].recipe.size} px, {first[0].recipe.steps} steps, transforms {first[0].recipe.transforms}\n")
    print(
        "| layer | channels | grey, objective before the ReLU | grey, after it | alive at the start: channels |", end=""
    )
    print(" mean activation, before | after | channels with less |")
    print("|---|---|---|---|---|---|---|---|")
    for layer in [*LAYERS, "all"]:
        here = np.array([layer in (name, "all") for name in layers])
        a, b = (values[here & both] for values in reached.values())
        means = f"{a.mean():.2f} | {b.mean():.2f}" if len(a) else "– | –"
        print(
            f"| {layer} | {here.sum()} | {grey['before the ReLU'][here].sum()} | {grey['after the ReLU'][here].sum()} "
            f"| {len(a)} | {means} | {(a < b).sum()} |"
        )


def is_grey(result: Rendered) -> bool:
    return contrast(result.picture) < MAX_CONTRAST or result.activation_reached <= 0


def write_sheet(path: Path, pictures: list[np.ndarray]) -> None:
    """The pictures in rows, about twice as wide as high."""
    across = math.ceil(math.sqrt(2 * len(pictures)))
    height, width = pictures[0].shape[:2]
    sheet = np.full((math.ceil(len(pictures) / across) * height, across * width, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, across)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    Image.fromarray(sheet).save(path)


if __name__ == "__main__":
    main()
