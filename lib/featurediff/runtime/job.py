"""The frame of every rule's script: a log, threads, a device, clear errors, an orderly end.

Each script is `with job(...) as device:`. It knows nothing of the workflow engine.
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

from filelock import FileLock, Timeout

from feature_vis.errors import InputError
from featurediff.runtime.os_errors import describe_os_error
from featurediff.runtime.progress import BesideBars, note_progress
from featurediff.runtime.watchdog import watch

if TYPE_CHECKING:
    import torch

__all__ = ["job", "lock_device", "log", "visible_gpus"]

log = logging.getLogger("featurediff")


@contextmanager
def job(
    log_file: str | Path, minutes: float | None = None, *, threads: int = 1, gpu: int | None = None
) -> Iterator["torch.device | None"]:
    """Run a rule's work; its messages and warnings go to the terminal and to `log_file`.

    An `InputError`, a fault of the machine (`featurediff.runtime.os_errors`), Ctrl-C and SIGTERM end the job with one
    message and no traceback (the log has the traceback of a machine's fault). So does a job without progress for
    `minutes`, see `featurediff.runtime.watchdog`.

    Where `gpu` is given, torch is limited to `threads` threads and a device is yielded: a GPU that no other job uses
    if `gpu` is above 0 and there is a GPU, else the CPU.
    """
    try:
        with ExitStack() as stack:
            _log_to(Path(log_file))
            logging.captureWarnings(True)  # the libraries' warnings belong in the log
            stack.enter_context(watch(minutes))
            stack.enter_context(_terminable())
            yield None if gpu is None else stack.enter_context(_device(threads, gpu))
    except InputError as error:
        log.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("interrupted: run the same command again to continue from here")
        sys.exit(130)
    except _Terminated:
        log.error("ended by SIGTERM, which clusters send at a job's time limit: run again to continue from here")
        sys.exit(143)
    except Exception as error:
        if (message := describe_os_error(error)) is None:
            log.exception("this is a bug in featurediff or a fault of the machine")
            raise
        log.error("%s", message)
        log.debug("the error occurred here:", exc_info=error)
        sys.exit(1)
    finally:
        logging.captureWarnings(False)


class _Terminated(BaseException):
    """Raised on SIGTERM."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise an exception, so that nothing half-finished stays behind."""
    if threading.current_thread() is not threading.main_thread():  # elsewhere Python allows no handler
        yield
        return

    def end(*_: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def visible_gpus() -> list[str]:
    """The hardware ids of the GPUs that this process may use, in torch's order.

    A number would not identify a GPU: where a cluster hides other jobs' GPUs, every job counts its own from 0.
    """
    import torch

    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]


@contextmanager
def lock_device(names: list[str], folder: Path, poll_seconds: float = 0.2) -> Iterator[int]:
    """Lock one of the devices and yield its index in `names`; wait while other jobs have locked all of them.

    The operating system releases a lock when its process ends, however it ends.
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
                "waiting for a GPU: other jobs are using %s", "the only one" if len(names) == 1 else f"all {len(names)}"
            )
            waits = True
        note_progress()  # other jobs are working: this one does not hang
        time.sleep(poll_seconds)


@contextmanager
def _device(threads: int, gpu: int) -> Iterator["torch.device"]:
    import torch

    torch.set_num_threads(threads)
    names = visible_gpus() if gpu > 0 and torch.cuda.is_available() else []
    if not names:
        if gpu > 0:  # in the log only, so that owners of a GPU can find out why it was not used
            given = os.environ.get("CUDA_VISIBLE_DEVICES", "(not set)")
            log.debug("no GPU for torch %s, CUDA_VISIBLE_DEVICES=%s: on the CPU", torch.__version__, given)
        yield torch.device("cpu")
        return
    # a folder for each user and machine: all working folders share the machine's devices
    folder = Path(tempfile.gettempdir()) / f"featurediff-gpu-{os.getuid()}"
    with lock_device(names, folder) as index:
        log.info("using GPU %d (%s, %s)", index, torch.cuda.get_device_name(index), names[index])
        yield torch.device("cuda", index)


class _LogFile(logging.FileHandler):
    """Writes no more once the disk is full; the terminal shows the messages, and the reason."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _log_to(file: Path) -> None:
    terminal = BesideBars(sys.stderr)
    terminal.setLevel(logging.INFO)  # progress is a bar there, and lines in the file
    _set_handlers(terminal)
    file.parent.mkdir(parents=True, exist_ok=True)
    _set_handlers(terminal, _LogFile(file, mode="w", encoding="utf-8"))


def _set_handlers(*handlers: logging.Handler) -> None:
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
    for logger in (log, logging.getLogger("py.warnings")):
        logger.handlers[:] = handlers
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
