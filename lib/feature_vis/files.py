"""Files that are written whole or not at all: to a temporary file in the same folder, which is flushed and renamed."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path", "file_digest", "naming", "write_bytes", "write_text"]

# A temporary file's name tells which process writes it, so that the files of killed processes can be removed.
_MACHINE = re.sub(r"[^\w-]", "-", os.uname().nodename)
_tidied: set[Path] = set()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    The temporary name starts with a dot and keeps the suffix, since writers choose the format by it. Missing folders
    are made. When the block raises, the temporary file is removed and `path` stays as it was. Only a process that is
    killed leaves its temporary file behind; the next process that writes into the folder removes it.

    Raises:
        OSError: from the disk; it names `path`, not the temporary file.
    """
    path = Path(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path.parent)
        start = f".{path.stem}.{_MACHINE}-{os.getpid()}."
        handle, name = tempfile.mkstemp(prefix=start, suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            # mkstemp makes the file private; a result is as readable as the user's umask says.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let an error from the disk name `path` if it names no file or only the temporary one."""
    try:
        yield
    except OSError as error:
        start = f".{Path(path).stem}."
        if error.errno is None or (error.filename is not None and not Path(error.filename).name.startswith(start)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, with line ends as they are, whole or not at all."""
    write_bytes(path, text.encode())


def _tidy(folder: Path) -> None:
    """Remove temporary files of this machine's processes that have ended; done once per folder in each process."""
    if folder in _tidied:
        return
    _tidied.add(folder)
    for file in folder.glob(f".*.{_MACHINE}-*.tmp*"):
        writer = re.search(rf"\.{_MACHINE}-(\d+)\.\w+\.tmp[^/]*$", file.name)
        if writer and not _is_running(int(writer[1])):
            file.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
