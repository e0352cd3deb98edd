"""Unfinished pictures on disk: found by what they are, written whole, gone when finished."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from feature_vis.objectives import Objective, Objectives
from feature_vis.optimisation import checkpointing
from feature_vis.optimisation.checkpointing import Checkpointer
from feature_vis.optimisation.image_state import ImageState
from feature_vis.recipe import Recipe


@pytest.fixture
def source() -> Objectives:
    torch.manual_seed(0)
    return Objectives(nn.Conv2d(3, 4, 1))


def new_state(objective: Objective, *seed: str | int) -> ImageState:
    return ImageState(0, objective, seed, torch.zeros(2, 3))


def under_way(objective: Objective, *seed: str | int) -> ImageState:
    there = new_state(objective, *seed)
    there.parameters = torch.arange(6.0).view(2, 3)
    there.memory = {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, 3)}
    there.trajectory, there.stage, there.stopped = [0.5, 1.5, 2.0], 1, "plateau"
    return there


def found(folder: Path, recipe: Recipe, objective: Objective, *seed: str | int) -> bool:
    """Whether a new checkpointer knows the picture."""
    anew = new_state(objective, *seed)
    Checkpointer(folder, recipe).restore([anew])
    return anew.step > 0


def test_a_picture_is_recalled_as_it_was_noted(source, tmp_path) -> None:
    noted, recalled = under_way(source("", 1), 0, "a"), new_state(source("", 1), 0, "a")
    Checkpointer(tmp_path / "deep" / "folder", Recipe()).save([noted])
    Checkpointer(tmp_path / "deep" / "folder", Recipe()).restore([recalled])
    assert torch.equal(recalled.parameters, noted.parameters)
    assert recalled.memory.keys() == noted.memory.keys()
    assert all(torch.equal(recalled.memory[name], value) for name, value in noted.memory.items())
    assert (recalled.trajectory, recalled.stage, recalled.stopped) == ([0.5, 1.5, 2.0], 1, "plateau")


def test_a_file_is_never_taken_for_anothers(source, tmp_path) -> None:
    (tmp_path / "start.png").write_bytes(b"1")
    recipe = Recipe(start=str(tmp_path / "start.png"))
    folder, other = tmp_path / "notes", Objectives(nn.Conv2d(3, 4, 1))
    Checkpointer(folder, recipe).save([under_way(source("", 1), 0, "a"), under_way(source("", 1) - other("", 1))])
    for objective, seed in [(source("", 2), 0), (-source("", 1), 0), (source("", 1), 1)]:
        assert not found(folder, recipe, objective, seed, "a")
    assert not found(folder, dataclasses.replace(recipe, seed=1), source("", 1), 0, "a")
    assert not found(folder, recipe, dataclasses.replace(source, mean=(0.5, 0.5, 0.5))("", 1), 0, "a")
    assert found(folder, recipe, source("", 1) - other("", 1))
    assert not found(folder, recipe, other("", 1) - source("", 1))
    (tmp_path / "start.png").write_bytes(b"2")
    assert not found(folder, recipe, source("", 1), 0, "a")
    (tmp_path / "start.png").write_bytes(b"1")
    assert found(folder, recipe, source("", 1), 0, "a")
    with torch.no_grad():
        source.model.weight += 1e-3
    assert not found(folder, recipe, source("", 1), 0, "a")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", "cut off", "incomplete"])
def test_what_cannot_be_read_is_as_if_it_were_not_there(source, tmp_path, content: bytes | str) -> None:
    Checkpointer(tmp_path, Recipe()).save([under_way(source("", 1))])
    (file,) = tmp_path.iterdir()
    if content == "incomplete":
        torch.save({name: value for name, value in torch.load(file).items() if name != "stopped"}, file)
    else:
        file.write_bytes(file.read_bytes()[:-200] if content == "cut off" else content)
    assert not found(tmp_path, Recipe(), source("", 1))


def test_finished_pictures_are_forgotten_and_the_folder_with_the_last(source, tmp_path) -> None:
    folder = tmp_path / "notes"
    both = [under_way(source("", channel)) for channel in (1, 2)]
    checkpointer = Checkpointer(folder, Recipe())
    checkpointer.remove(both)  # never noted
    checkpointer.save(both)
    checkpointer.remove(both[:1])
    assert not found(folder, Recipe(), source("", 1))
    assert found(folder, Recipe(), source("", 2))
    checkpointer.remove(both[1:])
    assert not folder.exists()


def test_now_and_then_is_once_a_while_and_for_all_that_moved_since(source, tmp_path, monkeypatch) -> None:
    now, brought = [100.0], []
    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: now[0])
    checkpointer = Checkpointer(tmp_path / "notes", Recipe())
    first, second = (under_way(source("", channel)) for channel in (1, 2))
    for moment, active in [(101, [first]), (150, [second]), (159, [second])]:
        now[0] = moment
        checkpointer.save_if_due(active, lambda: brought.append(1))
        assert not checkpointer.folder.exists()
        assert not brought
    now[0] = 161.0
    checkpointer.save_if_due([second], lambda: brought.append(1))
    assert brought == [1]  # states are brought up to date only to be saved
    assert found(checkpointer.folder, Recipe(), source("", 1))  # it ended meanwhile
    assert found(checkpointer.folder, Recipe(), source("", 2))
    checkpointer.remove([first, second])
    now[0] = 200.0
    checkpointer.save_if_due([second], list)
    assert not checkpointer.folder.exists()
    now[0] = 222.0
    checkpointer.save_if_due([second], list)
    assert not found(checkpointer.folder, Recipe(), source("", 1))  # finished and forgotten
    assert found(checkpointer.folder, Recipe(), source("", 2))
