"""How a run was made: its command, the project's revision, versions, devices, and the seconds of its jobs."""

import csv
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

__all__ = ["describe_embedder", "devices", "revision", "seconds_by_step", "start_command", "versions"]

_PACKAGES = ("featurediff", "torch", "torchvision", "snakemake", "numpy", "pandas", "scipy", "pillow")


def start_command(program: Iterable[str], configfiles: Iterable[str], results: str) -> str:
    """The shell command that starts the workflow with these config files and this folder of results.

    `program`: the words it begins with, such as `featurediff run`.
    """
    words = [*program, "--cores", "8"]
    if files := list(configfiles):
        words += ["--configfile", *files]
    if results != "results":
        words += ["--config", f"results={results}"]
    return shlex.join(words)


def describe_embedder(embedder: Mapping[str, str]) -> str:
    """The network that embeds the pictures; whether it is itself under test decides how neutral it is."""
    if "network" in embedder:
        return f"{embedder['network']}, itself one of the networks under test"
    return f"{embedder['model']} with the weights {embedder['weights']}"


def versions() -> dict[str, str]:
    """The versions of Python and of the installed packages that influence results."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def revision(folder: str | Path) -> str:
    """The project's git revision, `with changes` if files differ from it; empty where there is no repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout.strip()

    try:
        changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "--short=12", "HEAD") + changed
    except OSError:  # no git, or no repository
        return ""


def devices(logs: Path) -> list[str]:
    """The GPUs that the jobs' logs name, or else the processor of this machine."""
    found = set()
    for log in sorted(logs.rglob("*.log")):
        with log.open(encoding="utf-8", errors="replace") as lines:
            found |= {match[1] for line in lines if (match := re.match(r"using GPU \S+ \((.+)\)", line))}
    return sorted(found) or [f"CPU, {_processor()}, {os.cpu_count()} threads"]


def _processor() -> str:
    try:
        names = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        names = None
    return names[1] if names else platform.processor() or platform.machine()


def seconds_by_step(benchmarks: Path) -> dict[str, float]:
    """The seconds of each job's last run, summed by step, longest first."""
    seconds: dict[str, float] = {}
    for file in sorted(benchmarks.rglob("*.tsv")):
        step = file.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        with file.open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                try:
                    seconds[step] = seconds.get(step, 0.0) + float(row["s"])
                except (KeyError, TypeError, ValueError):
                    continue
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))
