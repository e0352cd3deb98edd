"""A job that makes no progress is ended, one that does is not."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from transfer import watch
from transfer.progress import idle_seconds, note_progress, progress

# A minute takes a hundredth of a second.
CODE = """
import sys, threading
from transfer import watch
from transfer.job import job
watch._MINUTE = 0.01
with job(sys.argv[1], 100):
    threading.Event().wait()
"""


def test_a_standstill_ends_the_job_and_its_log_says_where(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", CODE, str(tmp_path / "a.log")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "nothing has moved on for 100 minutes" in done.stderr
    assert "Traceback" not in done.stderr
    log = (tmp_path / "a.log").read_text()
    assert "it stood here:" in log
    assert "waiter.acquire()" in log


def test_the_watch_strikes_only_after_so_many_minutes_without_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, struck = 0.0, threading.Event()
    monkeypatch.setattr(watch, "idle_seconds", lambda: idle)
    monkeypatch.setattr(watch, "_end", lambda why: struck.set())
    with watch.watch(2, poll_seconds=0.01):
        idle = 119.0
        assert not struck.wait(0.5)
        idle = 121.0
        assert struck.wait(60)


def test_progress_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    note_progress()
    now = 1050.0
    assert idle_seconds() == 50
    with progress(2, "steps", "step") as advance:
        advance(1)
        now = 1060.0
        assert idle_seconds() == 10
