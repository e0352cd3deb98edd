"""A job that makes no progress is ended, one that does is not."""

import subprocess
import time
from itertools import count
from pathlib import Path

import pytest
from places import python

from featurediff.runtime import watchdog as watch

# A minute takes a hundredth of a second.
CODE = """
import sys, threading
from featurediff.runtime import watchdog as watch
from featurediff.runtime.job import job
watch._MINUTE = 0.01
with job(sys.argv[1], 100):
    threading.Event().wait()
"""


def test_a_standstill_ends_the_job_and_its_log_says_where(tmp_path: Path) -> None:
    process = python(CODE, tmp_path / "a.log", stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "no progress for 100 minutes" in said
    assert "Traceback" not in said
    log = (tmp_path / "a.log").read_text()
    assert "the job was here:" in log
    assert "waiter.acquire()" in log


def test_the_watch_does_not_strike_while_something_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: between two rounds of the watch there is always some progress."""
    rounds, struck = count(), []
    monkeypatch.setattr(watch, "moves", lambda: next(rounds))
    monkeypatch.setattr(watch, "_MINUTE", 0.01)
    monkeypatch.setattr(watch, "_end", struck.append)
    with watch.watch(1, poll_seconds=0.001):
        while next(rounds) < 200:
            time.sleep(0.01)
    assert not struck
