"""Signals to a job, to the workflow, and to both: one message, nothing half done, and the same command goes on."""

import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from faults.conftest import LAYER, PATIENCE, Disturbed, Survives, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.long]

# The job stands where it is about to move its second picture into place.
AT_A_PICTURE = {"job": "visualize/base", "path": rf"/pictures/{LAYER}/channel1\.png$", "do": "pause"}


def a_job(workflow: subprocess.Popen[str]) -> psutil.Process:
    """The script that the workflow runs at the moment."""
    found = [
        process
        for process in psutil.Process(workflow.pid).children(recursive=True)
        if any("/.snakemake/scripts/" in argument for argument in process.cmdline()[1:2])
    ]
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def workflow(half: Disturbed) -> Iterator[subprocess.Popen[str]]:
    """At work: its job is about to move its second picture into place."""
    with half.started("pictures", orders=(AT_A_PICTURE,)) as workflow:
        wait_until(half.followed, "the job is at its second picture")
        yield workflow


def goes_on(half: Disturbed) -> None:
    assert "Traceback" not in half.said
    assert half.run("pictures").rendered < 3, "what was finished is rendered again"


def test_sigterm_to_a_job(half: Disturbed, workflow: subprocess.Popen[str], survives: Survives) -> None:
    with survives("SIGTERM to a job", half):
        a_job(workflow).terminate()
        assert workflow.wait(PATIENCE) != 0
        assert "ended by SIGTERM" in half.said
        assert "run again to continue from here" in half.said
        assert "results/logs/visualize/base" in half.said  # Snakemake names the job's log and files
        goes_on(half)


def test_sigterm_to_the_workflow(half: Disturbed, workflow: subprocess.Popen[str], survives: Survives) -> None:
    """Snakemake lets the job finish, and then stops."""
    with survives("SIGTERM to the workflow", half):
        workflow.terminate()
        (half.orders / "go").touch()
        workflow.wait(PATIENCE)
        goes_on(half)


def test_ctrl_c(half: Disturbed, workflow: subprocess.Popen[str], survives: Survives) -> None:
    with survives("Ctrl-C", half):
        os.killpg(workflow.pid, signal.SIGINT)
        assert workflow.wait(PATIENCE) != 0
        assert "interrupted: run the same command again to continue from here" in half.said
        goes_on(half)


def test_kill_9_to_the_workflow(half: Disturbed, workflow: subprocess.Popen[str], survives: Survives) -> None:
    """Its job ends by itself. Snakemake's lock stays, and its message says how to remove it."""
    with survives("kill -9 to the workflow", half):
        job = a_job(workflow)
        workflow.kill()
        workflow.wait(PATIENCE)
        job.wait(PATIENCE)
        assert "the workflow that started this job is gone" in half.said
        assert "--unlock" in half.run("pictures", check=False).output
        half.run("--unlock")
        goes_on(half)
