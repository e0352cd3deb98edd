"""`featurediff run`: snakemake gets the user's options and its exit status is handed on; how the workflow is found."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from feature_vis.errors import InputError
from featurediff.cli import workflow as module
from featurediff.cli.workflow import find_workflow

Run = Callable[..., Result]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run; in place of each runs a process that ends with 7."""
    commands: list[list[str]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: object) -> None:
            commands.append(command[1:])
            super().__init__([sys.executable, "-c", "import sys; sys.exit(7)"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "Popen", Popen)
    return commands


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    (tmp_path / "config.yaml").touch()
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-n", "results/base/network.pth"),
        ("--config", "threads=2", "gpu=0", "--rerun-incomplete"),
        ("--jobscript", "job.sh"),
        ("--report", "report.html"),
    ],
)
def test_all_cores_where_no_option_limits_the_jobs(
    options: tuple[str, ...], run: Run, folder: Path, workflow: Path, called: list[list[str]]
) -> None:
    assert run("run", "--directory", folder, *options).exit_code == 7
    start = ["-m", "snakemake", "--snakefile", str(workflow / "Snakefile"), "--directory", str(folder)]
    assert called == [[*start, "--cores", "all", *options]]


@pytest.mark.parametrize(
    "option", ["-c4", "-c 4", "--cores=2", "-j 1", "--jobs 9", "--workflow-profile slurm", "--profile=p", "-e slurm"]
)
def test_an_option_that_limits_the_jobs_stands(option: str, run: Run, folder: Path, called: list[list[str]]) -> None:
    run("run", "-d", folder, "-n", *option.split())
    assert called[0][-1 - len(option.split()) :] == ["-n", *option.split()]
    assert "all" not in called[0]


def test_without_a_config_nothing_runs_and_the_way_to_one_is_said(
    run: Run, tmp_path: Path, called: list[list[str]]
) -> None:
    result = run("run", "--directory", tmp_path, "-n")
    assert result.exit_code == 1
    assert f"there is no config.yaml in {tmp_path}" in result.stderr
    assert "featurediff init demo --example demo" in result.stderr
    assert called == []
    assert run("run", "--directory", tmp_path, "--configfile", "other.yaml").exit_code == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_snakemake_ends_by_itself_before_this_process_does(number: signal.Signals, tmp_path: Path) -> None:
    """A stand-in for snakemake takes half a second to end after the signal, as snakemake does with its jobs."""
    package = tmp_path / "snakemake"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import signal, sys, time\n"
        "def end(*_): time.sleep(0.5); print('ended', flush=True); sys.exit(3)\n"
        "signal.signal(signal.SIGINT, end); signal.signal(signal.SIGTERM, end)\n"
        "print('started', flush=True); time.sleep(60)\n"
    )
    (tmp_path / "config.yaml").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "featurediff", "run", "--directory", tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(0.1)  # until the handlers of this process stand
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal sends it to the whole group
    else:
        process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert (output, process.returncode) == ("ended\n", 3)


def test_the_workflow_of_the_checkout_of_the_installed_package_and_another(
    tmp_path: Path, workflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_workflow() == workflow
    package = tmp_path / "site-packages" / "featurediff"
    (package / "workflow" / "rules").mkdir(parents=True)
    (package / "workflow" / "Snakefile").touch()
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert find_workflow() == package / "workflow"
    assert find_workflow(workflow) == workflow
    with pytest.raises(InputError, match="there is no workflow in"):
        find_workflow(tmp_path)


def test_the_examples_can_be_written(run: Run, tmp_path: Path, workflow: Path) -> None:
    result = run("init", tmp_path / "demo", "--example", "demo")
    assert result.exit_code == 0
    assert f"featurediff run --directory {tmp_path / 'demo'}" in result.stdout
    assert (tmp_path / "demo" / "config.yaml").read_bytes() == (workflow / "config.yaml").read_bytes()
    assert run("init", tmp_path, "--example", "paper").exit_code == 0
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["results"] == "results/paper"
    assert "there are demo, paper, paper-faithful" in run("init", tmp_path / "x", "--example", "zzz").stderr
