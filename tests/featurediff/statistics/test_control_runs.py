"""Two runs of a training: planted shares of task and run come out of the distances alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurediff.statistics.control_runs import COLUMNS, compare_runs, shared_change
from featurediff.statistics.mmd import visual_table
from featurediff.statistics.multiple_testing import add_q_values, rank_channels

CHANNELS, SEEDS, VALUES = 48, 4, 64


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances of rows, (K, D) x (K, D) -> (K,)."""
    return ((a - b) ** 2).sum(1)


@given(st.integers(0, 10**6), st.floats(0, 2), st.floats(0.1, 2))
def test_the_cosine_of_two_changes_from_distances_alone(seed: int, task: float, run: float) -> None:
    random = np.random.default_rng(seed)
    base, asked, *own = random.standard_normal((4, 20, 8))
    first, second = (base + task * asked + run * part for part in own)
    d, c = first - base, second - base
    expected = (d * c).sum() / np.sqrt((d * d).sum() * (c * c).sum())
    value, low, high = shared_change(squared(base, first), squared(base, second), squared(first, second), seed)
    assert value == pytest.approx(expected, abs=1e-9)
    assert low - 1e-12 <= value <= high + 1e-12


def test_too_few_channels_and_no_change_have_no_cosine() -> None:
    some = np.linspace(1, 2, 12)
    assert np.isnan(shared_change(some[:9], some[:9], some[:9], 0)).all()
    assert not np.isnan(shared_change(some[:10], some[:10], some[:10], 0)).any()
    assert np.isnan(shared_change(np.where(some > 1.5, some, np.nan), some, some, 0)).all()
    assert np.isnan(shared_change(0 * some, 0 * some, 0 * some, 0)).all()
    assert not np.isnan(shared_change(some, some, some, 0)).any()
    assert shared_change(some, some, some, 0) == shared_change(some, some, some, 0)


def simulated() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rankings of two runs, and the one against the other.

    Each run gives the first 16 channels another picture by the task and 4 more, its own, by chance.
    """
    random = np.random.default_rng(0)
    centre, other, *strangers = random.standard_normal((4, CHANNELS, 1, VALUES))
    noise = random.standard_normal((CHANNELS, SEEDS, VALUES))
    base = centre + 0.5 * noise
    runs, tables = [], []
    for number, stranger in enumerate(strangers):
        changed, own = np.concatenate([other[:16], centre[16:]]), slice(16 + 4 * number, 20 + 4 * number)
        changed[own] = stranger[own]
        runs.append(changed + 0.5 * noise + 0.1 * random.standard_normal(noise.shape))
    for before, after in ((base, runs[0]), (base, runs[1]), (runs[0], runs[1])):
        pairs = {"frozen": (base, base), "trained": (before, after)}
        visual = [visual_table(*pair, network="dogs", layer=layer) for layer, pair in pairs.items()]
        table = add_q_values(pd.concat(visual, ignore_index=True))
        # standardised activations and filters, as unit vectors with the same products
        units = [rows.mean(1) / np.linalg.norm(rows.mean(1), axis=1, keepdims=True) for rows in (before, after)]
        cosine = np.where(table["layer"] == "frozen", 1.0, np.tile((units[0] * units[1]).sum(1), 2))
        tables.append(table.assign(correlation=cosine, weight_cosine=cosine))
    return rank_channels(tables[0]), rank_channels(tables[1]), tables[2].drop(columns=["q_visual", "q_excess"])


def test_what_both_runs_changed_is_told_from_what_one_did_and_a_run_beside_itself_shares_all() -> None:
    first, second, between = simulated()
    table = compare_runs(first, second, between, network="dogs", control="again", seed=0)
    assert list(table) == list(COLUMNS)
    assert (table[["network", "control"]] == ["dogs", "again"]).all(axis=None)
    assert table["layer"].drop_duplicates().tolist() == ["frozen", "trained"]
    rows = table.set_index(["layer", "measure"])
    for measure in ("visual_change", "correlation", "weight_cosine"):
        row = rows.loc["trained", measure]
        assert row["shared"] == pytest.approx(16 / 20, abs=0.07), measure
        assert row["shared_low"] < row["shared"] < row["shared_high"]
        assert row["channels"] == CHANNELS
        assert row["spearman"] > 0.4
    excess = rows.loc["trained", "excess"]
    assert excess[["changed_network", "changed_control", "changed_both"]].tolist() == [20, 20, 16]
    assert excess["share_both"] == pytest.approx(16 / 24)
    assert excess["by_chance"] == pytest.approx(20 * 20 / CHANNELS)
    assert np.isnan(excess["shared"])
    for measure in ("visual_change", "correlation", "weight_cosine"):
        row = rows.loc["frozen", measure]
        assert np.isnan(row["shared"])
        assert "without change" in row["reason"]
    assert rows.loc[("frozen", "visual_change"), "changed_both"] == 0
    assert (rows.loc["frozen", "median_network"].dropna() == [0, 1, 1]).all()
    same = between.assign(visual_change=0.0, correlation=1.0, weight_cosine=1.0)
    first.loc[first["layer"] == "trained", "q_visual"] = 0.05  # the rate itself still counts as changed
    rows = compare_runs(first, first, same, network="dogs", control="again", seed=0).set_index(["layer", "measure"])
    assert rows.loc["trained", "shared"].dropna().tolist() == pytest.approx([1] * 3)
    assert rows.loc[("trained", "excess"), "share_both"] == 1
    row = rows.loc[("trained", "visual_change")]
    assert row[["changed_network", "changed_control", "changed_both", "by_chance"]].tolist() == [CHANNELS] * 4
