"""A section in a process of its own: what goes wrong there stays there, and it can be ended with all it has started."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gpu_sections.results import Ending

__all__ = ["REASON", "run"]

REASON = "reason.txt"  # where a section that fails says why, in its own folder


def run(command: Sequence[str], seconds: float, folder: Path, variables: Mapping[str, str] | None = None) -> Ending:
    """Run a section's process and end its whole group when the time is over, or when this process is asked to end."""
    began = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True, env={**os.environ, **(variables or {})})
    try:
        status: int | None = process.wait(timeout=max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        status = None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session's number is the leader's
        process.wait()
    return Ending(_what(status, seconds, folder / REASON), time.monotonic() - began)


def _what(status: int | None, seconds: float, reason: Path) -> str:
    if status is None:
        return f"ended at its limit of {seconds:.0f} s; what stands above is what it had"
    if status == 0:
        return "done"
    if reason.is_file():
        return reason.read_text(encoding="utf-8").strip()
    return f"ended by signal {-status}" if status < 0 else f"ended with {status}"
