"""What the workflow costs: its graph, a run with nothing to do, one channel again, and beside the renderer alone.

    python benchmarks/workflow.py graph
    python benchmarks/workflow.py finished --folder FOLDER
    python benchmarks/workflow.py renderer --size 96 --steps 192

`graph`: `snakemake -n` on the full experiment of config/paper.yaml (21,504 PNGs, 4 layers, 3 networks), with nothing
made yet, beside a workflow of one job a PNG and nothing else. The graph of the pictures alone, and of everything.

`finished`: in a copy of a folder where the workflow ran to its end: a run with nothing to do; and one picture deleted
and made again, beside the same channel rendered by the library in this process: the picture alone (`snakemake
pictures`), and with all that is made from pictures (`snakemake`).

`renderer`: pictures of a ResNet-18 from random weights, by the workflow and by `feature_vis.render` in this process, in
turns, both with `--threads` threads. The workflow's time counts from the command to its end.

Times are wall-clock; beside them stands the processor time of all processes together, which says more on a machine that
others use. Memory is the largest resident set of the snakemake process (or of a child, if that is larger).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the workflow's jobs have it; torch reads it once

import torch
from cost import Cost, run

from feature_vis.images.png import channel_of
from feature_vis.networks.models import build
from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render
from featurediff.config import make_plan
from featurediff.networks import load_network

ROOT = Path(__file__).resolve().parents[1]

CONTROL = "one job a picture"

# A rule that has one PNG as its output, and as its input what the workflow's jobs have.
ONE_JOB_A_PICTURE = """
CHANNELS = {channels}
NETWORKS = {networks}

rule all:
    input:
        [
            f"results/{{network}}/pictures/{{layer}}/channel{{channel}}.png"
            for network in NETWORKS for layer, channels in CHANNELS.items() for channel in channels
        ],

rule load:
    output:
        network="results/{{network}}/network.pth",
        digests=expand("results/{{{{network}}}}/digests/{{layer}}.sha256", layer=CHANNELS),
    shell:
        "touch {{output}}"

rule visualize:
    input:
        digest="results/{{network}}/digests/{{layer}}.sha256",
        network=ancient("results/{{network}}/network.pth"),
    output:
        "results/{{network}}/pictures/{{layer}}/channel{{channel}}.png",
    threads: 8
    resources:
        gpu=1,
        mem_mb=8000,
    params:
        recipe=dict(size=400, steps=256),
    shell:
        "touch {{output}}"
"""


def snakemake(folder: Path, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> Cost:
    """Run it in a folder; a run that fails ends the benchmark with its output."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder), *arguments]
    return run(folder, command)


@dataclass(frozen=True)
class Typical:
    """Medians over several runs."""

    seconds: float
    processor: float

    @classmethod
    def of(cls, costs: "list[Cost] | list[Typical]") -> "Typical":
        return cls(median(cost.seconds for cost in costs), median(cost.processor for cost in costs))

    def __sub__(self, other: "Typical") -> "Typical":
        return Typical(self.seconds - other.seconds, self.processor - other.processor)

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.processor:.1f} s of processor time)"


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="featurediff-benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def graph(arguments: argparse.Namespace) -> None:
    with scratch() as folder:
        config = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
        config["results"] = "results"
        (folder / "paper.yaml").write_text(yaml.safe_dump(config))
        plan = make_plan(config, ROOT / "config" / "schema.yaml", first=False)
        pictures = len(plan.networks) * sum(len(channels) for channels in plan.channels.values())
        control = folder / "control.smk"
        control.write_text(ONE_JOB_A_PICTURE.format(channels=plan.channels, networks=plan.networks))
        ours = ("--configfile", str(folder / "paper.yaml"), "-n", "--cores", "8", "--quiet", "all")
        theirs = ("-n", "--cores", "8", "--quiet", "all", "--workflow-profile", "none")
        runs: dict[str, list[Cost]] = {"pictures": [], "everything": [], CONTROL: []}
        snakemake(folder, "pictures", *ours)  # counts the channels, once for a config
        for _ in range(arguments.repeats):
            runs[CONTROL].append(snakemake(folder, *theirs, snakefile=control))
            runs["pictures"].append(snakemake(folder, "pictures", *ours))
            runs["everything"].append(snakemake(folder, *ours))
    print(
        f"{pictures} PNGs, {len(plan.layers)} layers, {len(plan.networks)} networks; `snakemake -n`, nothing made yet\n"
    )
    print("| graph | s | of the control's | s of processor time | of the control's | MiB |\n|---|---|---|---|---|---|")
    middle = {name: [median(part) for part in zip(*map(times, costs), strict=True)] for name, costs in runs.items()}
    for name, costs in runs.items():
        shares = [f"{mine:.1f} | {mine / other:.2f}" for mine, other in zip(middle[name], middle[CONTROL], strict=True)]
        print(f"| {name} | {' | '.join(shares)} | {max(cost.mebibytes for cost in costs):.0f} |")


