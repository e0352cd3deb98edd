"""Whole files or none."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from feature_vis.files import atomic_path, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def half_a_write() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_a_write()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_made_and_the_suffix_is_kept(tmp_path) -> None:
    with atomic_path(tmp_path / "b" / "c.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"x")
    assert (tmp_path / "b" / "c.png").read_bytes() == b"x"


def test_a_result_is_readable_as_the_umask_says(tmp_path) -> None:
    write_text(tmp_path / "d.txt", "")
    (tmp_path / "e.txt").write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("d.txt", "e.txt")]
    assert modes[0] == modes[1]


WRITER = """
import os, signal, sys
from feature_vis.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    {end}
"""


def writer(path: Path, end: str) -> "subprocess.Popen[str]":
    """A process that writes, and then does what `end` says in place of finishing."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", WRITER.format(end=end), str(path)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path) -> None:
    assert writer(tmp_path / "a.txt", "os.kill(os.getpid(), signal.SIGKILL)").wait() == -signal.SIGKILL
    assert [file.suffix for file in tmp_path.iterdir()] == [".txt"]
    assert not (tmp_path / "a.txt").exists()
    write_text(tmp_path / "b.txt", "whole")
    assert [file.name for file in tmp_path.iterdir()] == ["b.txt"]


def test_what_another_writer_is_at_stays(tmp_path) -> None:
    with writer(tmp_path / "a.txt", "print(flush=True); sys.stdin.read()") as other:
        assert other.stdout is not None
        other.stdout.readline()
        write_text(tmp_path / "b.txt", "whole")
        assert len(list(tmp_path.iterdir())) == 2
        assert other.stdin is not None
        other.stdin.close()
    assert (tmp_path / "a.txt").read_text() == "half"


def test_an_error_of_the_disk_names_the_file_that_was_meant(tmp_path) -> None:
    def full(name: str | None) -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            raise OSError(errno.ENOSPC, "No space left", str(temporary) if name == "temporary" else name)

    for name in (None, "temporary"):
        with pytest.raises(OSError, match="No space left") as raised:
            full(name)
        assert raised.value.filename == str(tmp_path / "a.txt")
        assert raised.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left") as raised:
        full("another.txt")
    assert raised.value.filename == "another.txt"
