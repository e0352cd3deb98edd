"""The whole workflow on real weights and photographs: a ResNet-50 of ImageNet, fine-tuned to dogs and to cars.

    python benchmarks/real.py --data DATA --folder FOLDER

DATA holds `weights/resnet50.pth`, `dog-breed-identification/` as Kaggle has it and `stanford_cars/` with its devkit, in
full or in part. The networks are trained first; then channels of `layer4.2` are chosen, a third that turned most
towards dogs, a third towards cars, and a third spread over the layer, and all is rendered and compared. The run lies in
FOLDER afterwards, its page at FOLDER/results/report/index.html; a second call goes on with it. Printed: how well the
networks classify beside what always naming the commonest class would reach, how many pictures failed, and how many
channels changed. FOLDER/turned.png has the channels that turned most, before and after.

tests/workflow/test_real.py runs the same experiment, smaller.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image

from feature_vis.networks.activations import activations_of
from featurediff.data.split import read_split
from featurediff.data.torch_dataset import PictureDataset, photograph_batches, val_transform
from featurediff.networks import load_network

ROOT = Path(__file__).resolve().parents[1]

LAYER = "layer4.2"
TUNED = ("dogs", "cars")


def experiment(
    data: Path, *, channels: list[int], size: int, steps: int, seeds: int, pixels: int, epochs: int
) -> dict[str, Any]:
    """The config: `channels` of layer4.2 and two of the frozen layer3.5, `size` px and `steps` steps a picture.

    `pixels`: of a training picture's side. What learns is layer4 and the head.
    """
    training = {"epochs": epochs, "train_from": "layer4", "batch_size": 32, "size": pixels}
    training |= {"resize": pixels * 8 // 7, "learning_rate": 3.0e-4, "learning_rate_decay": 0.6}
    return {
        "seeds": seeds,
        "data": {
            "dogs": {"format": "kaggle_dogs", "root": str(data / "dog-breed-identification")},
            "cars": {"format": "stanford_cars", "root": str(data / "stanford_cars")},
        },
        "networks": {
            "base": {"model": "resnet50", "weights": str(data / "weights" / "resnet50.pth")},
            "dogs": {"weights": "base", "data": "dogs", "training": training},
            "cars": {"weights": "base", "data": "cars", "training": training},
        },
        "visualize": {
            "recipe": {"size": size, "steps": steps},
            "layers": {"layer3.5": {"channels": "0-1"}, LAYER: {"channels": channels}},
        },
    }


def commonest_share(split: Path) -> float:
    """The accuracy on a split's validation pictures of always naming the commonest class."""
    table = pd.read_csv(split)
    return float(table.loc[table["split"] == "val", "class_index"].value_counts(normalize=True).iloc[0])


def accuracies(results: Path, networks: list[str]) -> pd.DataFrame:
    """A row a network: `accuracy` of its best epoch on validation pictures, `chance` as in `commonest_share`."""
    logs = {name: pd.read_csv(results / name / "training.csv") for name in networks}
    rows = [
        {"accuracy": log["val_accuracy"].max(), "chance": commonest_share(results / "data" / name / "split.csv")}
        for name, log in logs.items()
    ]
    return pd.DataFrame(rows, index=networks)


def mean_activations(results: Path, network: str, data: Path, task: str, size: int) -> np.ndarray:
    """(K,): the mean activation of the layer's channels over a task's validation pictures."""
    split = read_split(results / "data" / task / "split.csv")
    pictures = PictureDataset(data, split, "val", val_transform(size, resize=size * 8 // 7))
    model, sums = load_network(results / network / "network.pth").module().eval(), 0.0
    with activations_of(model, [LAYER]) as activations, torch.no_grad():
        for batch in photograph_batches([pictures], 32):
            sums += activations(batch)[LAYER].mean((2, 3)).double().sum(0).numpy()
    return np.asarray(sums / len(pictures))


def turned(means: dict[str, dict[str, np.ndarray]], network: str) -> np.ndarray:
    """(K,): by how much the channels prefer the network's own task more than they did in the base.

    Preference is (own - other) / (own + other), of `means[network][task]`. Channels that are weaker on their own task
    than half of their layer count as not turned.
    """
    (other,) = set(TUNED) - {network}

    def preference(of: dict[str, np.ndarray]) -> np.ndarray:
        return (of[network] - of[other]) / (of[network] + of[other] + 1e-9)

    own = means[network][network]
    return np.where(own >= np.median(own), preference(means[network]) - preference(means["base"]), -2.0)


def choose(results: Path, roots: dict[str, Path], size: int, count: int) -> dict[str, list[int]]:
    """The `count` channels that turned most towards each task, most first; and as many, spread over the layer."""
    means = {
        network: {task: mean_activations(results, network, roots[task], task, size) for task in TUNED}
        for network in ("base", *TUNED)
    }
    chosen = {name: np.argsort(-turned(means, name), kind="stable")[:count].tolist() for name in TUNED}
    layer = len(means["base"]["dogs"])
    return {**chosen, "spread": np.linspace(0, layer - 1, count).round().astype(int).tolist()}


def show(results: Path, chosen: dict[str, list[int]], file: Path, across: int = 6) -> None:
    """A strip a task: the channels that turned most, the base's pictures above, the tuned network's below."""
    strips = []
    for network in TUNED:
        for name in ("base", network):
            pictures = [results / name / "pictures" / LAYER / f"channel{k}.png" for k in chosen[network][:across]]
            strips.append(np.concatenate([np.asarray(Image.open(picture)) for picture in pictures], axis=1))
    Image.fromarray(np.concatenate(strips)).save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--channels", type=int, default=24, help="a third for each task, a third spread over the layer")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pixels", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    given = vars(parser.parse_args())
    folder, cores, channels = (given.pop(name) for name in ("folder", "cores", "channels"))
    folder.mkdir(parents=True, exist_ok=True)
    data, results = given.pop("data").resolve(), folder / "results"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(cores)]

    def run(channels: list[int], *targets: str) -> dict[str, Any]:
        config = experiment(data, channels=channels, **given)
        if not torch.cuda.is_available():
            config |= {"threads": 1, "gpu": 0}  # as many jobs at once as there are cores
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        if subprocess.run([*command, *targets], check=False).returncode != 0:
            sys.exit("the run failed: see above")
        return config

    config = run([0], *(f"results/{name}/network.pth" for name in ("base", *TUNED)))
    roots = {name: Path(config["data"][name]["root"]) for name in TUNED}
    chosen = choose(results, roots, given["pixels"], channels // 3)
    run(sorted({channel for channels in chosen.values() for channel in channels}))
    show(results, chosen, folder / "turned.png")
    print(f"turned most: {chosen}")
    print(accuracies(results, list(TUNED)).round(3).to_string())
    pictures = sum(len(pd.read_csv(table)) for table in results.glob("*/pictures/*.csv"))
    print(f"failed: {len(pd.read_csv(results / 'failed_pictures.csv'))} of {pictures} pictures")
    for network in TUNED:
        print(pd.read_csv(results / "compare" / network / "summary.csv").to_string(index=False))
    print(f"the page: {results / 'report' / 'index.html'}")


if __name__ == "__main__":
    main()
