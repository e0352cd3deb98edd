"""The tutorial runs to its last cell, on a small network without a download, and finds what it plants."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient


@pytest.fixture
def tutorial(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.config.rootpath / "notebooks" / "tutorial.ipynb", as_version=4)


def test_no_output_is_kept(tutorial: nbformat.NotebookNode) -> None:
    code = [cell for cell in tutorial.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.long
def test_the_tutorial_runs_and_finds_the_planted_change(
    tutorial: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"MODEL": "resnet18", "WEIGHTS": "", "SIZE": "32", "STEPS": "4"}
    for name, value in settings.items():
        monkeypatch.setenv(f"TUTORIAL_{name}", value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(part for part in sys.path if part))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(tutorial, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in tutorial.cells for output in cell.get("outputs", [])]
    printed = [output for output in outputs if output.output_type == "stream"]
    assert printed[-1].text == "most changed: 1 4\n"
    assert all(output.name == "stdout" for output in printed), "a cell warned"
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 9
