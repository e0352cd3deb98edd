"""The conda environment, the image, the lock file and the project's ranges agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import REPOSITORY


def pins(lines: list[str]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, _, version in (line.strip().partition("==") for line in lines)}


PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
LOCK = pins((REPOSITORY / "requirements.lock").read_text().splitlines())
ENVIRONMENT = yaml.safe_load((REPOSITORY / "envs" / "featurediff.yaml").read_text())["dependencies"]
CONDA = pins(next(entry["pip"] for entry in ENVIRONMENT if isinstance(entry, dict)))


def test_conda_pins_are_the_locks() -> None:
    assert {name: LOCK[name] for name in CONDA} == CONDA


def test_the_lock_is_within_the_ranges_and_covers_every_dependency() -> None:
    extras = PROJECT["optional-dependencies"]
    for line in PROJECT["dependencies"] + [line for lines in extras.values() for line in lines]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:  # another extra of its own
            assert requirement.extras <= set(extras), line
            continue
        assert requirement.specifier.contains(LOCK[canonicalize_name(requirement.name)]), line


def test_conda_has_all_that_lib_imports() -> None:
    wanted = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]} - {"snakemake"}
    assert wanted == set(CONDA)


def instructions() -> list[str]:
    """The Dockerfile's instructions, each on one line, without comments."""
    lines = [line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line]


def test_the_image_has_the_locks_versions_and_condas_python() -> None:
    found = instructions()
    installs = [command for line in found for command in re.split("&&|RUN", line) if "pip install" in command]
    assert installs
    assert all("--constraint requirements.lock" in command for command in installs)
    python = next(entry for entry in ENVIRONMENT if entry)
    assert found[0].startswith(f"FROM python:{python.removeprefix('python=')}-")


def test_the_image_has_the_whole_workflow() -> None:
    copied = {path for line in instructions() if line.startswith("COPY") for path in line.split()[1:-1]}
    assert all((REPOSITORY / path).exists() for path in copied)
    snakefile = (REPOSITORY / "Snakefile").read_text()
    named = {path.split("/")[0] for path in re.findall(r'(?:include|report|configfile): *\n? *"([^"]+)"', snakefile)}
    assert {"rules", "report", "config.yaml"} <= named
    assert named | {"Snakefile", "config", "envs", "lib", "profiles", "scripts"} <= copied


def test_the_dockerfile_is_sound() -> None:
    command = [Path(sys.executable).with_name("hadolint"), REPOSITORY / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
