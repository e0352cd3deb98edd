"""Faults of the machine, not of this project, in words: what happened, where, and how to go on."""

import errno
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from feature_vis.errors import InputError

__all__ = ["check_times", "check_writable", "describe_os_error"]

_AHEAD = 60.0  # seconds that a file server's clock may differ

_OF_DISK = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "your quota of disk space is used up: free some space and run again",
    errno.EFBIG: "it would be larger than is allowed here (ulimit -f, or the file system): raise that and run again",
    errno.EROFS: "the file system is read-only: set `results` to a folder that can be written, and run again",
    errno.EACCES: "you have no right to it: change its owner or its mode, and run again",
    errno.EPERM: "the system does not permit it: change its owner, its mode or its attributes, and run again",
    errno.EIO: "the disk or the network's file system failed: see to it, then run again",
    errno.ESTALE: "the network's file system lost it: see to it, then run again",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n) and run again",
    errno.ENFILE: "too many files are open on this machine: run again when fewer are",
    errno.ENOENT: "it was removed while the step ran: run again",
}


def check_writable(folder: str | Path) -> None:
    """Make sure that files can be written into a folder, or that it can be made.

    Raises:
        InputError: it is read-only, or belongs to somebody else.
    """
    there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file: set `results` to a folder that can be written, and run again")
    try:
        with tempfile.TemporaryFile(dir=there):  # asks the file system itself, which knows better than a mode, for root
            pass
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({there}: {error.strerror}): make it writable, or set `results` to another "
            "folder, and run again"
        ) from None


def check_times(folder: str | Path) -> None:
    """Make sure that no file below a folder is dated in the future, as all are after a clock was set back.

    Snakemake takes what is made from such a file for older than it, and removes it.

    Raises:
        InputError: how many there are, one of them, and a command that dates them now.
    """
    now = time.time()
    times = _times(str(folder)) if Path(folder).is_dir() else []
    ahead = [path for path, changed in times if changed > now + _AHEAD]
    if ahead:
        raise InputError(
            f"{len(ahead)} files in {folder} are dated in the future, such as {min(ahead)}: the clock is wrong, or was "
            f"set back. Set it right, or date the files now:\n    find {shlex.quote(str(folder))} -newermt now -exec "
            "touch {} +\nand run again"
        )


def describe_os_error(error: BaseException) -> str | None:
    """One message about a fault of the machine; None for an error of another kind."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _OF_DISK:
            return f"{one.filename or 'a file'}: {_OF_DISK[one.errno]} ({one.strerror})"
        if isinstance(one, MemoryError) or _is_about(one, "can't allocate memory", "not enough memory"):
            return (
                "the machine's memory does not hold this step: run fewer at once (--cores 1) or give it more "
                f"(`mem_mb` on a cluster), and run again. In a training a smaller batch_size helps. {_first_line(one)}"
            )
        if type(one).__name__ == "OutOfMemoryError" or _is_about(one, "CUDA error: out of memory"):
            return (
                "the GPU's memory does not hold this step: end other programs on it (nvidia-smi lists them), or run on "
                "the CPU (--config gpu=0), and run again. Pictures that are rendered are halved in number by "
                f"themselves; in a training a smaller batch_size helps. {_first_line(one)}"
            )
    return None


def _times(folder: str) -> Iterator[tuple[str, float]]:
    """Every file below a folder, and when it was changed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _times(entry.path)
            else:
                yield entry.path, entry.stat(follow_symlinks=False).st_mtime


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that led to it."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _is_about(error: BaseException, *words: str) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _first_line(error: BaseException) -> str:
    return f"({str(error).strip().splitlines()[0]})" if str(error).strip() else ""
