"""What a process costs: wall-clock time, processor time and memory, for the benchmarks that start some."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "run"]


@dataclass(frozen=True)
class Cost:
    """Of one process and its children: seconds, seconds of all processors, and the largest resident set."""

    seconds: float
    processor: float
    mebibytes: float
    output: str


def run(folder: Path, command: Sequence[str], **variables: str) -> Cost:
    """Run it in a folder, with further environment variables; a process that fails ends the benchmark."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n{text}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)
