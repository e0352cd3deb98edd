"""The whole workflow on real weights and photographs: a ResNet-50 of ImageNet, fine-tuned to dogs and to cars.

    python benchmarks/real.py --data DATA --folder FOLDER

DATA holds `weights/resnet50.pth`, `dog-breed-identification/` as Kaggle has it and `stanford_cars/` with its devkit, in
full or in part. The run lies in FOLDER afterwards, its page at FOLDER/results/report/index.html; a second call goes on
with it. Printed: how well the networks classify beside what always naming the commonest class would reach, how many
pictures failed, and how many channels changed.

tests/workflow/test_real.py runs the same experiment, smaller.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]


def experiment(
    data: Path, *, channels: int, size: int, steps: int, seeds: int, pixels: int, epochs: int
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
            "layers": {"layer3.5": {"channels": "0-1"}, "layer4.2": {"channels": f"0-{channels - 1}"}},
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--channels", type=int, default=24)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pixels", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    given = vars(parser.parse_args())
    folder, cores = given.pop("folder"), given.pop("cores")
    folder.mkdir(parents=True, exist_ok=True)
    config = experiment(given.pop("data").resolve(), **given)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    if subprocess.run([*command, "--cores", str(cores)], check=False).returncode != 0:
        sys.exit("the run failed: see above")
    results = folder / "results"
    print(accuracies(results, ["dogs", "cars"]).round(3).to_string())
    pictures = sum(len(pd.read_csv(table)) for table in results.glob("*/features/*.csv"))
    print(f"failed: {len(pd.read_csv(results / 'bad_channels.csv'))} of {pictures} pictures")
    for network in ("dogs", "cars"):
        print(pd.read_csv(results / "compare" / network / "summary.csv").to_string(index=False))
    print(f"the page: {results / 'report' / 'index.html'}")


if __name__ == "__main__":
    main()
