"""Messages about faults of the machine rather than of this project: what happened, where, and what to do."""

import errno
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from feature_vis.errors import InputError

__all__ = ["check_times", "check_writable", "describe_os_error"]

_AHEAD = 60.0  # seconds by which a file server's clock may differ

_OF_DISK = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "your disk quota is used up: free some space and run again",
    errno.EFBIG: "it would exceed the size limit (ulimit -f, or the file system's): raise it and run again",
    errno.EROFS: "the file system is read-only: set `results` to a writable folder and run again",
    errno.EACCES: "permission was denied: change its owner or its mode and run again",
    errno.EPERM: "the system does not permit this: change its owner, mode or attributes and run again",
    errno.EIO: "the disk or the network file system failed: repair it and run again",
    errno.ESTALE: "the network file system lost it: check the file system and run again",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n) and run again",
    errno.ENFILE: "too many files are open on this machine: run again when there are fewer",
    errno.ENOENT: "it was removed while the step ran: run again",
}


def check_writable(folder: str | Path) -> None:
    """Make sure that files can be written into a folder, or that it can be created.

    Raises:
        InputError: it cannot be written; or it is a file.
    """
    there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file: set `results` to a writable folder and run again")
    try:
        with tempfile.TemporaryFile(dir=there):  # not by its mode, which does not bind root
            pass
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({there}: {error.strerror}): make it writable, or set `results` to another "
            "folder, and run again"
        ) from None


def check_times(folder: str | Path) -> None:
    """Make sure that no file below a folder has a date in the future, as all have after a clock was set back.

    Snakemake considers an output older than such an input, and removes it.

    Raises:
        InputError: there are such files; the message has their number, an example, and a command that dates them now.
    """
    now = time.time()
    times = _times(str(folder)) if Path(folder).is_dir() else []
    ahead = [path for path, changed in times if changed > now + _AHEAD]
    if ahead:
        raise InputError(
            f"{len(ahead)} files in {folder} have a date in the future, such as {min(ahead)}: "
            "the clock is wrong, or was set back. Correct it, or give the files the current date:\n"
            f"    find {shlex.quote(str(folder))} -newermt now -exec touch {{}} +\nand run again"
        )


def describe_os_error(error: BaseException) -> str | None:
    """A message about a fault of the machine; None for an error of another kind."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _OF_DISK:
            return f"{one.filename or 'a file'}: {_OF_DISK[one.errno]} ({one.strerror})"
        if isinstance(one, MemoryError) or _is_about(one, "can't allocate memory", "not enough memory"):
            return (
                "this step needs more memory than the machine has: run fewer at once (--cores 1), or request "
                "more (`mem_mb` on a cluster), and run again. For a training, a smaller batch_size helps. "
                f"{_first_line(one)}"
            )
        if type(one).__name__ == "OutOfMemoryError" or _is_about(one, "CUDA error: out of memory"):
            return (
                "this step needs more memory than the GPU has: end other programs on it (nvidia-smi lists them), or "
                "use the CPU (--config gpu=0), and run again. Rendering halves its batches by itself; for a "
                f"training, a smaller batch_size helps. {_first_line(one)}"
            )
    return None


def _times(folder: str) -> Iterator[tuple[str, float]]:
    """Every file below a folder, with the time of its last change."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _times(entry.path)
            else:
                yield entry.path, entry.stat(follow_symlinks=False).st_mtime


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
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
