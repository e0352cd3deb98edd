"""A disk that takes no more: full, or read-only."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.conftest import LAYER, Disturbed, Survives

pytestmark = [pytest.mark.faults, pytest.mark.long]

CHECKPOINT = "results/tuned/training.csv"  # to have it, an epoch is trained again
PICTURE = f"results/base/pictures/{LAYER}/channel0.png"
TABLE = "results/data/shapes/split.csv"
# What a job does after it has opened its log: take all the space that is left …
FILL = """
import contextlib, os
with contextlib.suppress(OSError), open(f"results/filler{os.getpid()}", "wb", buffering=0) as file:
    while True:
        file.write(bytes(4096))
"""
# … or, where no disk can be mounted, allow itself no file that is longer than this.
SHORT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))"


@pytest.fixture
def mount() -> Iterator[Callable[..., bool]]:
    """Mount for a test: `mount(folder, *arguments)`; False where that is not allowed."""
    mounted: list[Path] = []

    def mount(folder: Path, *arguments: str) -> bool:
        if os.geteuid() or subprocess.run(["mount", *arguments, str(folder)], capture_output=True).returncode:
            return False
        mounted.append(folder)
        return True

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)  # or done


def put_on_small_disk(experiment: Disturbed, mount: Callable[..., bool]) -> bool:
    """Move the results to a disk of their own, of 64 MB; False where none can be mounted."""
    aside = experiment.results.rename(experiment.folder / "aside")
    experiment.results.mkdir()
    mounted = mount(experiment.results, "-t", "tmpfs", "-o", "size=64m", "tmpfs")
    subprocess.run(["cp", "--archive", f"{aside}/.", str(experiment.results)], check=True)
    shutil.rmtree(aside)
    return mounted


def test_a_full_disk(finished: Disturbed, mount: Callable[..., bool], survives: Survives) -> None:
    is_disk = put_on_small_disk(finished, mount)
    words = "the disk is full: free some space and run again" if is_disk else "it would exceed the size limit"
    order = {"attempt": 0, "event": 0, "do": "run", "code": FILL if is_disk else SHORT}

    def attempt(missing: dict[str, str]) -> str:
        """Have files made that are missing, each by its job, where the disk takes no more."""
        for path in missing.values():
            (finished.folder / path).unlink()
        orders = [{**order, "job": f"logs/{job}"} for job in missing]
        said = finished.disturbed(*orders, arguments=("--keep-going", *missing.values()))
        for filler in finished.results.glob("filler*"):
            filler.unlink()
        assert "Traceback" not in said
        return said

    with survives("full disk while a checkpoint is written", finished):
        for folder in (".training", "checkpoints"):  # two names of one file
            (finished.results / "tuned" / folder / "epoch1.pth").unlink()
        assert f"results/tuned/.training/epoch1.pth: {words}" in attempt({"finetune": CHECKPOINT})
        finished.run(CHECKPOINT)
    with survives("full disk while a picture and a table are written", finished, 2):
        said = attempt({"visualize/base": PICTURE, "split_data": TABLE})
        assert f"{TABLE}: {words}" in said
        assert "channel0-" in said
        assert f".png: {words}" in said
        finished.run(PICTURE, TABLE)


def test_read_only_results(finished: Disturbed, mount: Callable[..., bool], survives: Survives) -> None:
    (finished.folder / TABLE).unlink()
    shutil.rmtree(finished.results / "base/pictures")
    if not mount(finished.results, "--bind", str(finished.results)):
        pytest.skip("needs root that may mount")
    with survives("read-only results", finished, below="data/"):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(finished.results)], check=True)
        said = finished.run("pictures", check=False).output
        assert "results cannot be written" in said
        assert "make it writable, or set `results` to another folder" in said
        assert "Traceback" not in said
        assert "Error in rule" not in said
        subprocess.run(["umount", str(finished.results)], check=True)
        finished.run("pictures", TABLE)
