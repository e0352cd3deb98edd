"""Ends a job whose workflow is gone, or which makes no progress.

A thread checks about once a second. It ends the process at once and without clean-up, because a hanging main thread
could not clean up. Files are whole or absent all the same, see `feature_vis.files`.
"""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from featurediff.runtime.progress import moves

__all__ = ["watch"]

log = logging.getLogger("featurediff")

_MINUTE = 60.0  # seconds


@contextmanager
def watch(minutes: float | None, poll_seconds: float = 1.0) -> Iterator[None]:
    """End the process when its shell or its workflow is killed, because an orphan would keep the GPU.

    End it also after `minutes` without progress (`featurediff.runtime.progress`), because a job that hangs would block
    the workflow for ever. A slow job that makes progress may take as long as it needs.
    """
    above, over = _parents(), threading.Event()

    def look() -> None:
        seen, idle = moves(), 0.0
        while not over.wait(poll_seconds):
            if _parents() != above:
                _end("the workflow that started this job is gone, so the job ends")
            # counted in this thread's rounds, not by a clock: a process that was suspended for a night did not hang
            seen, idle = (seen, idle + poll_seconds) if moves() == seen else (moves(), 0.0)
            if minutes is not None and idle > minutes * _MINUTE:
                log.debug("the job was here:\n%s", _place())
                _end(
                    f"no progress for {minutes:g} minutes, the step's `runtime`, so the job ends. Its log says where "
                    "it was. Run again; if the step is slow rather than hanging, give it more time with "
                    "--set-resources <rule>:runtime=<minutes>"
                )

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _parents() -> list[int]:
    return [parent.pid for parent in psutil.Process().parents()[:2]]


def _place() -> str:
    """The main thread's stack."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "".join(traceback.format_stack(frame)).rstrip()


def _end(why: str) -> None:
    # in a thread, because a log handler that hangs must not keep the process
    speaker = threading.Thread(target=log.error, args=(why,), daemon=True)
    speaker.start()
    speaker.join(timeout=5)
    os._exit(1)
