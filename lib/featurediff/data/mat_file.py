"""Variables of a MATLAB file, read in a separate process, so that a broken or hostile file cannot end the workflow.

A file of 184 bytes can make SciPy request 16 GB, and one of 1 MB can make it overflow the stack. So `read_mat` starts
`python -m featurediff.data.mat_file FILE VARIABLE…`, which limits its own memory and time and answers in JSON.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from feature_vis.errors import InputError
from featurediff.runtime.child_process import child_environment

__all__ = ["Values", "main", "read_mat"]

# The texts and numbers of a variable; None for a value of another kind.
Values = list[str | float | None]

# The limits of memory and time. The lists of Stanford Dogs and Cars need a hundredth of these.
_BYTES = 1 << 30
_SECONDS = 60

_WRONG = 3  # the exit status of a process that can say what is wrong


def read_mat(file: Path, *variables: str) -> dict[str, Values]:
    """Variables of a MATLAB file (version 5 to 7.2) as flat lists; `annotations.fname`: a field of a struct array.

    Raises:
        InputError: the file is not a MATLAB file, is damaged, lacks a variable, or exceeds the limits.
    """
    command = [sys.executable, "-P", "-m", "featurediff.data.mat_file", str(file), *variables]
    done = subprocess.run(command, env=child_environment(), capture_output=True, check=False)
    if done.returncode == _WRONG:
        raise InputError(f"{file} {json.loads(done.stdout)}")
    if done.returncode != 0:
        limits = f"{_SECONDS} s or {_BYTES >> 30} GiB"
        raise InputError(f"{file} cannot be read as a MATLAB file: it is damaged, or takes more than {limits}")
    return json.loads(done.stdout)


def variables_of(file: str | Path, names: list[str]) -> dict[str, Values]:
    """What `read_mat` returns, read in this process; the message of an InputError lacks the file's name.

    Raises:
        InputError: see `read_mat`.
    """
    wanted = list(dict.fromkeys(name.partition(".")[0] for name in names))
    try:
        content: dict[str, Any] = scipy.io.loadmat(file, squeeze_me=True, appendmat=False, variable_names=wanted)
    except MemoryError:
        raise InputError(f"cannot be read as a MATLAB file: it claims more than {_BYTES >> 30} GiB") from None
    except Exception as error:  # broken files make SciPy raise nearly anything
        raise InputError(f"cannot be read as a MATLAB file: {error or type(error).__name__}") from None
    if missing := [name for name in wanted if name not in content]:
        there = ", ".join(name for name, *_ in scipy.io.whosmat(file, appendmat=False)) or "nothing"
        raise InputError(f"has no variable {', '.join(missing)} (it has {there}): it is not the data set's file")
    return {name: _values(content[name.partition(".")[0]], *name.split(".")) for name in names}


def _values(array: Any, variable: str, field: str = "") -> Values:
    flat = np.atleast_1d(array).ravel()
    if field and field not in (flat.dtype.names or ()):
        raise InputError(f"has a variable {variable} without the field {field}: it is not the data set's file")
    return [_text_or_number(value) for value in (flat[field] if field else flat)]


def _text_or_number(value: Any) -> str | float | None:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    return value if isinstance(value, int | float) else None


def _limit() -> None:
    """Limit this process from here on; what the imports took does not count."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + _SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if pages:
        limit = pages * resource.getpagesize() + _BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Print the variables as JSON, or what is wrong and exit with status 3."""
    file, *names = sys.argv[1:]
    _limit()
    try:
        json.dump(variables_of(file, names), sys.stdout)
    except InputError as error:
        json.dump(str(error), sys.stdout)
        sys.exit(_WRONG)


if __name__ == "__main__":
    main()
