"""Two versions of the renderer beside each other, and each beside its network's passes alone.

    git worktree add ../before <commit>
    python benchmarks/versions.py --before ../before --weights resnet50.pth

Each version is a process of its own, which imports the renderer from its own checkout. They take turns: while one
measures, the other waits. After each step the same process takes the passes alone, so a busy machine is busy for all,
and the ratios count: the median over pairs of steps, and the ratio of the least times. `--processor-time` takes the
time of all threads together, which other work changes less than the clock's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from machine import processor
from weights import load_network

from feature_vis.objectives import Objectives
from feature_vis.optimisation.prepared_networks import prepared_networks
from feature_vis.recipe import Recipe
from feature_vis.render import render

ROUNDS_TO_WARM_UP = 1
CHANNELS = [7, 9, 100, 309, 777, 1276, 1500, 2000]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of the other version")
    parser.add_argument("--after", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--weights", type=Path, required=True, help="a state dict of torchvision's ResNet-50")
    parser.add_argument("--layer", default="layer4.2")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 128])
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=6, help="steps that a version makes in its turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processor-time", action="store_true", help="in place of the clock's")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # be one of the versions
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.measure:
        answer(options)
        return
    versions = {name: start(getattr(options, name)) for name in ("before", "after") if getattr(options, name)}
    print(f"{processor()}, {options.threads} threads, {options.layer}, batch {len(CHANNELS)}")
    print("processor time of all threads\n" if options.processor_time else "time by the clock\n")
    print("| px, type | version | ms (median, least) of the passes alone | of ours | passes of ours | of before |")
    print("|---|---|---|---|---|---|")
    try:
        for size in options.sizes:
            for precision in options.precisions:
                compare(versions, size, precision, options.rounds)
    finally:
        for process in versions.values():
            process.stdin.close()
            process.wait()


def start(checkout: Path) -> subprocess.Popen:
    paths = [str((checkout / folder).resolve()) for folder in ("lib", "benchmarks")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, __file__, *sys.argv[1:], "--measure"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def compare(versions: dict[str, subprocess.Popen], size: int, precision: str, rounds: int) -> None:
    taken: dict[str, list[list[float]]] = {name: [] for name in versions}  # [seconds of the passes, ours] of each step
    for number in range(ROUNDS_TO_WARM_UP + rounds):
        for name, process in versions.items():
            process.stdin.write(json.dumps([size, precision]) + "\n")
            process.stdin.flush()
            pairs = json.loads(process.stdout.readline())
            taken[name] += pairs if number >= ROUNDS_TO_WARM_UP else []
    before = next(iter(taken.values()))
    for name, pairs in taken.items():
        (passes, ours), (_, others) = zip(*pairs, strict=True), zip(*before, strict=True)
        times = [f"{1e3 * statistics.median(of):.1f}, {1e3 * min(of):.1f}" for of in (passes, ours)]
        ratios = [
            f"{statistics.median(a / b for a, b in zip(one, other, strict=True)):.1%}, {min(one) / min(other):.1%}"
            for one, other in ((passes, ours), (ours, others))
        ]
        print("| " + " | ".join([f"{size} px, {precision}", name, *times, *ratios]) + " |", flush=True)


def answer(options: argparse.Namespace) -> None:
    """Measure what is asked for, a line at a time."""
    torch.set_num_threads(options.threads)
    source = Objectives(load_network(options.weights))
    wanted = [source(options.layer, channel) for channel in CHANNELS]
    for line in sys.stdin:
        print(json.dumps(seconds(wanted, *json.loads(line), options)), flush=True)


def seconds(wanted: list, size: int, precision: str, options: argparse.Namespace) -> list[tuple[float, float]]:
    """Of an image-step: of the passes alone, and of all that the renderer does, one after the other for each step."""
    dtype, device = getattr(torch, precision), torch.device(options.device)
    inputs = torch.randn(len(wanted), 3, size, size, device=device).to(dtype)
    inputs = inputs.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    pairs, mark = [], [0.0]
    with prepared_networks(wanted[:1], (size, size), device, before_relu=True, dtype=dtype) as prepared:
        network = prepared.fast[wanted[0].source]

        def after_step(_count: int) -> None:
            ended = now(options)
            torch.autograd.grad(network(inputs)[options.layer][:, 7].mean((1, 2)).sum(), inputs)
            pairs.append(((now(options) - ended) / len(wanted), (ended - mark[0]) / len(wanted)))
            mark[0] = now(options)

        recipe = Recipe(size=size, steps=options.steps + 2, precision=precision)
        list(render(wanted, recipe, device=device, batch=len(wanted), progress=after_step))
    return pairs[2:]  # the first ones choose kernels


def now(options: argparse.Namespace) -> float:
    """Seconds; a GPU has done all its work by then."""
    if options.device != "cpu":
        torch.cuda.synchronize(options.device)
    return time.process_time() if options.processor_time else time.perf_counter()


if __name__ == "__main__":
    main()
