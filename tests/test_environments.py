"""The conda environment, the lock file and the project's ranges agree."""

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
    for line in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)]), line


def test_conda_has_all_that_lib_imports(root: Path) -> None:
    environment = yaml.safe_load((root / "envs" / "featurediff.yaml").read_text())
    conda = pins(next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)))
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]} - {"snakemake"}
    assert wanted == set(conda)
