"""kill -9, for every step, at seeded moments: while it works, while it writes, between two files."""

import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from places import REPOSITORY

from faults.conftest import Change, Disturbed, Survives, Undisturbed

pytestmark = [pytest.mark.faults, pytest.mark.long]

CHEAP = 2.6  # seconds of work up to which a job is killed often
KINDS = (".pth", ".png", ".csv")  # of files that must be hit while they are written
LEAST = 50


def kills(undisturbed: Undisturbed, seed: int) -> Iterator[dict[str, Any]]:
    """Orders: each job is killed at a moment of its work, or at one of its changes of files; cheap ones at more.

    Two files of each kind are hit besides, while they are written.
    """
    draw = random.Random(seed)
    by_job: dict[str, list[Change]] = {}
    for change in undisturbed.changes():
        by_job.setdefault(change.log, []).append(change)
    for log, changes in sorted(by_job.items()):
        work = seconds_of_work(undisturbed, log)
        step, at_work = changes[0].step, draw.random() < 0.5
        if work < CHEAP or at_work:
            yield {"job": rf"\.{step}\.py$", "cpu": draw.uniform(0.1, 0.7) * work, "do": "kill"}
        if work < CHEAP or not at_work:
            for attempt in range(3 if work < CHEAP else 1):
                # later attempts find some of the work done, and make fewer changes
                some = changes if attempt == 0 else changes[: len(changes) // 2]
                change = draw.choice((written(some) or some) if draw.random() < 0.6 else some)
                yield {"job": f"^{log}$", "attempt": attempt, "event": change.number, "do": "half"}
    for kind in KINDS:
        whole = [change for changes in by_job.values() for change in written(changes) if change.path.endswith(kind)]
        for change in draw.sample(whole, 2):
            yield {"job": f"^{change.log}$", "path": f"^{re.escape(change.path)}$", "do": "half"}


def written(changes: list[Change]) -> list[Change]:
    """Those that put a temporary file, finished, into its place."""
    return [now for before, now in pairwise(changes) if now.event == "os.rename" and ".tmp" in before.path]


def seconds_of_work(undisturbed: Undisturbed, log: str) -> float:
    """The job's processor time, from Snakemake's benchmark."""
    file = undisturbed.folder / log.replace("/logs/", "/benchmarks/").replace(".log", ".tsv")
    return float(pd.read_csv(file, sep="\t")["cpu_time"].iloc[0])


def test_every_step_occurs(undisturbed: Undisturbed) -> None:
    rules = "".join(file.read_text() for file in (REPOSITORY / "rules").glob("*.smk"))
    scripts = set(re.findall(r'"\.\./scripts/(\w+)\.py"', rules))
    assert scripts - {change.step for change in undisturbed.changes()} == {"compare_runs"}


def test_jobs_that_are_killed_again_and_again(undisturbed: Undisturbed, fresh: Disturbed, survives: Survives) -> None:
    orders = list(kills(undisturbed, seed=6))
    with survives("kill -9", fresh, LEAST):
        said = fresh.disturbed(*orders, arguments=("--retries", "6"), check=True)
        killed = fresh.followed()
    assert len(killed) >= LEAST
    assert {one["script"].split(".")[1] for one in killed} == {change.step for change in undisturbed.changes()}
    cut = Counter(Path(one["changed"]).suffix for one in killed if one["cut"])
    assert min(cut[kind] for kind in KINDS) >= 2
    assert said.count("Error in rule") >= len(killed)
    assert fresh.run("-n").nothing_to_do


def test_a_comparison_of_two_runs_that_is_killed(finished: Disturbed, survives: Survives) -> None:
    """The one step that the small experiment has not: what was trained once is taken for a second run as well."""
    tuned = finished.config["networks"]["tuned"]
    finished.config["networks"]["again"] = {
        **tuned,
        "training": {**tuned["training"], "seed": 1},
        "control_of": "tuned",
    }
    for folder in ("tuned", "compare/tuned"):
        shutil.copytree(finished.results / folder, (finished.results / folder).with_name("again"))
    outputs = [finished.results / "compare/again" / name for name in ("control.csv", "control_columns.yaml")]
    arguments = ("results/compare/again/control.csv", "--allowed-rules", "compare_runs", "--retries", "3")
    finished.run(*arguments)
    wanted = [file.read_bytes() for file in outputs]
    orders = [
        {"job": r"\.compare_runs\.py$", "cpu": 2, "do": "kill"},
        {"job": "compare_runs", "attempt": 0, "path": r"/control\.csv$", "do": "half"},
    ]
    with survives("kill -9", None, len(orders)):
        for file in outputs:
            file.unlink()
        finished.disturbed(*orders, arguments=arguments, check=True)
        assert len(finished.followed()) == len(orders)
        assert [file.read_bytes() for file in outputs] == wanted
        assert not list(finished.results.rglob("*.tmp*"))
