"""What the jobs of a run use at once: cores, and devices that are none. What each job used, it noted itself."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from workflow.conftest import Experiment, draw_pictures, tiny_config, untrained_config

Record = dict[str, Any]


def cores_of(record: Record) -> int:
    """Threads that a job may have at work at once: torch's, BLAS's, Arrow's and a pool's take turns."""
    alone = max(record["torch"], record["arrow"], record["blas"], record["pool"])
    return max(alone, record["beside"] + record["processes"])


def at_once(records: list[Record]) -> list[list[Record]]:
    """At each job's beginning, the jobs that ran."""
    return [[r for r in records if r["began"] <= moment < r["ended"]] for moment in (r["began"] for r in records)]


def most_cores(records: list[Record]) -> int:
    return max(sum(cores_of(record) for record in running) for running in at_once(records))


def test_jobs_of_one_thread_never_exceed_the_cores(finished: Experiment) -> None:
    records = finished.records()
    steps = [int(number) for number in re.findall(r"(\d+) of \1 steps", finished.output)]
    assert len(records) == sum(steps) - 2, "every job was noted, but `pictures` and `all`, which do nothing"
    assert max(cores_of(record) for record in records) == 1
    assert max(len(running) for running in at_once(records)) == 2
    assert most_cores(records) <= 2


@pytest.mark.long
def test_jobs_of_several_threads_and_workers_never_exceed_the_cores(tmp_path: Path) -> None:
    """On the CPU, two jobs of two threads each; all steps that train, render or compare."""
    config = tiny_config() | {"threads": 2, "gpu": 0, "film": {"channels": 1, "epochs": [0]}}
    networks = config["networks"]
    networks["dogs"]["training"] |= {"epochs": 1, "workers": 1}
    networks["base"]["training"] |= {"epochs": 1, "workers": 4}  # more than there are threads for
    networks["cars"] = {**networks["dogs"], "control_of": "dogs"}
    networks["cars"]["training"] = networks["dogs"]["training"] | {"seed": 1}
    config["visualize"]["layers"] = {"layer4.1": {"channels": "0-3"}}
    draw_pictures(tmp_path / "pictures" / "first", 0)
    draw_pictures(tmp_path / "pictures" / "second", 1)
    run = Experiment(tmp_path, config).record()
    run.run("results/dogs/film/change.csv", "results/compare/cars/control.csv", cores=4)
    records = run.records()
    trained = [record for record in records if record["script"] == "finetune"]
    assert [(record["beside"], record["processes"]) for record in trained] == [(1, 1)] * 3
    scripts = {record["script"] for record in records if cores_of(record) == 2}
    assert {"split_data", "finetune", "visualize", "embed_pictures", "compare_pictures", "film_epoch"} <= scripts
    assert {"measure_channels", "compare_runs"} <= scripts
    assert max(cores_of(record) for record in records) == 2
    assert most_cores(records) <= 4
    assert max(sum(cores_of(record) == 2 for record in running) for running in at_once(records)) == 2


def times_by_gpu(records: list[Record]) -> dict[str, list[tuple[float, float]]]:
    """For each device when it was held, in order."""
    times: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record["gpu"] is not None:
            times.setdefault(record["gpu"], []).append((record["gpu_from"], record["gpu_to"]))
    return {gpu: sorted(some) for gpu, some in times.items()}


def most_held(times: dict[str, list[tuple[float, float]]]) -> int:
    every = [time for some in times.values() for time in some]
    return max(sum(begin <= moment < end for begin, end in every) for moment, _ in every)


def waited(run: Experiment) -> int:
    """How many jobs found every device taken."""
    logs = [file.read_text() for file in run.folder.glob("results/logs/visualize/**/*.log")]
    return sum("waiting" in log for log in logs)


@pytest.mark.long
@pytest.mark.parametrize(
    ("asked", "visible", "devices"),
    [
        (4, None, {"GPU-0", "GPU-1", "GPU-2", "GPU-3"}),
        (4, "1,3", {"GPU-1", "GPU-3"}),
        (2, None, {"GPU-0", "GPU-1"}),
    ],
    ids=["four of four", "four jobs on the two that are visible", "two of four"],
)
def test_each_job_has_a_device_of_its_own(
    asked: int, visible: str | None, devices: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs that may run at once keep their devices until all have come: with a lock too many they never would."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    held, waits = len(devices), asked - len(devices)
    run = Experiment(tmp_path, untrained_config(tmp_path, {"layer1.0": f"0-{asked}"}, batch=1))
    run.record(RECORD_GPUS="4", RECORD_HELD=str(held), RECORD_WAITS=str(waits), TMPDIR=str(tmp_path))
    run.run("pictures", "--resources", f"gpu={asked}", cores=4)
    times = times_by_gpu(run.records())
    assert set(times) == devices
    assert sum(len(some) for some in times.values()) == asked + 1
    for some in times.values():
        assert all(end <= begin for (_, end), (begin, _) in pairwise(some)), some
    assert most_held(times) == held
    assert (waited(run) > 0) == (waits > 0)


@pytest.mark.long
def test_beside_one_large_batch_no_job_waits(tmp_path: Path) -> None:
    """The batch keeps its device until all others are done, which share the second one, one after another."""
    layers = {"layer1.0": "0-31", **{f"layer{n}.1": str(n) for n in (1, 2, 3)}}
    run = Experiment(tmp_path, untrained_config(tmp_path, layers, batch=64))
    run.record(RECORD_GPUS="2", RECORD_HELD="4", RECORD_KEEPER="layer1.0", TMPDIR=str(tmp_path))
    large = "results/base/pictures/layer1.0/channel0.png"
    run.run("pictures", "--resources", "gpu=2", "--prioritize", large, cores=4)
    times = times_by_gpu(run.records())
    assert sorted(len(some) for some in times.values()) == [1, 3]
    assert most_held(times) == 2
    assert waited(run) == 0
