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
    assert low <= high


def test_the_share_of_the_task_where_task_and_run_are_of_known_size() -> None:
    random = np.random.default_rng(0)
    base, asked, *own = random.standard_normal((4, 400, 256))
    for task, run, share in [(1, 0, 1.0), (2, 1, 0.8), (1, 1, 0.5), (0, 1, 0.0)]:
        first, second = (base + task * asked + run * part for part in own)
        value, low, high = shared_change(squared(base, first), squared(base, second), squared(first, second), 0)
        assert value == pytest.approx(share, abs=0.02)
        assert low - 1e-12 <= value <= high + 1e-12
        assert high - low < 0.05


def test_too_few_channels_and_no_change_have_no_cosine() -> None:
    some = np.linspace(1, 2, 12)
    assert np.isnan(shared_change(some[:9], some[:9], some[:9], 0)).all()
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
    runs = []
    for number, stranger in enumerate(strangers):
        changed = centre.copy()
        changed[:16] = other[:16]
        own = slice(16 + 4 * number, 20 + 4 * number)
        changed[own] = stranger[own]
        runs.append(changed + 0.5 * noise + 0.1 * random.standard_normal(noise.shape))
    layers = ["frozen", "trained"]
    tables = []
    for before, after in ((base, runs[0]), (base, runs[1]), (runs[0], runs[1])):
        visual = [
            visual_table(one, two, network="dogs", layer=layer)
            for layer, (one, two) in zip(layers, [(base, base), (before, after)], strict=True)
        ]
        table = add_q_values(pd.concat(visual, ignore_index=True))
        # standardised activations and filters, as unit vectors with the same products
        units = [rows.mean(1) / np.linalg.norm(rows.mean(1), axis=1, keepdims=True) for rows in (before, after)]
        cosine = np.where(table["layer"] == "frozen", 1.0, np.tile((units[0] * units[1]).sum(1), 2))
        tables.append(table.assign(correlation=cosine, weight_cosine=cosine))
    return rank_channels(tables[0]), rank_channels(tables[1]), tables[2].drop(columns=["q_visual", "q_excess"])


def test_what_both_runs_changed_is_told_from_what_one_did() -> None:
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


def test_a_frozen_layer_has_nothing_to_share_and_says_why() -> None:
    first, second, between = simulated()
    rows = compare_runs(first, second, between, network="dogs", control="again", seed=0).set_index(["layer", "measure"])
    for measure in ("visual_change", "correlation", "weight_cosine"):
        row = rows.loc["frozen", measure]
        assert np.isnan(row["shared"])
        assert "without change" in row["reason"]
    assert rows.loc[("frozen", "visual_change"), "changed_both"] == 0
    assert (rows.loc["frozen", "median_network"].dropna() == [0, 1, 1]).all()


def test_a_run_beside_itself_shares_everything() -> None:
    first, _, between = simulated()
    same = between.assign(visual_change=0.0, correlation=1.0, weight_cosine=1.0)
    rows = compare_runs(first, first, same, network="dogs", control="again", seed=0).set_index(["layer", "measure"])
    shared = rows.loc["trained", "shared"].dropna()
    assert len(shared) == 3
    assert shared.to_numpy() == pytest.approx(1)
    assert rows.loc[("trained", "excess"), "share_both"] == 1
    first["q_visual"] = 0.05  # the rate itself still counts as changed
    rows = compare_runs(first, first, same, network="dogs", control="again", seed=0).set_index(["layer", "measure"])
    row = rows.loc[("trained", "visual_change")]
    assert row[["changed_network", "changed_control", "changed_both", "by_chance"]].tolist() == [CHANNELS] * 4
