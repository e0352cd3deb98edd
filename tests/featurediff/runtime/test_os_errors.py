"""Faults of the machine in words."""

import errno
import os
import re
import subprocess
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from feature_vis.errors import InputError
from featurediff.runtime.os_errors import check_times, check_writable, describe_os_error

DISK = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "quota",
    errno.EROFS: "read-only",
    errno.EACCES: "permission was denied",
    errno.EIO: "failed",
    errno.ENOENT: "was removed while the step ran: run again",
}
MEMORY = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "smaller batch_size"),
    (RuntimeError("CUDA error: out of memory"), "--config gpu=0"),
    (MemoryError(), "--cores 1"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), "`mem_mb` on a cluster"),
]


def test_an_error_of_the_disk_or_of_memory_names_the_file_and_the_cure() -> None:
    for number, words in DISK.items():
        said = describe_os_error(OSError(number, "in the system's words", "results/a.csv"))
        assert re.fullmatch(rf"results/a\.csv: .*{words}.* \(in the system's words\)", said)
    for error, words in MEMORY:
        assert words in describe_os_error(error)


def test_what_led_to_an_error_counts_and_other_errors_are_not_the_machines() -> None:
    errors = [ValueError("x"), RuntimeError("a shape"), OSError("no number"), KeyError("a")]
    assert [describe_os_error(error) for error in errors] == [None] * 4
    errors[0].__cause__ = errors[1].__context__ = OSError(errno.ENOSPC, "No space left on device", "results/n.pth")
    assert all("results/n.pth: the disk is full" in (describe_os_error(error) or "") for error in errors[:2])


def test_a_folder_must_be_writable_or_creatable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "there" / "yet")
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match="is a file"):
        check_writable(tmp_path / "a")
    refuse = Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # for root every mode is good enough
    with pytest.raises(InputError, match=r"results cannot be written .*another folder"):
        check_writable(tmp_path / "results")


def test_files_of_the_future_are_named_with_a_command_that_dates_them_now(tmp_path: Path) -> None:
    results = tmp_path / "my results"
    check_times(results)
    for name in ("a.csv", "b/c.png", "b/d.png"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("")
    os.utime(results / "b/d.png", (time.time() + 20,) * 2)  # a file server's clock may differ by seconds
    check_times(results)
    for name in ("a.csv", "b/c.png"):
        os.utime(results / name, (time.time() + 3600,) * 2)
    words = r"2 files in .*my results have a date in the future, such as .*a\.csv"
    with pytest.raises(InputError, match=words) as raised:
        check_times(results)
    command = next(line for line in str(raised.value).splitlines() if line.startswith("    find "))
    subprocess.run(command, shell=True, check=True)
    check_times(results)
