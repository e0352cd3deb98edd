"""Which class a start asks for: the rankings against NumPy, and what is searched again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from colour_networks import networks
from scipy.special import softmax

from feature_vis.recipe import Recipe
from featurediff.difference import search
from featurediff.difference.answers import BothAnswers
from featurediff.difference.search import CANDIDATE_COLUMNS, Search, candidate_classes

RECIPE = Recipe(size=32, steps=20, learning_rate=0.3, colors="none", seed=7)


def test_candidates_are_the_best_of_both_rankings() -> None:
    rng = np.random.default_rng(0)
    base, tuned = rng.normal(scale=3, size=(2, 5, 40))
    gained = (softmax(tuned, 1) - softmax(base, 1)).mean(0)
    centred = [logits - logits.mean(1, keepdims=True) for logits in (tuned, base)]
    unseen = (centred[0] - centred[1].clip(min=0)).mean(0)
    first = sorted(range(40), key=lambda number: -gained[number])[:3]
    second = sorted(range(40), key=lambda number: -unseen[number])[:3]
    found = candidate_classes(BothAnswers(base, tuned), 3)
    assert found[:3] == first
    assert set(found) == {*first, *second}
    assert len(found) == len(set(found))


def test_evidence_that_the_base_rules_out_further_does_not_count() -> None:
    """Class 1 rises most, from what the base rules out; class 2, from nothing, is evidence."""
    base = np.array([[4.0, -8, 0, 2, 2]])
    tuned = np.array([[4.0, -4, 3, -1, -2]])
    assert (tuned - base)[0].argmax() == 1
    assert candidate_classes(BothAnswers(base, tuned), 1)[-1] != 1


def searched(folder: Path, starts: int, recipe: Recipe = RECIPE) -> tuple[list[int], Any]:
    found = Search(*networks(), recipe, "digest", folder / "store.json", folder / "unfinished", torch.device("cpu"))
    return found.classes(starts)


def test_every_start_asks_for_what_only_the_tuned_network_knows(tmp_path: Path) -> None:
    chosen, table = searched(tmp_path, 3)
    assert chosen == [5, 5, 5]
    assert list(table) == list(CANDIDATE_COLUMNS)
    assert table["rise"].is_monotonic_decreasing
    assert (table["class"][0], table["name"][0], table["starts"][0]) == (5, "magenta", 3)
    assert table["starts"].sum() == 3


def test_more_starts_search_for_themselves_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = search.render, []

    def watched(objectives: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(len(objectives))
        return real(objectives, *args, **kwargs)

    monkeypatch.setattr(search, "render", watched)
    few, _ = searched(tmp_path, 2)
    more, table = searched(tmp_path, 4)
    assert made == [8, 2 * len(table), 2 * len(table)]
    assert more[:2] == few
    made.clear()
    assert searched(tmp_path, 3)[0] == more[:3]
    assert made == []
    searched(tmp_path, 2, Recipe(size=32, steps=20, learning_rate=0.3, colors="none", seed=8))
    assert made[0] == 8, "another recipe is another search"


def test_an_interrupted_search_does_not_explore_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = search.render, []

    def stopped_at_the_second(objectives: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(len(objectives))
        if len(made) == 2:
            raise KeyboardInterrupt
        return real(objectives, *args, **kwargs)

    monkeypatch.setattr(search, "render", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, 2)
    assert searched(tmp_path, 2)[0] == [5, 5]
    assert made == [8, made[1], made[1]]
