"""How fast the renderer is: beside the network's passes alone, the original's recipe, lucent and Horama.

    python benchmarks/renderer.py rates --weights resnet50.pth     image-steps per second, at 224 and 128 px
    python benchmarks/renderer.py ascent --weights resnet50.pth     seconds to the activation that the original reaches
    python benchmarks/renderer.py shortcuts --weights resnet50.pth --sizes 128   what each of ours costs, and reaches

`--weights`: a state dict of torchvision's ResNet-50 (or a name such as IMAGENET1K_V2, fetched by torchvision).
The contenders take turns in one process, after a warm-up, so that a busy machine is busy for all of them; what
counts are the ratios. Peers that are not installed (benchmarks/requirements.txt) or do not run are named.
"""

import argparse
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import original
import peers
import torch
from step_rates import Task, Timer, contest, matmul_rate
from torch import nn
from weights import load_network

from feature_vis.evaluation import values
from feature_vis.networks.torchvision_import import torchvision  # noqa: F401 - before the peers, which import torchvision plainly
from feature_vis.objectives import Objectives
from feature_vis.optimisation.prepared_networks import prepared_networks
from feature_vis.recipe import Recipe
from feature_vis.render import BATCH, render
from feature_vis.seeding import generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rates", "ascent", "shortcuts"])
    parser.add_argument("--weights", default="IMAGENET1K_V2")
    parser.add_argument("--layer", default="layer4.2")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 128])
    parser.add_argument("--channels", type=int, nargs="+", default=[7, 9, 100, 309, 777, 1276, 1500, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="steps a contender makes in its turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_network(options.weights)
    if options.what == "rates":
        for size in options.sizes:
            compare_rates(model, options, size)
    elif options.what == "ascent":
        compare_ascents(model, options, options.sizes[0])
    else:
        compare_shortcuts(model, options, options.sizes[0])


# Rates -----------------------------------------------------------------------------------------------------------


def compare_rates(model: nn.Module, options: argparse.Namespace, size: int) -> None:
    """Print milliseconds per image-step of each contender, and the ratios."""
    device = torch.device(options.device)
    layer, steps = options.layer, options.steps
    batches = dict.fromkeys(("float32", "bfloat16"), BATCH)
    with contest(Task(model, layer, options.channels, size, steps, device), batches) as found:
        if options.peers:
            works, errors = peers.available(model, layer, size)
            for name, run in works.items():
                found.timers[name] = _peer(run, model, layer, options.channels[0], size, steps)
            for name, error in errors.items():
                print(f"{name} is left out: {error}")
        found.run(options.rounds)
    peak = {name: matmul_rate(getattr(torch, name), device) for name in batches}
    print(f"\n{layer}, {size} px, batch {BATCH}, {options.threads} threads, torch {torch.__version__}, {device}")
    print(f"operations of one image-step's passes: {found.operations['float32'] / 1e9:.2f} G;", end=" ")
    print("measured matmul rate:", ", ".join(f"{name} {rate / 1e9:.0f} G/s" for name, rate in peak.items()))
    print("", *found.table(peak), sep="\n")


def _peer(run: peers.Run, model: nn.Module, layer: str, channel: int, size: int, steps: int) -> Timer:
    def timer() -> float:
        """What each further step costs: a peer loops inside, so its set-up is taken off."""
        marks = [time.perf_counter()]
        for number in (1, steps + 1):
            run(model, layer, channel, size, number, 0)
            marks.append(time.perf_counter())
        return ((marks[2] - marks[1]) - (marks[1] - marks[0])) / steps

    return timer


# Ascents ---------------------------------------------------------------------------------------------------------


def compare_ascents(model: nn.Module, options: argparse.Namespace, size: int) -> None:
    """Print the time and the mean activation of the original's 256 steps, and of ours."""
    device = torch.device(options.device)
    source = Objectives(model)
    wanted = [source(options.layer, channel) for channel in options.channels]
    began = time.perf_counter()
    cut = original.ended_at(copy.deepcopy(model).to(device), options.layer)
    theirs = []
    for channel in options.channels:
        recipe = original.OriginalRecipe(cut, channel, size, 0)
        for _ in range(256):
            recipe.step()
        theirs.append(recipe.picture())
    original_seconds = time.perf_counter() - began
    reached = measure(model, options.layer, options.channels, theirs, device)
    alive = reached > 0.1
    rows = [("original's recipe, 256 steps", original_seconds, reached)]
    for name, recipe in {
        "featurediff, as it comes": Recipe(size=size),
        "featurediff, float32": Recipe(size=size, precision="float32"),
        "featurediff, plain, 128 steps": Recipe(size=size, schedule="plain", steps=128),
    }.items():
        began = time.perf_counter()
        pictures = [result.picture for result in render(wanted, recipe, device=device)]
        seconds = time.perf_counter() - began
        rows.append((name, seconds, measure(model, options.layer, options.channels, pictures, device)))
    print(f"\n{options.layer}, {size} px, {len(wanted)} channels, {options.threads} threads, {device}")
    print(f"mean activation over the {alive.sum()} channels that the original's recipe renders; the others apart\n")
    print("| | s | of the original's time | mean activation | of the others | grey |")
    print("|---|---|---|---|---|---|")
    for name, seconds, activations in rows:
        others = f"{activations[~alive].mean():.1f}" if (~alive).any() else "–"
        print(
            f"| {name} | {seconds:.0f} | 1/{original_seconds / seconds:.1f} | {activations[alive].mean():.1f} "
            f"| {others} | {(activations <= 0.1).sum()} |"
        )


def compare_shortcuts(model: nn.Module, options: argparse.Namespace, size: int) -> None:
    """Print what 64 random channels reach with each shortcut, and in which time."""
    source = Objectives(model)
    drawn = torch.randperm(2048, generator=generator(0, options.layer, "shortcuts"))[:64]
    wanted = [source(options.layer, int(channel)) for channel in drawn]
    plain = Recipe(size=size, steps=64, momentum=0.9, precision="float32", schedule="plain")
    print(f"\n{options.layer}, {size} px, {plain.steps} steps, {len(wanted)} channels, {options.threads} threads\n")
    print("| | s | of the first | mean activation | ± (standard error of the difference to the first) |")
    print("|---|---|---|---|---|")
    first: np.ndarray | None = None
    whole = 0.0
    for name, recipe in {
        "plain: float32, momentum 0.9": plain,
        "momentum 0.5": replace(plain, momentum=0.5),
        "momentum 0.5, bfloat16": replace(plain, momentum=0.5, precision="bfloat16"),
        "momentum 0.5, bfloat16, growing": replace(plain, momentum=0.5, precision="bfloat16", schedule="growing"),
    }.items():
        began = time.perf_counter()
        reached = np.array([result.activation_reached for result in render(wanted, recipe, device=options.device)])
        seconds = time.perf_counter() - began
        first, whole = (reached, seconds) if first is None else (first, whole)
        error = (reached - first).std(ddof=1) / math.sqrt(len(reached))
        print(f"| {name} | {seconds:.0f} | {seconds / whole:.2f} | {reached.mean():.2f} | {error:.2f} |", flush=True)


def measure(
    model: nn.Module, layer: str, channels: Sequence[int], pictures: list[np.ndarray], device: torch.device
) -> np.ndarray:
    """Each picture's activation after the ReLU, without transforms, by the network as it is, (N,)."""
    source = Objectives(model)
    wanted = [source(layer, channel) for channel in channels]
    shown = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device) / 255  # (N, 3, H, W)
    size = (shown.shape[2], shown.shape[3])
    with prepared_networks(wanted, size, device, before_relu=False, dtype=torch.float32) as prepared, torch.no_grad():
        return values(wanted, prepared.exact_activations(shown), device).cpu().numpy()


if __name__ == "__main__":
    main()
