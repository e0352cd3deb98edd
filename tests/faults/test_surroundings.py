"""The machine and its users: two runs at once, a clock that is set back, memory that does not suffice, a standstill."""

import os
import re
import subprocess
import time

import pytest

from faults.conftest import LAYER, PATIENCE, Disturbed, Survives, jobs, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.long]

PICTURES = [f"results/base/pictures/{LAYER}/channel{channel}.png" for channel in range(3)]
OPENING = {"job": "visualize/base", "event": 0}
# The first steps of a batch find no memory, until the batch has one picture.
SMALL_GPU = """
import torch
from feature_vis.optimisation.image_batch import ImageBatch
gradients = ImageBatch.gradients

def with_little_memory(self):
    if len(self.states) > 1:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    return gradients(self)

ImageBatch.gradients = with_little_memory
"""
# There is no memory for a batch of a training.
NO_MEMORY = """
import torch, featurediff.training.trainer

def no_memory(*_):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

featurediff.training.trainer.logits_of = no_memory
"""
# A minute takes 20 milliseconds, and the job waits for something that never comes.
STANDSTILL = """
import threading, featurediff.runtime.watchdog
featurediff.runtime.watchdog._MINUTE = 0.02
threading.Event().wait()
"""


def test_two_runs_in_one_folder(half: Disturbed, survives: Survives) -> None:
    with (
        survives("two runs in one folder", half),
        half.started("pictures", orders=({**OPENING, "do": "pause"},)) as first,
    ):
        wait_until(half.followed, "the first run's job has opened its log")
        said = half.run("pictures", check=False).output
        assert "make sure that no other Snakemake process is trying to create the same files" in said
        assert "--unlock" in said
        assert "Traceback" not in said
        (half.orders / "go").touch()
        assert first.wait(PATIENCE) == 0, half.said
        assert "rendered 3, reused 3" in half.said


def test_the_clock_is_set_back(finished: Disturbed, survives: Survives) -> None:
    """Half of the files are of tomorrow, mixed through all steps."""
    tomorrow = time.time() + 24 * 3600
    with survives("the clock is set back", finished):
        for number, file in enumerate(sorted(finished.results.rglob("*"))):
            if number % 2 and file.is_file():
                os.utime(file, (tomorrow, tomorrow))
        # of folders Snakemake has no checksums: the page, which has some among its inputs, is written again
        assert set(jobs(finished.run("-n").output)) <= {"report", "all"}
        (finished.folder / PICTURES[0]).unlink()
        said = finished.run("pictures", check=False).output
        assert "files in results have a date in the future, such as results/" in said
        assert "the clock is wrong, or was set back" in said
        assert "Error in rule" not in said
        cure = re.search(r"^ +(find results .*)$", said, re.MULTILINE)
        assert cure is not None
        subprocess.run(cure[1], shell=True, cwd=finished.folder, check=True)
        assert finished.run("pictures").rendered == 1
        assert finished.run("-n", "pictures").nothing_to_do


def test_a_gpu_without_memory_for_a_batch(half: Disturbed, survives: Survives) -> None:
    with survives("a GPU that runs out of memory while it renders", half):
        half.disturbed({**OPENING, "do": "run", "code": SMALL_GPU}, arguments=("pictures",), check=True)
        assert half.followed()
        assert half.rendered == 3


def test_a_gpu_without_memory_for_a_training(finished: Disturbed, survives: Survives) -> None:
    table = "results/tuned/training.csv"
    (finished.folder / table).unlink()
    (finished.results / "tuned/.training/epoch1.pth").unlink()
    with survives("a GPU that runs out of memory while it trains", finished):
        order = {"job": "finetune", "event": 0, "do": "run", "code": NO_MEMORY}
        said = finished.disturbed(order, arguments=(table,))
        assert "this step needs more memory than the GPU has" in said
        assert "training, a smaller batch_size helps" in said
        assert "Traceback" not in said
        finished.run(table)


def test_a_job_that_hangs(half: Disturbed, survives: Survives) -> None:
    with survives("a job that hangs", half):
        # its log is open, and so is its watch, at its first change of another file
        order = {"job": "visualize/base", "event": 1, "do": "run", "code": STANDSTILL}
        said = half.disturbed(order, arguments=("pictures",))
        assert "no progress for 240 minutes, the step's `runtime`, so the job ends" in said
        assert "--set-resources <rule>:runtime=<minutes>" in said
        assert "Traceback" not in said
        assert "threading.Event().wait()" not in said
        assert "the job was here:" in (half.results / "logs/visualize/base" / LAYER / "0-2.log").read_text()
        half.run("pictures")
