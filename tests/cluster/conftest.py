"""A real Slurm on this machine, and a tiny experiment that runs through it.

Every wait has a limit, generous because the machine may be busy; a test as a whole has one, too. Whatever happens, the
jobs are cancelled and the daemons ended.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from filelock import FileLock
from places import REPOSITORY
from workflow.conftest import RECORDER, untrained_config

HERE = Path(__file__).parent
FOLDER = Path("/tmp/featurediff-slurm")  # one for the machine: its Slurm is one, too
GPUS = ("1", "1", "2")  # of node1, node2, node3
LIMIT = 1500  # seconds for a test with the fixtures it is the first to ask for
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
# What a slow cluster may take its time for, a test may not; and there is no database to ask for states and accounts.
HASTE = ("--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")
HASTE += ("--seconds-between-status-checks", "2", "--latency-wait", "10")


def lacking() -> list[str]:
    """What the tests need and this machine has not."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if find_spec("snakemake_executor_plugin_slurm") is None:
        missing.append("snakemake-executor-plugin-slurm")
    return missing if os.geteuid() == 0 else [*missing, "root"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    with limited():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    with limited():
        return (yield)


@contextmanager
def limited(seconds: int = LIMIT) -> Iterator[None]:
    """Ends what takes longer, wherever it stands."""

    def end(*_: object) -> None:
        raise TimeoutError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Job:
    """What Slurm knows of a job."""

    number: int
    rule: str
    state: str
    node: str
    gpus: int
    memory: str
    start: datetime | None
    end: datetime | None

    @classmethod
    def parse(cls, line: str) -> "Job":
        """From a line of `scontrol show job --oneliner`."""
        found = dict(re.findall(r"(\w+)=(\S*)", line))
        gpus = re.search(r"gpu:(\d+)", found.get("TresPerJob", ""))
        rule = re.match(r"rule_([a-z_]+?(?:_\d+)?)(?:_wildcards|$)", found.get("Comment", ""))
        return cls(
            number=int(found["JobId"]),
            rule=rule.group(1) if rule else found.get("Comment", ""),
            state=found["JobState"],
            node=found.get("NodeList", ""),
            gpus=int(gpus.group(1)) if gpus else 0,
            memory=found.get("MinMemoryNode", ""),
            start=_time(found["StartTime"]),
            end=_time(found["EndTime"]),
        )


def _time(text: str) -> datetime | None:
    return None if text in ("Unknown", "N/A") else datetime.fromisoformat(text)


class Slurm:
    """The cluster: two nodes with a GPU each, a third one with two; GPUs that are none."""

    def ask(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    def jobs(self) -> list[Job]:
        """Every job since Slurm started, by number."""
        lines = self.ask("scontrol", "show", "job", "--oneliner").splitlines()
        return sorted((Job.parse(line) for line in lines if line.startswith("JobId=")), key=lambda job: job.number)

    def set_node(self, name: str, state: str) -> None:
        self.ask("scontrol", "update", f"nodename={name}", f"state={state}", "reason=test")

    def cancel_all(self) -> None:
        self.ask("scancel", "--full", "--user=root")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        wait_for(lambda: not self.ask("squeue", "--noheader"), "an empty queue")

    def use(self, *names: str) -> None:
        """These nodes take jobs, all others do not."""
        for name, state in self._nodes().items():
            if name in names and state != "idle":
                self.set_node(name, "resume")
            elif name not in names and state == "idle":
                self.set_node(name, "drain")
        wait_for(
            lambda: {name for name, state in self._nodes().items() if state == "idle"} == set(names),
            f"{names} and no other node to take jobs",
        )

    def _nodes(self) -> dict[str, str]:
        lines = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return {name: state for name, _, state in (line.partition(" ") for line in lines)}

    def left_on_nodes(self) -> dict[int, list[str]]:
        """For each job that ended on a node, the files that it left in the node's own places."""
        left: dict[int, list[str]] = {}
        notes = FOLDER / "nodes" / "left.txt"
        for line in notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []:
            number, _, file = line.partition(" ")
            left.setdefault(int(number), []).extend([file] if file else [])
        return left


def most_at_once(jobs: list[Job]) -> int:
    """How many of these jobs held a GPU at one moment, by Slurm's own times."""
    held = [(job.start, job.end) for job in jobs if job.gpus and job.start and job.end]
    return max((sum(start <= moment < end for start, end in held) for moment, _ in held), default=0)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Without a Slurm to start the tests are skipped, in CI they fail."""
    if missing := lacking():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"a real Slurm needs {', '.join(missing)}")
    with FileLock(f"{FOLDER}.lock"):
        subprocess.run([HERE / "stop_slurm.sh", FOLDER], timeout=600, check=False)  # of a session that was killed
        try:
            subprocess.run([HERE / "start_slurm.sh", FOLDER, *GPUS], timeout=600, check=True)
            yield Slurm()
        finally:
            subprocess.run([HERE / "stop_slurm.sh", FOLDER], timeout=600, check=False)
        assert still_running() == []


def still_running() -> list[str]:
    """What is left of the cluster: its daemons, which were started with its folder, and its jobs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            name = process.name()
            ours = name in ("slurmd", "slurmctld", "munged") and str(FOLDER) in " ".join(
                [*process.cmdline(), *(file.path for file in process.open_files())]
            )
            if ours or process.environ().get("SLURM_CLUSTER_NAME") == "featurediff-test":
                found.append(f"{process.pid} {name}")
    return found


@dataclass
class ClusterRun:
    """An experiment in a folder of its own that snakemake runs through Slurm with the project's profile."""

    folder: Path
    slurm: Slurm
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    first: int = field(default=0, init=False)  # number of the first job of the last run

    def __post_init__(self) -> None:
        """A network without training and three pictures, each a job: loading and starting is all that takes time."""
        (self.folder / "tmp").mkdir(parents=True)
        config = untrained_config(self.folder, {"layer1.0": "0-2"}, batch=1)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def record(self, **settings: str) -> None:
        """From now on, note what each job uses (workflow/recorder/sitecustomize.py)."""
        (self.folder / "records").mkdir()
        self.environment = {"PYTHONPATH": str(RECORDER), "RECORD": str(self.folder / "records"), **settings}

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in (self.folder / "records").glob("*.json")]

    def start(self, *arguments: str) -> "ClusterRun":
        self.first = max((job.number for job in self.slurm.jobs()), default=0) + 1
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "pictures"]
        command += ["--workflow-profile", str(REPOSITORY / "profiles" / "slurm"), *HASTE, *arguments]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SLURM"))}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment["TMPDIR"] = str(self.folder / "tmp")
        environment |= self.environment
        with (self.folder / "output.txt").open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        return self

    def finish(self, seconds: float = 1500) -> int:
        assert self.process is not None
        return self.process.wait(timeout=seconds)

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Nothing of it goes on afterwards, whatever happened."""
        try:
            yield
        finally:
            if self.process is not None and self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(timeout=60)
            self.slurm.cancel_all()

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text(encoding="utf-8")

    def jobs(self, rule: str = "") -> list[Job]:
        """Those of the last run."""
        return [job for job in self.slurm.jobs() if job.number >= self.first and job.rule.startswith(rule)]

    def running(self) -> list[Job]:
        """Jobs that render, now."""
        return [job for job in self.jobs("visualize") if job.state == "RUNNING"]

    def pictures(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (self.folder / "results").glob("base/pictures/*/channel*.png")}

    def logs(self) -> list[str]:
        return [file.read_text(encoding="utf-8") for file in self.folder.glob("results/logs/visualize/**/*.log")]


@pytest.fixture
def run(slurm: Slurm, tmp_path: Path) -> Iterator[ClusterRun]:
    """An experiment that has not been started; what it started is ended after the test."""
    made = ClusterRun(tmp_path / "run", slurm)
    with made.ended():
        yield made
