"""Faults of the machine in words."""

import errno
from pathlib import Path

import pytest
import torch

from feature_vis.errors import InputError
from transfer.machine import check_writable, in_words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full: free some space and run again"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no right"),
        (errno.EIO, "failed"),
        (errno.ENOENT, "was removed while the step ran: run again"),
    ],
)
def test_an_error_of_the_disk_names_the_file_and_the_cure(number: int, words: str) -> None:
    said = in_words(OSError(number, "in the system's words", "results/a.csv"))
    assert said is not None
    assert said.startswith("results/a.csv: ")
    assert words in said
    assert said.endswith("(in the system's words)")


def test_what_led_to_an_error_counts() -> None:
    def write() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "results/n.pth")
        except OSError as error:
            raise RuntimeError("unexpected pos 704 vs 598") from error

    with pytest.raises(RuntimeError) as raised:
        write()
    assert "results/n.pth: the disk is full" in (in_words(raised.value) or "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "smaller batch_size"),
        (RuntimeError("CUDA error: out of memory"), "--config gpu=0"),
        (MemoryError(), "--cores 1"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), "`mem_mb` on a cluster"),
    ],
)
def test_memory_that_does_not_suffice(error: Exception, words: str) -> None:
    assert words in (in_words(error) or "")


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("a shape"), OSError("no number"), KeyError("a")])
def test_other_errors_are_not_the_machines(error: Exception) -> None:
    assert in_words(error) is None


def test_a_folder_that_can_be_written_or_made(tmp_path: Path) -> None:
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "there" / "yet")


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match="is a file"):
        check_writable(tmp_path / "a")
    monkeypatch.setattr("os.access", lambda *_: False)  # for root every mode is good enough
    with pytest.raises(InputError, match=r"results cannot be written .*another folder"):
        check_writable(tmp_path / "results")
