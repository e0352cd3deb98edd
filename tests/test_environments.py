"""The conda environment, the image, the lock file and the project's ranges agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins(lines: list[str]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, _, version in (line.strip().partition("==") for line in lines)}


@pytest.fixture
def root(request: pytest.FixtureRequest) -> Path:
    return request.config.rootpath


def test_conda_pins_are_the_locks(root: Path) -> None:
    lock = pins((root / "requirements.lock").read_text().splitlines())
    environment = yaml.safe_load((root / "envs" / "featurediff.yaml").read_text())
    conda = pins(next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)))
    assert conda == {name: lock[name] for name in conda}


def test_the_lock_is_within_the_ranges_and_covers_every_dependency(root: Path) -> None:
    lock = pins((root / "requirements.lock").read_text().splitlines())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for line in project["dependencies"] + [line for lines in extras.values() for line in lines]:
        requirement = Requirement(line)
        if requirement.name == project["name"]:  # another extra of its own
            assert requirement.extras <= set(extras), line
            continue
        assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)]), line


def test_conda_has_all_that_lib_imports(root: Path) -> None:
    environment = yaml.safe_load((root / "envs" / "featurediff.yaml").read_text())
    conda = pins(next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)))
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]} - {"snakemake"}
    assert wanted == set(conda)


def instructions(root: Path) -> list[str]:
    """The Dockerfile's instructions, each on one line, without comments."""
    lines = [line for line in (root / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line]


def test_the_image_has_the_locks_versions_and_condas_python(root: Path) -> None:
    found = instructions(root)
    installs = [command for line in found for command in re.split("&&|RUN", line) if "pip install" in command]
    assert installs
    assert all("--constraint requirements.lock" in command for command in installs)
    python = next(p for p in yaml.safe_load((root / "envs" / "featurediff.yaml").read_text())["dependencies"] if p)
    assert found[0].startswith(f"FROM python:{python.removeprefix('python=')}-")


def test_the_image_has_the_whole_workflow(root: Path) -> None:
    copied = {path for line in instructions(root) if line.startswith("COPY") for path in line.split()[1:-1]}
    assert all((root / path).exists() for path in copied)
    snakefile = (root / "Snakefile").read_text()
    named = {path.split("/")[0] for path in re.findall(r'(?:include|report|configfile): *\n? *"([^"]+)"', snakefile)}
    assert {"rules", "report", "config.yaml"} <= named
    assert named | {"Snakefile", "config", "envs", "lib", "profiles", "scripts"} <= copied


def test_the_dockerfile_is_sound(root: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, root / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
