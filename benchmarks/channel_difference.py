"""What the difference of a channel in two networks reaches: `tuned(layer, k) - base(layer, k)`.

    python benchmarks/channel_difference.py --base resnet18.pth --tuned tuned.pth --layer layer4.1

`--base`, `--tuned`: state dicts of `--model`, or torchvision's names. Each channel is rendered four times: each
network's own picture, and the difference by the recipes `pre_relu` (the default) and `post_relu`. All figures are
activations after the ReLU, of the finished pictures.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from weights import load_network

from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render
from feature_vis.seeding import generator

NOTHING = 0.01  # an activation up to this counts as none


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True)
    parser.add_argument("--tuned", required=True)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--layer", default="layer4.1")
    parser.add_argument("--of", type=int, default=512, help="channels that the layer has")
    parser.add_argument("--count", type=int, default=64, help="random channels")
    parser.add_argument("--channels", type=int, nargs="+", help="these in place of random ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base, tuned = (Objectives(load_network(weights, options.model)) for weights in (options.base, options.tuned))
    drawn = torch.randperm(options.of, generator=generator(0, options.layer))[: options.count].tolist()
    drawn = options.channels or drawn
    recipe = Recipe(size=options.size, steps=options.steps, seed=options.seed, precision="float32")
    after = replace(recipe, objective="post_relu")
    began = time.perf_counter()
    own = {}
    for name, network in {"tuned": tuned, "base": base}.items():
        own[name] = _reached([network(options.layer, k) for k in drawn], recipe)
    differences = [tuned(options.layer, k) - base(options.layer, k) for k in drawn]
    found, found_after = _reached(differences, recipe), _reached(differences, after)
    alive = (own["tuned"] > NOTHING) | (own["base"] > NOTHING)
    works = found_after > NOTHING
    print(f"{options.layer}, {len(drawn)} channels, {recipe.size} px, {recipe.steps} steps, {options.threads} threads")
    print(f"own pictures reach: tuned {own['tuned'].mean():.2f}, base {own['base'].mean():.2f}; {alive.sum()} alive")
    print("| objective | at 0 or below | of those alive | mean | median | mean where post_relu works |")
    print("|---|---|---|---|---|---|")
    for name, reached in {"pre_relu": found, "post_relu": found_after}.items():
        none = reached <= NOTHING
        print(
            f"| {name} | {none.sum()} | {(none & alive).sum()} | {reached.mean():.2f} | {np.median(reached):.2f} "
            f"| {reached[works].mean():.2f} |"
        )
    print(f"where post_relu works, on {works.sum()}, pre_relu reaches more on {(found > found_after)[works].sum()}")
    print(f"{time.perf_counter() - began:.0f} s")


def _reached(objectives: list, recipe: Recipe) -> np.ndarray:
    results = sorted(render(objectives, recipe), key=lambda result: result.index)
    return np.array([result.activation_reached for result in results])


if __name__ == "__main__":
    main()
