"""A small experiment with every step of the workflow, its undisturbed outcome, and ways to disturb it."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch
from filelock import FileLock
from workflow.conftest import Experiment, copy_of, environment

from feature_vis.networks.models import build

SABOTEUR = Path(__file__).parent / "saboteur"
ARCHITECTURE, LAYER = "shufflenet_v2_x0_5", "stage2.3"
Survives = Callable[..., AbstractContextManager[None]]  # see the fixture `survives`
PATIENCE = 300  # seconds that a busy machine may take for what takes one or two

# What may differ between two runs, and why. Everything else in `results` must be equal, byte for byte.
TIMES = ("logs/", "benchmarks/")  # how long it took, and what was said meanwhile
SPEED = "images_per_second"  # a column of training.csv, and so in each checkpoint's row of it and on the page
OF_THE_RUN = ("made", "seconds", "devices")  # on the page: when and by what it was made, and how long that took


def small_config() -> dict[str, Any]:
    """A base that is loaded, a network tuned from it, one layer, three channels of two seeds, a film of one epoch."""
    return {
        "threads": 1,
        "gpu": 0,
        "seeds": 2,
        "data": {
            "shapes": {
                "format": "image_folder",
                "root": "pictures",
                "draw": {"kind": "shapes", "per_class": 3, "size": 32},
            }
        },
        "networks": {
            "base": {"model": ARCHITECTURE, "weights": "base.pth"},
            "tuned": {"weights": "base", "data": "shapes", "training": {"epochs": 2, "batch_size": 16, "size": 32}},
        },
        "visualize": {
            "recipe": {"size": 32, "steps": 2},
            "batch": 4,
            "layers": {LAYER: {"channels": "0-2"}},
        },
        "failed_pictures": {"max_contrast": 0},  # after two steps every picture is still grey
        "compare": {"pairs": 1, "top_images": 2},
        "film": {"channels": 1, "epochs": [0]},
    }


@dataclass
class Disturbed(Experiment):
    """An experiment whose jobs can be disturbed: see `saboteur/sitecustomize.py` for orders."""

    orders: Path = field(init=False)

    def __post_init__(self) -> None:
        self.orders = self.folder.parent / f"{self.folder.name}-orders"

    def run(self, *arguments: str, **options: Any) -> "Disturbed":
        return super().run(*arguments, PYTHONPATH=with_saboteur(), **options)

    def order(self, *orders: dict[str, Any]) -> dict[str, str]:
        """Give orders, in place of earlier ones; returns the variables that a run needs to follow them."""
        shutil.rmtree(self.orders, ignore_errors=True)
        self.orders.mkdir()
        (self.orders / "orders.json").write_text(json.dumps(orders))
        return {"SABOTAGE": str(self.orders / "orders.json")}

    def followed(self) -> list[dict[str, Any]]:
        """The orders that were followed, each with what the job was at."""
        return [json.loads(file.read_text()) for file in sorted(self.orders.glob("*.done"))]

    def disturbed(self, *orders: dict[str, Any], arguments: tuple[str, ...] = (), check: bool = False) -> str:
        """Run under orders; returns what snakemake and its jobs said."""
        return self.run(*arguments, check=check, **self.order(*orders)).output

    @contextmanager
    def started(self, *arguments: str, orders: tuple[dict[str, Any], ...] = ()) -> Iterator[subprocess.Popen[str]]:
        """Snakemake at work, in a process group of its own; its output goes to a file, `said` reads it."""
        variables = self.order(*orders)
        with self.said_file.open("w") as said:
            process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env={**environment(), "PYTHONPATH": with_saboteur(), **variables},
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.wait(PATIENCE)

    @property
    def said_file(self) -> Path:
        return self.folder.parent / f"{self.folder.name}-said.txt"

    @property
    def said(self) -> str:
        return self.said_file.read_text()

    @property
    def results(self) -> Path:
        return self.folder / "results"


def with_saboteur() -> str:
    return os.pathsep.join(filter(None, [str(SABOTEUR), os.environ.get("PYTHONPATH")]))


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)


def artifacts(results: Path) -> dict[str, Any]:
    """All that a run made, by its path below `results`, without what may differ between two runs."""
    return {
        name: _comparable(file)
        for file in sorted(results.rglob("*"))
        if file.is_file() and not (name := str(file.relative_to(results))).startswith(TIMES)
    }


def _comparable(file: Path) -> Any:
    if file.parent.name in ("checkpoints", ".training"):
        checkpoint = torch.load(file, weights_only=True)
        checkpoint["log"].pop(SPEED)
        return _plain(checkpoint)
    if file.name == "training.csv":
        return pd.read_csv(file).drop(columns=SPEED).to_csv()
    if file.name == "run.js":
        run = json.loads(file.read_text().partition(",")[2].removesuffix(");\n"))
        for row in (row for rows in run["training"].values() for row in rows):
            row.pop(SPEED)
        return {name: value for name, value in run.items() if name not in OF_THE_RUN}
    return file.read_bytes()


def _plain(value: Any) -> Any:
    """Tensors as bytes, so that two can be compared with ==."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


