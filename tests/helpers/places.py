"""Where things lie that several folders of tests ask for, and Python as their tests run it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from featurediff.runtime.child_process import child_environment

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def python(code: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """A process that imports what this one does."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=child_environment(), **options)
