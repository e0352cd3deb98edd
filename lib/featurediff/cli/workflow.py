"""Where the workflow is, and how snakemake runs it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from feature_vis.errors import InputError

__all__ = ["check_config_exists", "example_configs", "find_workflow", "run_snakemake"]

_PACKAGE = Path(__file__).parents[1]
# With one of these, the user or a profile says how many jobs run at once.
_LIMITS_JOBS = re.compile(r"(--(cores|jobs|profile|workflow-profile|executor)(=.*)?|-[cj]\d*|-e)")


def find_workflow(given: Path | None = None) -> Path:
    """The folder of the Snakefile: `given`, else the checkout around this package, else the copy installed in it.

    Raises:
        InputError: there is no workflow in the folder given.
    """
    for folder in [given] if given is not None else [_PACKAGE.parents[1], _PACKAGE / "workflow"]:
        if (folder / "Snakefile").is_file() and (folder / "rules").is_dir():
            return folder.resolve()
    raise InputError(f"there is no workflow in {given or _PACKAGE}: a Snakefile and the folder rules were expected")


def example_configs() -> dict[str, Path]:
    """The configs that come with the workflow, by name: `demo`, `paper`, `paper-faithful`."""
    workflow = find_workflow()
    papers = {name: workflow / "config" / f"{name}.yaml" for name in ("paper", "paper-faithful")}
    return {"demo": workflow / "config.yaml", **papers}


def check_config_exists(directory: Path, options: Sequence[str]) -> None:
    """Refuse a run without a config.

    Raises:
        InputError: no option of snakemake names a config, and there is no config.yaml in the folder.
    """
    if any(option.startswith("--configfile") for option in options) or (directory / "config.yaml").is_file():
        return
    raise InputError(
        f"there is no config.yaml in {directory.resolve()}. To write one:\n"
        "  featurediff init birds --root FOLDER    for your own pictures, in FOLDER\n"
        "  featurediff init demo --example demo    for the demo, which needs no data\n"
        "then `featurediff run --directory birds`; or name a config by --configfile"
    )


def run_snakemake(workflow: Path, directory: Path, options: Sequence[str]) -> int:
    """Run the workflow in a folder; returns snakemake's exit status. `options` are snakemake's own.

    All cores are used where no option says how many. Ctrl-C stops snakemake, which ends its jobs before it returns.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow / "Snakefile")]
    command += ["--directory", str(directory)]
    if not any(_LIMITS_JOBS.fullmatch(option) for option in options) and "SNAKEMAKE_PROFILE" not in os.environ:
        command += ["--cores", "all"]
    # The interpreter's own programs come first, as in a virtual environment that is active.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with subprocess.Popen([*command, *options], env={**os.environ, "PATH": path}) as process, _signals_for(process):
        status = process.wait()
    return 128 - status if status < 0 else status  # as a shell says that a signal ended it


@contextmanager
def _signals_for(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let the process end by itself: a terminal sends Ctrl-C to both; a SIGTERM to this process is passed on."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number)),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
