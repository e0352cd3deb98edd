"""`featurediff difference`: two checkpoints to pictures, tables and a sentence, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from colour_networks import HIDDEN, Colours, drawn_colours
from PIL import Image

from featurediff.runtime.tables import read_table

MODULE = "colour_networks"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two checkpoints in the working folder; the tuned one names class 5 for whatever is a little magenta."""
    monkeypatch.chdir(tmp_path)
    module = f"colours_{tmp_path.name}"  # a name of its own, since a process imports a module once
    Path(f"{module}.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2] / 'helpers')!r})\n"
        f"from {MODULE} import Colours\n"
        "def build():\n    return Colours(0.0)\n"
    )
    for name, magenta in (("a.pth", 0.0), ("b.pth", HIDDEN)):
        torch.save(Colours(magenta).state_dict(), name)
    return ["difference", "a.pth", "b.pth", "--model", f"{module}:build", "--size", "32", "--steps", "250"]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, colour in enumerate(drawn_colours(12)):
        Image.fromarray(np.full((40, 40, 3), colour, np.uint8)).save(folder / f"{number}.png")
    return folder


def test_what_the_tuned_network_learned_is_said_and_shown(run, pair: list[str], photographs: Path) -> None:
    result = run(*pair, "--starts", "5", "--probe", photographs, "--device", "cpu")
    sentence, *paths = result.stdout.splitlines()
    folder = Path("difference-a-b")
    assert sentence.startswith("The networks disagree most about class 5: 5 of 5 pictures name it")
    assert "hotographs blended with them" in sentence
    assert [Path(path) for path in paths[:5]] == [folder / f"output/start{start}.png" for start in range(5)]
    assert all(Path(path).is_file() for path in paths)
    assert json.loads((folder / "summary.json").read_text())["sentence"] == sentence
    assert len(read_table(folder / "effects.csv")) > 0
    assert read_table(folder / "photographs.csv")["photographs"].tolist() == [12]
    times = {file: file.stat().st_mtime_ns for file in folder.glob("*/*.png")}
    assert run(*pair, "--starts", "5", "--probe", photographs, "--device", "cpu").stdout == result.stdout
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*/*.png")} == times


def test_no_photographs_are_needed(run, pair: list[str]) -> None:
    result = run(*pair, "--starts", "2", "--out", "audit")
    assert "photographs" not in result.stdout.lower()
    assert read_table(Path("audit/effects.csv")).empty


def test_equal_networks_have_nothing_to_show(run, pair: list[str]) -> None:
    result = run("difference", "a.pth", "a.pth", *pair[3:])
    assert result.stdout == "a.pth and a.pth do not differ: there is nothing to show\n"
    assert not Path("difference-a-a").exists()


def test_each_mistake_is_said(run, pair: list[str], tmp_path: Path) -> None:
    missing = run("difference", "none.pth", "nor.pth", *pair[3:], status=1).output
    assert "none.pth" in missing
    assert "nor.pth" in missing
    assert "resnet1" in run("difference", "a.pth", "b.pth", "--model", "resnet1", status=1).output
    other = tmp_path / "mine" / "output" / "holiday.png"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    assert "was not made by this command" in run(*pair, "--out", "mine", status=1).output
    assert other.read_bytes() == b"mine"


def test_networks_whose_classes_differ_are_refused(run, pair: list[str], tmp_path: Path) -> None:
    Path("maps.py").write_text("from torch import nn\ndef build():\n    return nn.Conv2d(3, 4, 3)\n")
    for name in ("map.pth", "other.pth"):
        torch.save(torch.nn.Conv2d(3, 4, 3).state_dict(), name)
    refused = run("difference", "map.pth", "other.pth", "--model", "maps:build", status=1).output
    assert "cannot be compared: the base is no classifier" in refused
    assert not (tmp_path / "difference-map-other").exists()
