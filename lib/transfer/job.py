"""What every rule's script needs around its work: log, threads, a device of its own, clear errors.

`with job(...) as device:` is the frame of each script. It knows nothing of the workflow engine.
"""

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from feature_vis.errors import InputError
from transfer.progress import BesideBars

if TYPE_CHECKING:
    import torch

__all__ = ["job", "lock_device", "log", "visible_gpus"]

log = logging.getLogger("featurediff")


@contextmanager
def job(log_file: str | Path, *, threads: int = 1, gpu: int | None = None) -> Iterator["torch.device | None"]:
    """Run a rule's work: messages and warnings go to the terminal and to `log_file`.

    An `InputError` ends it without traceback.

    Where `gpu` is given, torch is limited to `threads` threads and a device is yielded: a GPU that no other job
    holds where `gpu` is above 0 and there is one, the CPU otherwise.
    """
    _end_with_parents()
    _log_to(Path(log_file))
    logging.captureWarnings(True)  # those of the libraries belong to the story
    try:
        with ExitStack() as stack:
            yield None if gpu is None else stack.enter_context(_device(threads, gpu))
    except InputError as error:
        log.error("%s", error)
        sys.exit(1)
    except BaseException:
        log.exception("this is a defect of featurediff, or the machine's")
        raise
    finally:
        logging.captureWarnings(False)


def visible_gpus() -> list[str]:
    """The GPUs this process may use, in torch's order, each by the id that it was built with.

    By that and not by its number: where a cluster hides other jobs' GPUs, every job counts its own from 0.
    """
    import torch

    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]


@contextmanager
def lock_device(names: list[str], folder: Path, poll_seconds: float = 0.2) -> Iterator[int]:
    """Hold one of the devices; yields its place in `names`. Waits while other jobs hold them all.

    A lock is a file of the operating system's kind, so it is free again when its holder ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / f"gpu-{''.join(c if c.isalnum() else '-' for c in name)}.lock") for name in names]
    waits = False
    while True:
        for index, lock in enumerate(locks):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield index
            finally:
                lock.release()
            return
        if not waits:
            log.info(
                "waiting for a GPU: other jobs hold %s", "the one there is" if len(names) == 1 else f"all {len(names)}"
            )
            waits = True
        time.sleep(poll_seconds)


@contextmanager
def _device(threads: int, gpu: int) -> Iterator["torch.device"]:
    import torch

    torch.set_num_threads(threads)
    names = visible_gpus() if gpu > 0 and torch.cuda.is_available() else []
    if not names:
        if gpu > 0:  # for the log alone: whoever has a GPU finds there why it was not used
            given = os.environ.get("CUDA_VISIBLE_DEVICES", "(not set)")
            log.debug("no GPU for torch %s, CUDA_VISIBLE_DEVICES=%s: on the CPU", torch.__version__, given)
        yield torch.device("cpu")
        return
    # one folder a user and a machine: the devices are the machine's, not the working folder's
    folder = Path(tempfile.gettempdir()) / f"featurediff-gpu-{os.getuid()}"
    with lock_device(names, folder) as index:
        log.info("using GPU %d (%s, %s)", index, torch.cuda.get_device_name(index), names[index])
        yield torch.device("cuda", index)


def _log_to(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    terminal, whole = BesideBars(sys.stderr), logging.FileHandler(file, mode="w", encoding="utf-8")
    terminal.setLevel(logging.INFO)  # the file's lines about progress are a bar there
    for handler in (terminal, whole):
        handler.setFormatter(logging.Formatter("%(message)s"))
    for logger in (log, logging.getLogger("py.warnings")):
        logger.handlers[:] = [terminal, whole]
        logger.setLevel(logging.DEBUG)
        logger.propagate = False


def _end_with_parents(poll_seconds: float = 1.0) -> None:
    """End this process when the shell or the workflow above it is killed: an orphan would keep the GPU."""

    def ancestors() -> list[int]:
        return [parent.pid for parent in psutil.Process().parents()[:2]]

    def watch() -> None:
        while ancestors() == alive:
            time.sleep(poll_seconds)
        log.error("the workflow that started this job is gone: the job ends, too")
        os.kill(os.getpid(), signal.SIGTERM)

    alive = ancestors()
    threading.Thread(target=watch, daemon=True).start()
