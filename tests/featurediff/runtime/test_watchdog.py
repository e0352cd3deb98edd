"""A job that makes no progress is ended, one that does is not."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from places import python_environment

from featurediff.runtime import watchdog as watch
from featurediff.runtime.progress import moves, note_progress, progress

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
    command = [sys.executable, "-c", CODE, str(tmp_path / "a.log")]
    done = subprocess.run(command, env=python_environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "no progress for 100 minutes" in done.stderr
    assert "Traceback" not in done.stderr
    log = (tmp_path / "a.log").read_text()
    assert "the job was here:" in log
    assert "waiter.acquire()" in log


def test_the_watch_strikes_after_so_many_minutes_without_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    struck = threading.Event()
    monkeypatch.setattr(watch, "_MINUTE", 0.1)
    monkeypatch.setattr(watch, "_end", lambda why: struck.set())
    with watch.watch(1, poll_seconds=0.01):
        assert struck.wait(60)


def test_the_watch_does_not_strike_while_something_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: between two rounds of the watch there is always some progress."""
    rounds, struck = 0, []

    def moves() -> int:
        nonlocal rounds
        rounds += 1
        return rounds

    monkeypatch.setattr(watch, "moves", moves)
    monkeypatch.setattr(watch, "_MINUTE", 0.01)
    monkeypatch.setattr(watch, "_end", struck.append)
    with watch.watch(1, poll_seconds=0.001):
        while rounds < 100:
            time.sleep(0.01)
    assert not struck


def test_progress_is_noted() -> None:
    before = moves()
    with progress(2, "steps", "step") as advance:
        advance(1)
        assert moves() == before + 1
        note_progress()
        assert moves() == before + 2
