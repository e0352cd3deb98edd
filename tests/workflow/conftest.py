"""A tiny experiment, run once for the session; each test changes a copy of it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from PIL import Image
from places import REPOSITORY

from feature_vis.networks.models import build

RECORDER = Path(__file__).parent / "recorder"


def tiny_config() -> dict[str, Any]:
    """Two drawn classes, three networks, two layers, five channels, two steps."""
    training = {"epochs": 2, "batch_size": 4, "size": 32}
    return {
        "threads": 1,
        "seeds": 1,
        "data": {
            "first": {"format": "image_folder", "root": "pictures/first"},
            "second": {"format": "image_folder", "root": "pictures/second"},
        },
        "networks": {
            "base": {"model": "resnet18", "data": "first", "training": dict(training)},
            "dogs": {"weights": "base", "data": "second", "training": {**training, "train_from": "layer4.1"}},
            "cars": {"weights": "base", "data": "second", "training": {**training, "train_from": "layer4.0"}},
        },
        "visualize": {
            "recipe": {"size": 32, "steps": 2},
            "batch": 2,
            "layers": {"layer3.1": {"channels": "0-2"}, "layer4.1": {"channels": [0, 5]}},
        },
        "failed_pictures": {"max_contrast": 0},  # after two steps every picture is still grey
        "compare": {"pairs": 1},
    }


def untrained_config(folder: Path, layers: dict[str, str], **visualize: Any) -> dict[str, Any]:
    """Pictures of one network whose weights are written into the folder: nothing is trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(build("resnet18", weights=None).state_dict(), folder / "weights.pth")
    return {
        "threads": 1,
        "seeds": 1,
        "networks": {"base": {"model": "resnet18", "weights": "weights.pth"}},
        "visualize": {
            "recipe": {"size": 32, "steps": 2},
            "layers": {name: {"channels": channels} for name, channels in layers.items()},
            **visualize,
        },
    }


# Names that a spreadsheet, a browser, a shell or a plot would run: the finished experiment goes through with them.
NASTY_CLASSES = ("=cmd|'calc'!A0", "<img src=x onerror=alert(1)>; $(touch pwned) `touch pwned` $\\q$ \"'")


def draw_pictures(root: Path, seed: int, classes: tuple[str, str] = ("blue", "red")) -> None:
    """Two classes of six pictures, told apart by their colour."""
    random = np.random.default_rng(seed)
    for index, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 80, size=(32, 32, 3), dtype=np.uint8)
            pixels[..., 2 - 2 * index] += 150
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def environment() -> dict[str, str]:
    """That of the tests, with their Python first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@dataclass
class Experiment:
    """A working folder with a config, in which snakemake runs."""

    folder: Path
    config: dict[str, Any]
    output: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    patience: ClassVar[int] = 1500  # seconds that a run may take

    def command(self, *arguments: str, cores: int = 2) -> list[str]:
        """Write the config, and say how snakemake is started."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        return [*command, "--directory", str(self.folder), "--cores", str(cores), *arguments]

    def run(self, *arguments: str, check: bool = True, cores: int = 2, **variables: str) -> "Experiment":
        """Run snakemake for real; its output is kept."""
        done = subprocess.run(
            self.command(*arguments, cores=cores),
            cwd=self.folder,
            env={**environment(), **self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.patience,
            check=False,
        )
        self.output = done.stdout
        assert not check or done.returncode == 0, self.output
        return self

    def render(self) -> "Experiment":
        """Run what the pictures need, and no table."""
        return self.run("pictures")

    def record(self, **settings: str) -> "Experiment":
        """From now on, note what each job uses (recorder/sitecustomize.py)."""
        records = self.folder / "records"
        records.mkdir(parents=True)
        path = os.pathsep.join(filter(None, [str(RECORDER), os.environ.get("PYTHONPATH")]))
        self.environment = {"PYTHONPATH": path, "RECORD": str(records), **settings}
        return self

    def records(self) -> list[dict[str, Any]]:
        """What each job of the recorded runs used, in order."""
        found = [json.loads(file.read_text()) for file in (self.folder / "records").glob("*.json")]
        return sorted(found, key=lambda record: record["began"])

    @property
    def rendered(self) -> int:
        """How many pictures the last run rendered."""
        return sum(int(number) for number in re.findall(r"rendered (\d+), reused \d+", self.output))

    @property
    def nothing_to_do(self) -> bool:
        return "Nothing to be done" in self.output

    def pictures(self) -> dict[str, bytes]:
        """Every picture's bytes, by its path below `results`."""
        results = self.folder / "results"
        return {
            str(file.relative_to(results)): file.read_bytes()
            for file in sorted(results.glob("*/pictures/*/channel*.png"))
        }


def copy_of(experiment: Experiment, folder: Path) -> Path:
    """Copy an experiment to a folder that is not there yet; a checkpoint has two names there, too, and one content."""
    subprocess.run(["cp", "--archive", "--reflink=auto", str(experiment.folder), str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Experiment:
    """The tiny experiment, run to its end: only to be looked at. The first of the test processes runs it for all."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    experiment = Experiment(shared / "tiny", tiny_config())
    output = shared / "tiny.txt"
    with FileLock(shared / "tiny.lock"):
        if not output.exists():
            draw_pictures(experiment.folder / "pictures" / "first", 0)
            draw_pictures(experiment.folder / "pictures" / "second", 1, NASTY_CLASSES)
            pictures = experiment.record().render().output  # one job after another: networks share some
            output.write_text(pictures + experiment.run("--resources", "gpu=2").output)
    experiment.output = output.read_text()
    return experiment


@pytest.fixture
def experiment(finished: Experiment, tmp_path: Path) -> Experiment:
    """A copy of the finished experiment, to be changed."""
    return Experiment(copy_of(finished, tmp_path / "copy"), tiny_config())
