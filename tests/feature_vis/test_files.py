"""Whole files or none."""

import errno
import signal
import subprocess
from pathlib import Path

import pytest
from places import python

from feature_vis.files import atomic_path, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    folder = tmp_path / "made"
    write_text(folder / "a.txt", "old")
    (tmp_path / "plain.txt").write_text("")
    assert (folder / "a.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode  # as the umask says

    def half_a_write() -> None:
        with atomic_path(folder / "a.txt") as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_a_write()
    assert (folder / "a.txt").read_text() == "old"
    assert [file.name for file in folder.iterdir()] == ["a.txt"]


WRITER = """
import os, signal, sys
from feature_vis.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    {end}
"""


def writer(path: Path, end: str) -> "subprocess.Popen[str]":
    """A process that writes, and then does what `end` says in place of finishing."""
    return python(WRITER.format(end=end), path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


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


@pytest.mark.parametrize("name", [None, "temporary", "another.txt"])
def test_an_error_of_the_disk_names_the_file_that_was_meant(name: str | None, tmp_path) -> None:
    with pytest.raises(OSError, match="No space left") as raised, atomic_path(tmp_path / "a.txt") as temporary:
        raise OSError(errno.ENOSPC, "No space left", str(temporary) if name == "temporary" else name)
    assert raised.value.filename == (name if name == "another.txt" else str(tmp_path / "a.txt"))
    assert raised.value.errno == errno.ENOSPC
