"""Visual change against cases with a known answer, against its definitions, and on simulated pictures."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated import auc, cosine, discoveries, simulate, table

from feature_vis.errors import InputError
from featurediff.statistics import mmd as visual_change
from featurediff.statistics.empirical_null import fit_drift
from featurediff.statistics.mmd import centre, similarities
from featurediff.statistics.multiple_testing import rank_channels, share_interval, summarise

# What is measured


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_similarities_are_what_their_names_say(seeds: int) -> None:
    base, tuned, _ = simulate(0, 5, seeds)
    rows = table(base, tuned)
    different = [(s, t) for s in range(seeds) for t in range(seeds) if s != t]
    for k, row in rows.iterrows():
        b, t = base[k], tuned[k]
        others = [j for j in range(5) if j != k]
        expected = {
            "paired_similarity": np.mean([cosine(b[s], t[s]) for s in range(seeds)]),
            "first_similarity": cosine(b[0], t[0]),
            "floor_base": np.mean([cosine(b[s], b[u]) for s, u in different]),
            "floor_tuned": np.mean([cosine(t[s], t[u]) for s, u in different]),
            "between_similarity": np.mean([cosine(b[s], t[u]) for s, u in different]),
            "mismatched_similarity": np.mean(
                [
                    (cosine(b[s], tuned[j, u]) + cosine(t[s], base[j, u])) / 2
                    for j in others
                    for s, u in itertools.product(range(seeds), repeat=2)
                ]
            ),
        }
        expected["floor"] = (expected["floor_base"] + expected["floor_tuned"]) / 2
        expected["visual_change"] = 2 * (expected["floor"] - expected["between_similarity"])
        above, between = expected["floor"] - expected["mismatched_similarity"], expected["between_similarity"]
        expected["retained"] = (between - expected["mismatched_similarity"]) / above
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_a_known_case() -> None:
    # channel 0: base always east, tuned always north, 45 degrees between the seeds' halves; channel 1: unchanged
    east, north, up = np.eye(3)
    base = np.array([[east, east], [up, up]])
    tuned = np.array([[north, north], [up, up]])
    rows = table(base, tuned)
    assert rows["visual_change"].tolist() == pytest.approx([2, 0])  # |east - north|²
    assert rows["paired_similarity"].tolist() == [pytest.approx(0), 1]
    assert rows["floor"].tolist() == pytest.approx([1, 1])
    assert rows["mismatched_similarity"].tolist() == pytest.approx([0, 0])
    assert rows["retained"].tolist() == pytest.approx([0, 1])


def test_visual_change_is_unbiased() -> None:
    # 4000 channels of one kind; with many seeds the squared distance of mean directions is known
    rng = np.random.default_rng(3)
    shift = np.array([0.5, -0.3, 0.2, 0])
    base = np.array([1, 1, 1, 1.0]) + 0.5 * rng.normal(size=(4000, 3, 4))
    tuned = base + shift + 0.2 * rng.normal(size=base.shape)  # pairs depend on one another
    directions = [(x / np.linalg.norm(x, axis=2, keepdims=True)).mean((0, 1)) for x in (base, tuned)]
    change = similarities(base, tuned).visual_change
    error = change.std() / np.sqrt(len(change))
    assert change.mean() == pytest.approx(((directions[0] - directions[1]) ** 2).sum(), abs=3 * error)


def test_lengths_order_and_exchange_decide_nothing() -> None:
    base, tuned, _ = simulate(1, 20, 3, drift=0.2, mixed=0.5, planted=4)
    plain = table(base, tuned)
    rng = np.random.default_rng(0)
    numbers = plain.columns.difference(["network", "layer", "channel", "reason", "first_similarity"])
    lengths = np.exp(3 * rng.normal(size=(20, 3, 1)))
    seeds, channels = rng.permutation(3), rng.permutation(20)
    pd.testing.assert_frame_equal(table(lengths * base, 7 * tuned), plain)
    pd.testing.assert_frame_equal(table(base[:, seeds], tuned[:, seeds])[numbers], plain[numbers])
    moved = table(base[channels], tuned[channels], channels=list(channels))
    pd.testing.assert_frame_equal(moved.sort_values("channel", ignore_index=True), plain)
    exchanged = table(tuned, base).rename(columns={"floor_base": "floor_tuned", "floor_tuned": "floor_base"})
    pd.testing.assert_frame_equal(exchanged[plain.columns], plain)
    turned = np.linalg.qr(rng.normal(size=(48, 48)))[0]
    pd.testing.assert_frame_equal(table(base @ turned, tuned @ turned), plain)


def test_centring_takes_out_what_a_network_has_in_common() -> None:
    base, tuned, planted = simulate(2, 40, 2, mixed=0.5, planted=10)
    for network in (base, tuned):
        network /= np.linalg.norm(network, axis=2, keepdims=True)
    base[3, 1] = np.nan
    centred = centre(base)
    assert np.nanmean(np.nanmean(centred, 1), 0) == pytest.approx(0, abs=1e-12)
    assert np.isnan(centred[3, 1]).all()
    assert np.isfinite(centred[3, 0]).all()
    assert centre(base.astype(np.float32)).dtype == np.float32
    excess = table(centred, centre(tuned))["excess"]
    known = excess.notna()
    assert known.sum() == 39
    assert auc(excess[known], planted[known]) > 0.95


# What cannot be had


def test_one_seed_has_a_similarity_and_nothing_else() -> None:
    rows = table(*simulate(0, 12, 1)[:2])
    assert rows[["paired_similarity", "first_similarity", "mismatched_similarity"]].notna().all(axis=None)
    unknown = ["floor", "between_similarity", "visual_change", "p_visual", "excess", "p_excess", "q_visual", "q_excess"]
    assert rows[unknown].isna().all(axis=None)
    assert set(rows["reason"]) == {"one seed: no noise floor, no test"}


def test_two_seeds_have_no_interval() -> None:
    rows = table(*simulate(0, 12, 2)[:2])
    assert rows.filter(regex="_(low|high)$").isna().all(axis=None)
    assert rows[["p_visual", "p_excess"]].notna().all(axis=None)
    assert set(rows["reason"]) == {"two seeds: no interval over seeds"}


def test_a_faulty_picture_takes_its_seed_and_nothing_more() -> None:
    base, tuned, _ = simulate(0, 12, 4)
    base[2, 1] = np.nan
    tuned[5, 0, 3] = np.inf
    tuned[6, :] = 0
    rows = table(base, tuned)
    assert rows["seeds"].tolist() == [4, 4, 3, 4, 4, 3, 0, 4, 4, 4, 4, 4]
    without = similarities(base[[2, 3]][:, [0, 2, 3]], tuned[[2, 3]][:, [0, 2, 3]])
    assert rows.loc[2, "visual_change"] == pytest.approx(without.visual_change[0], abs=1e-12)
    assert rows.loc[2, "floor_tuned"] == pytest.approx(without.floor_tuned[0], abs=1e-12)
    assert rows.loc[5, "reason"] == "the first seed's picture is faulty"
    assert rows.loc[6, "reason"] == "no seed with a sound picture of both networks"
    assert rows.loc[6].drop(["network", "layer", "channel", "seeds", "reason"]).isna().all()
    filled = rows.drop(index=[5, 6])
    assert filled.notna().all(axis=None)
    assert set(filled["reason"]) == {""}


def test_a_reason_wherever_a_number_is_missing() -> None:
    base, tuned, _ = simulate(5, 14, 4)
    tuned[0] = base[0]  # exactly unchanged
    base[1], tuned[1] = base[1, 0], tuned[1, 0]  # no noise
    base[2, 1:] = np.nan
    for rows in (table(base, tuned), table(base[:5], tuned[:5]), table(base[:1], tuned[:1])):
        missing = rows.drop(columns=["reason"]).isna().any(axis=1)
        assert (missing == (rows["reason"] != "")).all()
    assert "exactly unchanged" in table(base, tuned).loc[0, "reason"]
    assert "all equal" in table(base, tuned).loc[1, "reason"]
    assert "10 are needed" in table(base[3:8], tuned[3:8]).loc[0, "reason"]


def test_a_frozen_layer_is_exactly_unchanged() -> None:
    base, _, _ = simulate(0, 12, 3)
    rows = table(base.astype(np.float32), base.astype(np.float32))
    for name, value in {"paired_similarity": 1, "first_similarity": 1, "visual_change": 0}.items():
        assert (rows[name] == value).all()
    for name in ("p_visual", "p_excess", "q_visual", "q_excess"):
        assert (rows[name] == 1).all()
    assert rows["excess"].isna().all()


def test_some_changed_channels_of_a_frozen_layer_have_no_drift_to_exceed() -> None:
    base, tuned, _ = simulate(0, 40, 4, mixed=1, planted=40)
    tuned[:30] = base[:30]
    rows = table(base, tuned)
    assert (rows["q_visual"][30:] <= 0.05).all()
    assert (rows["p_visual"][:30] > 0.05).all()
    assert rows["p_excess"][30:].isna().all()
    assert rows.loc[35, "reason"].endswith("exactly unchanged: there is no drift to exceed")


def test_bad_input_is_refused() -> None:
    base, tuned, _ = simulate(0, 4, 2)
    with pytest.raises(InputError, match="same channels"):
        similarities(base, tuned[:3])
    with pytest.raises(InputError, match=r"of base must be numbers \(channels, seeds, values\)"):
        similarities(base[0], tuned[0])
    with pytest.raises(InputError, match="different channels"):
        table(base, tuned, channels=[1, 2, 2, 3])
    with pytest.raises(InputError, match="close names: excess"):
        rank_channels(table(base, tuned), by="exces")
    with pytest.raises(InputError, match="3 of 2"):
        share_interval(3, 2)


def test_no_channels_make_an_empty_table() -> None:
    rows = table(np.empty((0, 2, 8)), np.empty((0, 2, 8)))
    assert len(rows) == 0
    assert summarise(rows).empty


# Question 1: swaps


# Question 2: the layer's drift


@pytest.mark.parametrize("seeds", [2, 4])
def test_drift_alone_is_no_discovery(seeds: int) -> None:
    tables = [table(*simulate(run, 64, seeds, drift=0.3)[:2]) for run in range(50)]
    assert np.mean([(rows["q_excess"] <= 0.05).any() for rows in tables]) <= 0.06
    p = pd.concat(tables)["p_excess"]
    assert (p <= 0.05).mean() <= 0.06
    if seeds == 4:  # question 1 sees it, rightly: the pictures did change
        assert np.mean([(rows["q_visual"] <= 0.05).mean() for rows in tables]) > 0.3


def test_the_drift_of_a_whole_layer_serves_a_few_of_its_channels() -> None:
    base, tuned, _ = simulate(0, 60, 4, drift=0.1, mixed=0.5, planted=10)
    whole = table(base, tuned)
    drift = fit_drift(1 - whole["paired_similarity"].to_numpy(), whole["floor"].to_numpy())
    few = table(base[:4], tuned[:4], drift=drift)
    columns = ["excess", "excess_low", "excess_high", "p_excess"]
    pd.testing.assert_frame_equal(few[columns], whole.loc[:3, columns])
    assert table(base[:4], tuned[:4])["excess"].isna().all()


@pytest.mark.parametrize(("drift", "planted"), [(0.1, 6), (0.1, 20), (0.3, 6)])
def test_excess_finds_planted_channels_in_drift(drift: float, planted: int) -> None:
    runs = []
    for run in range(20):
        base, tuned, is_planted = simulate(run, 64, 4, drift=drift, mixed=1, planted=planted)
        runs.append(discoveries(table(base, tuned)["q_excess"], is_planted))
    false, power = np.mean(runs, 0)
    assert false <= 0.06
    assert power > 0.4


def test_a_control_network_finds_what_the_layer_hides() -> None:
    # two thirds changed: the layer's own middle is a changed channel
    hidden, known = [], []
    for run in range(15):
        base, tuned, planted = simulate(run, 60, 4, drift=0.1, mixed=1, planted=40)
        control = simulate(run, 60, 4, drift=0.1, planted=40)[1]  # of the same base, nothing planted
        assert (simulate(run, 60, 4, drift=0.1, planted=40)[0] == base).all()
        hidden.append(discoveries(table(base, tuned)["q_excess"], planted))
        known.append(discoveries(table(base, tuned, control=control)["q_excess"], planted))
    (_, power_hidden), (false, power) = np.mean(hidden, 0), np.mean(known, 0)
    assert false <= 0.06
    assert power_hidden < 0.2 < 0.9 < power


def test_power_grows_with_effect_and_with_seeds() -> None:
    def mean_auc(column: str, mixed: float, seeds: int) -> float:
        sets = [simulate(run, 64, seeds, drift=0.15, mixed=mixed, planted=20) for run in range(8)]
        return float(np.mean([auc(table(base, tuned)[column], planted) for base, tuned, planted in sets]))

    for column in ("visual_change", "excess"):
        weak, strong = mean_auc(column, 0.2, 2), mean_auc(column, 0.5, 2)
        assert 0.55 < weak < strong
        assert mean_auc(column, 0.2, 4) > weak


# Intervals


def test_jackknife_of_a_mean_is_its_t_interval() -> None:
    x = np.array([1.0, 2, 4, 9])
    without = ((x.sum() - x) / 3)[None]
    found = visual_change._interval("m", np.array([x.mean()]), without, np.array([4]))
    expected = stats.ttest_1samp(x, 0).confidence_interval()
    assert (found["m_low"][0], found["m_high"][0]) == pytest.approx((expected.low, expected.high))


def test_values_without_a_seed_are_those_of_the_other_seeds() -> None:
    base, tuned, _ = simulate(0, 12, 4, drift=0.2)
    found = similarities(base, tuned)
    drift = fit_drift(found.paired_distance, found.floor)
    for s in range(4):
        rest = similarities(np.delete(base, s, 1), np.delete(tuned, s, 1))
        change = visual_change._without_each(found.difference, found.seeds)[:, s]
        assert change == pytest.approx(rest.visual_change, abs=1e-12)
        excess = visual_change._excess_without_each(found, drift)[:, s]
        assert excess == pytest.approx(drift.excess(rest.paired_distance, rest.floor), abs=1e-9)


@pytest.mark.parametrize("seeds", [3, 4])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_interval_of_visual_change_covers(seeds: int, shift: float) -> None:
    rng = np.random.default_rng(seeds)

    def draw(count: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
        common = 0.5 * rng.normal(size=(count, seeds, 8))
        own = 0.3 * rng.normal(size=(count, seeds, 8))
        return 1 + common, 1 + common + own + shift * np.eye(8)[0] - own.mean((0, 1)) * (shift == 0)

    many = [x / np.linalg.norm(x, axis=2, keepdims=True) for x in draw(100_000, 1)]
    truth = ((many[0].mean((0, 1)) - many[1].mean((0, 1))) ** 2).sum()
    rows = table(*draw(1000, seeds))
    covered = (rows["visual_change_low"] <= truth) & (truth <= rows["visual_change_high"])
    assert covered.mean() >= 0.93
