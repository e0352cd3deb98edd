"""The test of visual change: swaps of base and tuned network."""

import numpy as np
import pandas as pd
import pytest
from simulated import discoveries, simulate, table

from featurediff.statistics import mmd as visual_change
from featurediff.statistics.mmd import kernel_difference, similarities, swap_test


def test_swaps_are_enumerated_once() -> None:
    for count in (2, 3, 4, 8):
        signs = visual_change._swaps(count)
        assert len({tuple(row) for row in signs}) == len(signs) == 2 ** (count - 1) - 1
        assert (signs[:, 0] == 1).all()
        assert (signs.sum(1) < count).all()
    many = visual_change._swaps(12)
    assert len(many) > 500
    assert (np.abs(many.sum(1)) < 12).all()
    assert (many == visual_change._swaps(12)).all()


def test_swap_p_values_by_hand() -> None:
    # two seeds: the pool is the mirror image. Products 5, 3, -4: 3 is reached by 4 of -5, -3, 4, as 5 by none
    gram = np.zeros((3, 2, 2))
    gram[:, 0, 1] = gram[:, 1, 0] = [5, 3, -4]
    assert kernel_difference(gram, np.full(3, 2)).tolist() == [5, 3, -4]
    assert swap_test(gram, np.full(3, 2), np.ones(3)).tolist() == [1 / 4, 2 / 4, 3 / 4]
    # in units of the noise 5 becomes 1, and is reached by 4; -4 is reached by all of -1, -3, 4
    assert swap_test(gram, np.full(3, 2), np.array([5, 1, 1])).tolist() == [2 / 4, 2 / 4, 4 / 4]


def test_channels_weigh_the_same_in_the_pool() -> None:
    # channel 0: products of three seeds 1, 1, 1, mean 1; each of three swaps turns two signs: mean -1/3.
    # channel 1: two seeds, product -2, swapped 2. In units of noise / root of pairs: √3, and -√3 / 3 three times; 2
    gram = np.zeros((2, 3, 3))
    gram[0] = 1 - np.eye(3)
    gram[1, 0, 1] = gram[1, 1, 0] = -2
    # weights 1, 1, 1 and 3: √3 is reached by 2 alone, -2 by all
    assert swap_test(gram, np.array([3, 2]), np.ones(2)).tolist() == [(3 + 3) / (3 + 6), 1]


def test_swapped_statistics_are_those_of_swapped_pictures() -> None:
    base, tuned, _ = simulate(4, 3, 4)
    found = similarities(base, tuned)
    swapped = visual_change._swapped(found.difference)
    for row, signs in enumerate(visual_change._swaps(4)):
        turn = (signs < 0)[None, :, None]
        again = similarities(np.where(turn, tuned, base), np.where(turn, base, tuned))
        assert again.visual_change == pytest.approx(swapped[:, row], abs=1e-12)
        # and the noise they are compared by stays
        noise = [1 - (each.floor + each.between) / 2 for each in (found, again)]
        assert noise[0] == pytest.approx(noise[1], abs=1e-12)


@pytest.mark.parametrize("paired", [0.0, 0.9], ids=["other seeds", "same start"])
@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_swap_p_values_without_change_are_uniform(seeds: int, paired: float) -> None:
    tables = [table(*simulate(run, 48, seeds, paired=paired)[:2]) for run in range(40)]
    p = pd.concat(tables)["p_visual"]
    for bound in (0.5, 0.2, 0.05):
        assert (p <= bound).mean() <= bound + 3 * np.sqrt(bound / len(p))
        assert (p <= bound).mean() >= 0.6 * bound
    assert p.min() > 0
    assert np.mean([(rows["q_visual"] <= 0.05).any() for rows in tables]) <= 0.06


def test_swap_p_values_are_fair_to_channels_with_faulty_pictures() -> None:
    tables = []
    for run in range(60):
        base, tuned, _ = simulate(run, 48, 4)
        base[:16, 0], tuned[:8, 2] = np.nan, np.nan
        tables.append(table(base, tuned))
    rows = pd.concat(tables)
    for seeds in (2, 3, 4):
        p = rows["p_visual"][rows["seeds"] == seeds]
        for bound in (0.2, 0.05):
            assert (p <= bound).mean() == pytest.approx(bound, abs=0.3 * bound + 2 * np.sqrt(bound / len(p)))
    assert np.mean([(each["q_visual"] <= 0.05).any() for each in tables]) <= 0.06


@pytest.mark.parametrize("seeds", [2, 4])
@pytest.mark.parametrize("planted", [32, 58])
def test_swap_test_keeps_its_rate_where_most_channels_changed(seeds: int, planted: int) -> None:
    runs = []
    for run in range(20):
        base, tuned, is_planted = simulate(run, 64, seeds, mixed=0.6, planted=planted)
        runs.append(discoveries(table(base, tuned)["q_visual"], is_planted))
    false, power = np.mean(runs, 0)
    assert false <= 0.06
    assert power > 0.5
