"""What is built for release: the wheel holds the library and the workflow, and the sdist builds the same wheel."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from places import REPOSITORY

WORKFLOW = ("Snakefile", "config.yaml", "config", "envs", "profiles", "report", "rules", "scripts")


def build(kind: str, source: Path, folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder], cwd=source, check=True)
    return next(folder.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return content(build("wheel", REPOSITORY, tmp_path_factory.mktemp("wheel")))


def files(*places: str) -> set[str]:
    """Those of the working tree, as paths from its top."""
    found = {file for place in places for file in [REPOSITORY / place, *(REPOSITORY / place).rglob("*")]}
    return {str(file.relative_to(REPOSITORY)) for file in found if file.is_file() and "__pycache__" not in file.parts}


def test_the_wheel_holds_the_library_and_the_workflow_and_no_more(wheel: dict[str, bytes]) -> None:
    library = {name.removeprefix("lib/") for name in files("lib")}
    workflow = {f"featurediff/workflow/{name}" for name in files(*WORKFLOW)}
    assert {name for name in wheel if ".dist-info/" not in name} == library | workflow


def test_the_sdist_builds_the_same_wheel(wheel: dict[str, bytes], tmp_path: Path) -> None:
    with tarfile.open(build("sdist", REPOSITORY, tmp_path)) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    source = next((tmp_path / "source").iterdir())
    assert content(build("wheel", source, tmp_path / "wheel")) == wheel
