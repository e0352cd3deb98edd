"""What ends a job from within: its workflow is gone, or it makes no progress.

A thread looks about once a second. It ends the process at once and without clean-up, because a main thread that hangs
would not come to it: files are whole or absent anyway, see `feature_vis.files`.
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
    """End the process when the shell or the workflow above it is killed: an orphan would keep the GPU.

    End it as well where for `minutes` nothing moves on (`featurediff.runtime.progress`): a step that hangs would block
    the workflow for ever. A step that is slow, but goes on, may take as long as it needs.
    """
    above, over = _parents(), threading.Event()

    def look() -> None:
        seen, idle = moves(), 0.0
        while not over.wait(poll_seconds):
            if _parents() != above:
                _end("the workflow that started this job is gone: the job ends, too")
            # by this thread's own rounds and not by a clock: a process that is stopped for a night has not hung
            seen, idle = (seen, idle + poll_seconds) if moves() == seen else (moves(), 0.0)
            if minutes is not None and idle > minutes * _MINUTE:
                log.debug("it stood here:\n%s", _place())
                _end(
                    f"nothing has moved on for {minutes:g} minutes, the step's `runtime`: the job ends. Where it stood "
                    "is in its log. Run again; if the step is slow and does not hang, give it more time with "
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
    """Where the main thread is."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "".join(traceback.format_stack(frame)).rstrip()


def _end(why: str) -> None:
    # a message that cannot be written must not keep the process: its handler may hang as well
    speaker = threading.Thread(target=log.error, args=(why,), daemon=True)
    speaker.start()
    speaker.join(timeout=5)
    os._exit(1)