class Change(NamedTuple):
    """One change of a file: the job's log, the change's number in the job, what was done to which path."""

    log: str
    number: int
    event: str
    path: str
    script: str

    @property
    def step(self) -> str:
        """The name of its script, without `.py`."""
        return self.script.split(".")[1]


class Undisturbed(Disturbed):
    """The experiment that nothing happened to: only to be looked at and copied."""

    def changes(self) -> list[Change]:
        """What its jobs changed, each in its order."""
        traces = sorted((self.folder.parent / "trace").glob("*.jsonl"))
        return [Change(*json.loads(line)) for file in traces for line in file.read_text().splitlines()]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Undisturbed:
    """The first of the test processes runs it for all."""
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "faults"
    shared.mkdir(exist_ok=True)
    experiment = Undisturbed(shared / "undisturbed", small_config())
    output = shared / "output.txt"
    with FileLock(shared / "undisturbed.lock"):
        if not output.exists():
            begin(experiment.folder)
            (shared / "trace").mkdir()
            experiment.run(TRACE=str(shared / "trace"))
            output.write_text(experiment.output)
    experiment.output = output.read_text()
    return experiment


def begin(folder: Path) -> None:
    """What an experiment has before anything ran: the base's weights."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(build(ARCHITECTURE, classes=4).state_dict(), folder / "base.pth")


@pytest.fixture
def fresh(undisturbed: Undisturbed, tmp_path: Path) -> Disturbed:
    """The experiment before anything ran."""
    experiment = Disturbed(tmp_path / "fresh", small_config())
    experiment.folder.mkdir()
    shutil.copy(undisturbed.folder / "base.pth", experiment.folder)
    return experiment


@pytest.fixture
def finished(undisturbed: Undisturbed, tmp_path: Path) -> Disturbed:
    """A copy of the undisturbed outcome, to be damaged."""
    return Disturbed(copy_of(undisturbed, tmp_path / "copy"), small_config())


@pytest.fixture
def half(finished: Disturbed) -> Disturbed:
    """A copy in which the base's first pictures are to be rendered again."""
    for channel in range(3):
        (finished.results / f"base/pictures/{LAYER}/channel{channel}.png").unlink()
    return finished


@pytest.fixture
def survives(undisturbed: Undisturbed, record_property: Callable[[str, object], None]) -> Survives:
    """`with survives("a full disk", experiment): …` counts a fault, and counts it as survived if the block ends well.

    It ends well if the experiment's results, or the part `below` a path, then equal the undisturbed ones.
    """

    @contextmanager
    def count(name: str, experiment: Disturbed | None, times: int = 1, below: str = "") -> Iterator[None]:
        record_property("faults", times)
        yield
        if experiment is not None:
            found, wanted = artifacts(experiment.results), artifacts(undisturbed.results)
            assert [name for name in differences(found, wanted) if name.startswith(below)] == []
            assert not [str(file) for file in experiment.results.rglob("*.tmp*")]
        record_property("survived", times)

    return count


def jobs(said: str) -> list[str]:
    """The rules of the jobs that a run started."""
    return re.findall(r"^(?:local)?rule (\w+):$", said, re.MULTILINE)
