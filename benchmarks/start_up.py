"""What a data set of many files costs before the first step of a training, in time and in memory.

    python benchmarks/start_up.py --files 100000

Small real JPEGs, hard links to a few files, a hundred classes, in a folder that is removed in the end. Each line is a
process of its own, from its start: `snakemake -n` with nothing made yet; the listing and splitting of the data set, no
picture opened; the start of a training from the split, up to its first batch; and the split's job with its check, which
decodes every picture once, and is done once for a data set. Beside each the same with a hundredth of the files.

Times are wall-clock, in brackets those of all processors, which other work on the machine hardly changes; memory is the
largest resident set of the process (or of a child, if that is larger).
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from cost import Cost, run
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 100
SIZE = 64
LINKS = 60_000  # a file can have: file systems allow some 65,000

LIST = """
from featurediff.data.split import make_split, write_split
table, _ = make_split("image_folder", "pictures", val_fraction=0.1, seed=0, verify=False)
write_split("split.csv", table)
"""

TRAIN = f"""
from pathlib import Path
import torch
from feature_vis.networks.models import build
from featurediff.data.split import read_split
from featurediff.training.loading import Stream
from featurediff.training.settings import TrainingSettings
from featurediff.training.finetune import set_up_training
settings = TrainingSettings(epochs=1, size={SIZE})
setup = set_up_training(build("resnet18"), read_split("split.csv"), Path("pictures"), settings)
stream = Stream(setup.train, setup.validation, settings, range(1), 0, torch.device("cpu"))
pictures, labels = next(stream.training(0))
setup.model(pictures)
"""


def draw(folder: Path, files: int) -> None:
    """So many links to JPEGs of noise that was smoothed, in folders by class."""
    random = np.random.default_rng(0)
    shape = (SIZE // 8, SIZE // 8, 3)
    drawn = []
    for number in range(8 + files // LINKS):
        drawn.append(folder / f"{number}.jpg")
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).resize((SIZE, SIZE)).save(drawn[-1], quality=85)
    for label in range(CLASSES):
        place = folder / "pictures" / f"class{label:03d}"
        place.mkdir(parents=True)
        for number in range(files // CLASSES):
            os.link(drawn[number % len(drawn)], place / f"{number:06d}.jpg")
    for file in drawn:
        file.unlink()


def config() -> dict:
    training = {"epochs": 1, "size": SIZE}
    return {
        "data": {"pictures": {"format": "image_folder", "root": "pictures"}},
        "networks": {"base": {"model": "resnet18", "data": "pictures", "training": training}},
        "visualize": {"layers": {"layer4.1": {"channels": "0-63"}}},
    }


@contextmanager
def data_set(files: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="featurediff-benchmark-"))
    try:
        draw(folder, files)
        (folder / "config.yaml").write_text(yaml.safe_dump(config()))
        yield folder
    finally:
        shutil.rmtree(folder)


def measure(files: int, repeats: int, cores: int) -> dict[str, Cost]:
    """Line -> the run of median time."""
    snakemake = (sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores))
    split = "results/data/pictures/split.csv"
    steps = {
        "`snakemake -n`": (*snakemake, "-n", "--quiet", "all"),
        "listing and splitting": (sys.executable, "-c", LIST),
        "a training's start, to its first batch": (sys.executable, "-c", TRAIN),
        "the split's job, every picture decoded": (*snakemake, split, "--forcerun", "split_data"),
    }
    with data_set(files) as folder:
        weigh = partial(run, folder)
        weigh(steps["`snakemake -n`"])  # asks once about the networks
        costs = {name: [weigh(command) for _ in range(repeats)] for name, command in steps.items()}
    return {name: sorted(runs, key=lambda cost: cost.seconds)[len(runs) // 2] for name, runs in costs.items()}


def cell(cost: Cost) -> str:
    return f"{cost.seconds:.1f} s ({cost.processor:.1f} s), {cost.mebibytes:.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    few = max(arguments.files // 100, 2 * CLASSES)
    counts = (few, arguments.files)
    costs = [measure(files, arguments.repeats, arguments.cores) for files in counts]
    print(f"JPEGs of {SIZE} px in {CLASSES} classes, {arguments.cores} cores, median of {arguments.repeats} runs\n")
    print("| step | " + " | ".join(f"{files:,} files" for files in counts) + " |\n|---|---|---|")
    for name in costs[0]:
        print(f"| {name} | " + " | ".join(cell(cost[name]) for cost in costs) + " |")


if __name__ == "__main__":
    main()
