"""`featurediff run`: snakemake gets the user's options and its exit status is handed on; how the workflow is found."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import REPOSITORY, python

from feature_vis.errors import InputError
from featurediff.cli import workflow as module
from featurediff.cli.workflow import find_workflow


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run; in place of each runs a process that ends with 7."""
    commands: list[list[str]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: object) -> None:
            commands.append(command[1:])
            super().__init__([sys.executable, "-c", "import sys; sys.exit(7)"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "Popen", Popen)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    return commands


@pytest.mark.parametrize(
    ("options", "limited"),
    [
        ("", False),
        ("-n results/base/network.pth", False),
        ("--config threads=2 gpu=0 --rerun-incomplete", False),
        ("--jobscript job.sh", False),
        ("--report report.html", False),
        *((f"-n {option}", True) for option in ("-c4", "-c 4", "--cores=2", "-j 1", "--jobs 9", "--profile=p")),
        *((f"-n {option}", True) for option in ("--workflow-profile slurm", "-e slurm")),
    ],
)
def test_all_cores_where_no_option_limits_the_jobs(
    options: str, limited: bool, run, tmp_path: Path, called: list[list[str]]
) -> None:
    (tmp_path / "config.yaml").touch()
    run("run", "-d", tmp_path, *options.split(), status=7)
    start = ["-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)]
    assert called == [[*start, *([] if limited else ["--cores", "all"]), *options.split()]]


def test_without_a_config_nothing_runs_and_the_way_to_one_is_said(run, tmp_path: Path, called: list[list[str]]) -> None:
    errors = run("run", "--directory", tmp_path, "-n", status=1).stderr
    assert f"there is no config.yaml in {tmp_path}" in errors
    assert "featurediff init demo --example demo" in errors
    assert called == []
    run("run", "--directory", tmp_path, "--configfile", "other.yaml", status=7)


STAND_IN = """
import signal, sys, time
def end(*_): time.sleep(0.5); print('ended', flush=True); sys.exit(3)
signal.signal(signal.SIGINT, end); signal.signal(signal.SIGTERM, end)
print('started', flush=True); time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_snakemake_ends_by_itself_before_this_process_does(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for snakemake takes half a second to end after the signal, as snakemake does with its jobs."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "snakemake").mkdir()
    (tmp_path / "snakemake" / "__init__.py").touch()
    (tmp_path / "snakemake" / "__main__.py").write_text(STAND_IN)
    (tmp_path / "config.yaml").touch()
    code = "from featurediff.cli.main import main; main()"
    process = python(code, "run", "--directory", tmp_path, stdout=subprocess.PIPE, start_new_session=True)
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_workflow() == REPOSITORY
    package = tmp_path / "site-packages" / "featurediff"
    (package / "workflow" / "rules").mkdir(parents=True)
    (package / "workflow" / "Snakefile").touch()
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert find_workflow() == package / "workflow"
    assert find_workflow(REPOSITORY) == REPOSITORY
    (tmp_path / "Snakefile").touch()  # somebody else's
    with pytest.raises(InputError, match="there is no workflow in"):
        find_workflow(tmp_path)