def times(cost: Cost) -> tuple[float, float]:
    return cost.seconds, cost.processor


def finished(arguments: argparse.Namespace) -> None:
    with scratch() as place:
        folder = place / "copy"
        subprocess.run(["cp", "--archive", str(arguments.folder.resolve()), str(folder)], check=True)
        configfile = arguments.configfile or folder / "config.yaml"
        given = ["--cores", str(arguments.threads)]
        if arguments.configfile is not None:
            given += ["--configfile", str(arguments.configfile.resolve())]
        costs = [snakemake(folder, *given) for _ in range(arguments.repeats)]
        if "Nothing to be done" not in costs[0].output:
            sys.exit(f"the run in {arguments.folder} is not finished:\n{costs[0].output}")
        print(f"medians of {arguments.repeats} runs\nnothing to do: {Typical.of(costs)}")
        config = yaml.safe_load(configfile.read_text())
        plan = make_plan(config, ROOT / "config" / "schema.yaml", first=False)
        layer, network = plan.layers[-1], plan.networks[-1]
        picture = folder / plan.results / network / "pictures" / layer / f"channel{plan.channels[layer][0]}.png"
        before = picture.read_bytes()
        model = load_network(folder / plan.results / network / "network.pth").module()
        recipe = Recipe.from_settings(plan.recipe(layer, channel_of(picture)))
        alone: list[Typical] = []
        again: dict[str, list[Cost]] = {"pictures": [], "all": []}
        for _ in range(arguments.repeats):
            alone.append(timed_render(Objectives(model), layer, [channel_of(picture)], recipe, arguments.threads))
            for target, runs in again.items():
                picture.unlink()
                runs.append(snakemake(folder, target, *given))
                assert picture.read_bytes() == before
        print(f"one channel by the renderer alone: {Typical.of(alone)}")
        for target, runs in again.items():
            more = Typical.of(runs) - Typical.of(alone)
            print(f"one channel again, `snakemake {target}`: {Typical.of(runs)}, {more} more")


def timed_render(unit: Objectives, layer: str, channels: list[int], recipe: Recipe, threads: int) -> Typical:
    """For these channels' pictures, packed as PNGs too."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        started, used = time.perf_counter(), time.process_time()
        for result in render([unit(layer, channel) for channel in channels], recipe):
            result.image().save(Path(folder) / f"{result.index}.png")
        return Typical(time.perf_counter() - started, time.process_time() - used)


def renderer(arguments: argparse.Namespace) -> None:
    channels = list(range(arguments.batch))
    layers = ["layer3.0", "layer3.1"]
    config = {
        "threads": arguments.threads,
        "seeds": 1,
        "networks": {"base": {"model": "resnet18", "weights": "weights.pth"}},
        "visualize": {
            "recipe": {"size": arguments.size, "steps": arguments.steps},
            "batch": arguments.batch,
            "layers": {layer: {"channels": f"0-{channels[-1]}"} for layer in layers},
        },
    }
    torch.manual_seed(0)
    model = build("resnet18", weights=None)
    recipe = Recipe(size=arguments.size, steps=arguments.steps)
    whole: list[Cost] = []
    alone: list[Typical] = []
    with scratch() as folder:
        torch.save(model.state_dict(), folder / "weights.pth")
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        for _ in range(arguments.repeats):
            parts = [timed_render(Objectives(model), layer, channels, recipe, arguments.threads) for layer in layers]
            alone.append(Typical(sum(part.seconds for part in parts), sum(part.processor for part in parts)))
            cost = snakemake(folder, "pictures", "--cores", str(arguments.threads))
            assert len(list(folder.glob("results/base/pictures/*/channel*.png"))) == len(layers) * len(channels)
            whole.append(cost)
            shutil.rmtree(folder / "results")
    reference = Typical.of(alone)
    more = Typical.of(whole) - reference
    shares = f"{more.seconds / reference.seconds:.1%} ({more.processor / reference.processor:.1%} of processor time)"
    what = f"{arguments.size} px, {arguments.steps} steps, {arguments.threads} threads"
    print(f"{len(layers)} batches of {arguments.batch} pictures, {what}:")
    print(f"renderer alone {reference}, workflow {Typical.of(whole)}, medians of {arguments.repeats} runs")
    print(f"{more} more, {shares} of the rendering")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    for function in (graph, finished, renderer):
        kind = kinds.add_parser(function.__name__)
        kind.set_defaults(function=function)
        kind.add_argument("--repeats", type=int, default=3)
        kind.add_argument("--threads", type=int, default=2)
        if function is finished:
            kind.add_argument("--folder", type=Path, required=True, help="where the workflow ran to its end")
            kind.add_argument("--configfile", type=Path, help="as it was run; left out: its own config.yaml")
        if function is renderer:
            kind.add_argument("--batch", type=int, default=64)
            kind.add_argument("--size", type=int, default=96)
            kind.add_argument("--steps", type=int, default=192)
    arguments = parser.parse_args()
    arguments.function(arguments)


if __name__ == "__main__":
    main()
