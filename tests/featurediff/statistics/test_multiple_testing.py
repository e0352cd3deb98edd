"""Corrections, rankings, counts and rank agreement against cases with a known answer."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from feature_vis.errors import InputError
from featurediff.statistics.mmd import visual_table
from featurediff.statistics.multiple_testing import (
    COLUMNS,
    add_q_values,
    agreement,
    q_values,
    rank_agreement,
    rank_channels,
    share_interval,
    summarise,
)


def test_share_interval_is_wilsons() -> None:
    assert share_interval(3, 10) == pytest.approx(tuple(stats.binomtest(3, 10).proportion_ci(method="wilson")))
    assert share_interval(0, 20) == pytest.approx((0, 0.161125), abs=1e-6)
    assert np.isnan(share_interval(0, 0)).all()
    with pytest.raises(InputError, match="3 of 2"):
        share_interval(3, 2)


def test_q_values_leave_nan_out() -> None:
    # Benjamini and Hochberg by hand: p * 3 / rank, made monotone from the largest
    assert q_values(np.array([0.01, np.nan, 0.04, 0.03])) == pytest.approx([0.03, np.nan, 0.04, 0.04], nan_ok=True)
    assert np.isnan(q_values(np.array([np.nan]))).all()
    assert len(q_values(np.empty(0))) == 0


def test_every_column_is_described() -> None:
    base, tuned = np.random.default_rng(0).normal(size=(2, 12, 4, 8))
    rows = rank_channels(add_q_values(visual_table(base, tuned, network="dogs", layer="layer4.2")))
    assert [name for name in COLUMNS if name in rows] == list(rows.columns)
    assert set(COLUMNS) - set(rows) == {"q_response", "q_combined"}  # of p-values that this table has not
    assert all(isinstance(unit, str) and meaning for unit, meaning in COLUMNS.values())


def test_ranking() -> None:
    rows = pd.DataFrame({"channel": [3, 4, 5, 6], "excess": [1.0, np.nan, 2.0, 1.0]})
    ranked = rank_channels(rows)
    assert ranked["channel"].tolist() == [5, 3, 6, 4]
    assert ranked["rank"].tolist() == [1, 2, 3, pd.NA]
    one_seed = rows.assign(excess=np.nan, combined=[1, 2, 3, np.nan])
    assert rank_channels(one_seed)["channel"].tolist() == [5, 4, 3, 6]
    assert rank_channels(rows.assign(combined=[1, 2, 3, np.nan]))["channel"].tolist() == [5, 3, 6, 4]


def test_summary_counts_what_was_tested() -> None:
    rows = pd.DataFrame({"network": "dogs", "layer": ["b", "b", "b", "a", "a"]})
    rows["q_visual"], rows["q_excess"] = [0.01, 0.05, 0.2, np.nan, np.nan], [0.5, np.nan, 0.01, 1, 1]
    found = summarise(rows)
    assert found["layer"].tolist() == ["b", "b", "a", "a", "all", "all"]
    assert found["test"].tolist() == ["visual", "excess"] * 3
    counts = [[3, 3, 2], [3, 2, 1], [2, 0, 0], [2, 2, 0], [5, 3, 2], [5, 4, 1]]
    assert found[["channels", "tested", "changed"]].to_numpy().tolist() == counts
    assert found["share"].tolist() == pytest.approx([2 / 3, 1 / 2, np.nan, 0, 2 / 3, 1 / 4], nan_ok=True)
    assert found["reason"].tolist() == ["", "", "no channel could be tested", "", "", ""]
    assert found.loc[0, ["share_low", "share_high"]].tolist() == pytest.approx(share_interval(2, 3))
    assert summarise(rows.head(0)).empty


def spearman(x: np.ndarray, y: np.ndarray, *seed: str | int) -> list[object]:
    return list(rank_agreement(x, y, *seed).values())[1:4]


def test_agreement_of_each_layer_and_spearman_of_known_orders() -> None:
    x = np.arange(45.0)
    rows = pd.DataFrame({"network": "dogs", "layer": ["a"] * 20 + ["b"] * 20 + ["c"] * 5, "x": x, "y": -(x**3)})
    rows.loc[20:39, "y"] = 1.0
    found = agreement(rows, "x", "y", seed=0)
    assert found["channels"].tolist() == [20, 20, 5]
    names = ["spearman", "spearman_low", "spearman_high"]
    assert found.loc[0, names].tolist() == pytest.approx([-1, -1, -1])
    assert found.loc[1:, names].isna().all(axis=None)
    too_few = "5 channels with both numbers, 10 are needed"
    assert found["reason"].tolist() == ["", "a column is constant", too_few]
    x = x[:20]
    assert spearman(np.where(x % 2, x, np.nan), x**2) == pytest.approx([1, 1, 1])
    y = np.sin(x)
    assert spearman(x, y, "a", 1) == spearman(x, y, "a", 1) != spearman(x, y, "a", 2)
    assert spearman(x, y, "a", 1)[0] == spearman(x, y, "a", 2)[0] == pytest.approx(stats.spearmanr(x, y).statistic)
    ties = np.repeat([0.0, 1], [19, 1])  # in a third of the resamples all are equal: those have no correlation
    assert np.isfinite(spearman(ties, x)).all()


def test_the_interval_of_spearman_covers() -> None:
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # of a bivariate normal with correlation 0.6
    covered = []
    for run in range(200):
        x = rng.normal(size=30)
        _, low, high = spearman(x, 0.6 * x + 0.8 * rng.normal(size=30), run)
        covered.append(low <= truth <= high)
    assert 0.9 <= np.mean(covered) <= 0.99
