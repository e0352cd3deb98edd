"""Bars at a terminal only, and the story in the log file."""

import contextlib
import logging
import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest
from places import python

from featurediff.runtime import progress as module
from featurediff.runtime.job import job, log
from featurediff.runtime.progress import moves, note_progress, progress

CODE = """
import sys, time
from featurediff.runtime.job import job, log
from featurediff.runtime.progress import moves, note_progress, progress
with job(sys.argv[1]), progress(40, "layer4.1", "step") as advance:
    for step in range(4):
        advance(10)
        time.sleep(0.15)
        if step == 2:
            log.info("a message between")
"""


def test_quiet_where_stderr_is_no_terminal(tmp_path: Path) -> None:
    process = python(CODE, tmp_path / "a.log", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.communicate() == ("", "a message between\n")
    assert process.returncode == 0


def test_a_bar_with_rate_and_time_left_at_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 100))
    process = python(CODE, tmp_path / "a.log", stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 4096):
            shown += part
    assert process.wait() == 0
    text = shown.decode()
    assert all(words in text for words in ("layer4.1:", "step/s", "30/40"))
    message = next(line for line in text.replace("\r", "\n").splitlines() if "a message" in line)
    assert message.strip() == "a message between"  # on a line of its own


def test_the_log_file_holds_progress_and_warnings(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.0)
    with job(tmp_path / "a.log"):
        log.info("begun")
        with progress(4, "training", "img") as advance:
            advance(1)
            advance(3)
        logging.getLogger("py.warnings").warning("careful")
    begun, first, second, careful = (tmp_path / "a.log").read_text().splitlines()
    assert (begun, careful) == ("begun", "careful")
    assert first.startswith("training: 1 of 4, ")
    assert first.endswith(" left")
    assert second.startswith("training: 4 of 4, ")
    assert "training" not in capsys.readouterr().err


def test_more_than_was_announced_does_no_harm_and_every_step_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.0)
    before = moves()
    with progress(1, "x", "img") as advance:
        advance(0)
        advance(5)
    assert moves() == before + 2
    note_progress()
    assert moves() == before + 3
