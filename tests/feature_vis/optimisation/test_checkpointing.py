"""Unfinished pictures on disk: found by what they are, written whole, gone when finished."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from feature_vis.objectives import Objective, Objectives
from feature_vis.optimisation import checkpointing as resume
from feature_vis.optimisation.ascent import Climber
from feature_vis.optimisation.checkpointing import Notebook
from feature_vis.recipe import Recipe


@pytest.fixture
def source() -> Objectives:
    torch.manual_seed(0)
    return Objectives(nn.Conv2d(3, 4, 1))


def climber(objective: Objective, *seed: str | int) -> Climber:
    return Climber(0, objective, seed, torch.zeros(2, 3))


def under_way(objective: Objective, *seed: str | int) -> Climber:
    """Somewhere on its way."""
    there = climber(objective, *seed)
    there.parameters = torch.arange(6.0).view(2, 3).requires_grad_(True)
    there.memory = {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, 3)}
    there.trajectory, there.stage, there.stopped = [0.5, 1.5, 2.0], 1, "plateau"
    return there


def found(folder: Path, recipe: Recipe, objective: Objective, *seed: str | int) -> bool:
    """Whether a new notebook knows the picture."""
    anew = climber(objective, *seed)
    Notebook(folder, recipe).recall([anew])
    return anew.step > 0


def test_a_picture_is_recalled_as_it_was_noted(source, tmp_path) -> None:
    noted, recalled = under_way(source("", 1), 0, "a"), climber(source("", 1), 0, "a")
    Notebook(tmp_path / "deep" / "folder", Recipe()).note([noted])
    Notebook(tmp_path / "deep" / "folder", Recipe()).recall([recalled])
    assert torch.equal(recalled.parameters, noted.parameters)
    assert recalled.memory.keys() == noted.memory.keys()
    assert all(torch.equal(recalled.memory[name], value) for name, value in noted.memory.items())
    assert (recalled.trajectory, recalled.stage, recalled.stopped) == ([0.5, 1.5, 2.0], 1, "plateau")


def test_a_file_is_never_taken_for_anothers(source, tmp_path) -> None:
    (tmp_path / "start.png").write_bytes(b"1")
    recipe = Recipe(start=str(tmp_path / "start.png"))
    folder = tmp_path / "notes"
    Notebook(folder, recipe).note([under_way(source("", 1), 0, "a")])
    assert found(folder, recipe, source("", 1), 0, "a")
    assert not found(folder, recipe, source("", 2), 0, "a")
    assert not found(folder, recipe, -source("", 1), 0, "a")
    assert not found(folder, recipe, source("", 1), 1, "a")
    assert not found(folder, dataclasses.replace(recipe, seed=1), source("", 1), 0, "a")
    assert not found(folder, recipe, dataclasses.replace(source, mean=(0.5, 0.5, 0.5))("", 1), 0, "a")
    (tmp_path / "start.png").write_bytes(b"2")
    assert not found(folder, recipe, source("", 1), 0, "a")
    (tmp_path / "start.png").write_bytes(b"1")
    assert found(folder, recipe, source("", 1), 0, "a")
    with torch.no_grad():
        source.model.weight += 1e-3
    assert not found(folder, recipe, source("", 1), 0, "a")


def test_two_networks_are_told_apart_in_their_order(source, tmp_path) -> None:
    other = Objectives(nn.Conv2d(3, 4, 1))
    Notebook(tmp_path, Recipe()).note([under_way(source("", 1) - other("", 1))])
    assert found(tmp_path, Recipe(), source("", 1) - other("", 1))
    assert not found(tmp_path, Recipe(), other("", 1) - source("", 1))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", None])
def test_what_cannot_be_read_is_as_if_it_were_not_there(source, tmp_path, content: bytes | None) -> None:
    Notebook(tmp_path, Recipe()).note([under_way(source("", 1))])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-200] if content is None else content)
    assert not found(tmp_path, Recipe(), source("", 1))


def test_a_file_that_lacks_something_changes_nothing(source, tmp_path) -> None:
    Notebook(tmp_path, Recipe()).note([under_way(source("", 1))])
    (file,) = tmp_path.iterdir()
    state = torch.load(file)
    del state["stopped"]
    torch.save(state, file)
    assert not found(tmp_path, Recipe(), source("", 1))


def test_finished_pictures_are_forgotten_and_the_folder_with_the_last(source, tmp_path) -> None:
    folder = tmp_path / "notes"
    both = [under_way(source("", channel)) for channel in (1, 2)]
    notebook = Notebook(folder, Recipe())
    notebook.forget(both)  # never noted
    notebook.note(both)
    notebook.forget(both[:1])
    assert not found(folder, Recipe(), source("", 1))
    assert found(folder, Recipe(), source("", 2))
    notebook.forget(both[1:])
    assert not folder.exists()


def test_now_and_then_is_once_a_while_and_for_all_that_moved_since(source, tmp_path, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])
    notebook = Notebook(tmp_path / "notes", Recipe())
    first, second = (under_way(source("", channel)) for channel in (1, 2))
    for moment, seated in [(101, [first]), (150, [second]), (159, [second])]:
        now[0] = moment
        notebook.note_now_and_then(seated)
        assert not notebook.folder.exists()
    now[0] = 161.0
    notebook.note_now_and_then([second])
    assert found(notebook.folder, Recipe(), source("", 1))  # it ended meanwhile
    assert found(notebook.folder, Recipe(), source("", 2))
    notebook.forget([first, second])
    now[0] = 200.0
    notebook.note_now_and_then([second])
    assert not notebook.folder.exists()
    now[0] = 222.0
    notebook.note_now_and_then([second])
    assert not found(notebook.folder, Recipe(), source("", 1))  # finished and forgotten
    assert found(notebook.folder, Recipe(), source("", 2))
