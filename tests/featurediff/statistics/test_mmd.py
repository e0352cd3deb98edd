"""Visual change against cases with a known answer, against its definitions, and on simulated pictures."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated import cosine, discoveries, simulate, table

from feature_vis.errors import InputError
from featurediff.statistics.empirical_null import fit_distance_null
from featurediff.statistics.mmd import mmd2_unbiased, sign_flip_test, similarities


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_similarities_are_what_their_names_say(seeds: int) -> None:
    base, tuned, _ = simulate(0, 5, seeds)
    rows = table(base, tuned)
    different = [(s, t) for s in range(seeds) for t in range(seeds) if s != t]
    for k, row in rows.iterrows():
        b, t = base[k], tuned[k]
        crossed = itertools.product([j for j in range(5) if j != k], range(seeds), range(seeds))
        across = [cosine(b[s], tuned[j, u]) + cosine(t[s], base[j, u]) for j, s, u in crossed]
        expected = {
            "paired_similarity": np.mean([cosine(b[s], t[s]) for s in range(seeds)]),
            "first_similarity": cosine(b[0], t[0]),
            "floor_base": np.mean([cosine(b[s], b[u]) for s, u in different]),
            "floor_tuned": np.mean([cosine(t[s], t[u]) for s, u in different]),
            "between_similarity": np.mean([cosine(b[s], t[u]) for s, u in different]),
            "mismatched_similarity": np.mean(across) / 2,
        }
        expected["floor"] = (expected["floor_base"] + expected["floor_tuned"]) / 2
        expected["visual_change"] = 2 * (expected["floor"] - expected["between_similarity"])
        above, between = expected["floor"] - expected["mismatched_similarity"], expected["between_similarity"]
        expected["retained"] = (between - expected["mismatched_similarity"]) / above
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)


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


@pytest.mark.parametrize(
    ("seeds", "known", "unknown", "reason"),
    [
        (1, "paired|first|mismatched", "floor|between|visual|excess", "one seed: no noise floor, no test"),
        (2, "floor|between|^[pq]_", "_(low|high)$", "two seeds: no interval over seeds"),
    ],
)
def test_few_seeds_leave_numbers_out(seeds: int, known: str, unknown: str, reason: str) -> None:
    rows = table(*simulate(0, 12, seeds)[:2])
    assert rows.filter(regex=known).notna().all(axis=None)
    assert rows.filter(regex=unknown).isna().all(axis=None)
    assert set(rows["reason"]) == {reason}


def test_a_failed_picture_takes_its_seed_and_nothing_more_and_what_is_missing_has_a_reason() -> None:
    base, tuned, _ = simulate(0, 12, 4)
    base[2, 1] = np.nan
    tuned[5, 0, 3] = np.inf
    tuned[6, :] = 0
    rows = table(base, tuned)
    assert rows["seeds"].tolist() == [4, 4, 3, 4, 4, 3, 0, 4, 4, 4, 4, 4]
    without = similarities(base[[2, 3]][:, [0, 2, 3]], tuned[[2, 3]][:, [0, 2, 3]])
    assert rows.loc[2, "visual_change"] == pytest.approx(without.visual_change[0], abs=1e-12)
    assert rows.loc[2, "floor_tuned"] == pytest.approx(without.floor_tuned[0], abs=1e-12)
    assert rows.loc[5, "reason"] == "the first seed's picture failed"
    assert rows.loc[6, "reason"] == "no seed has a sound picture of both networks"
    assert rows.loc[6].drop(["network", "layer", "channel", "seeds", "reason"]).isna().all()
    filled = rows.drop(index=[5, 6])
    assert filled.notna().all(axis=None)
    assert set(filled["reason"]) == {""}
    base, tuned, _ = simulate(5, 14, 4)  # a reason wherever a number is missing
    tuned[0] = base[0]  # exactly unchanged
    base[1], tuned[1] = base[1, 0], tuned[1, 0]  # no noise
    base[2, 1:] = np.nan
    for rows in (table(base, tuned), table(base[:5], tuned[:5]), table(base[:1], tuned[:1])):
        assert (rows.drop(columns=["reason"]).isna().any(axis=1) == (rows["reason"] != "")).all()
    reasons = table(base, tuned)["reason"]
    assert "exactly unchanged" in reasons[0]
    assert "all equal" in reasons[1]
    assert "10 are needed" in table(base[3:8], tuned[3:8])["reason"][0]


def test_a_frozen_layer_and_frozen_channels_are_exactly_unchanged() -> None:
    base, tuned, _ = simulate(0, 40, 4, mixed=1, planted=40)
    rows = table(base.astype(np.float32), base.astype(np.float32))
    exact = {"paired_similarity": 1, "first_similarity": 1, "visual_change": 0, "p_visual": 1, "p_excess": 1}
    exact |= {"q_visual": 1, "q_excess": 1}
    assert (rows[list(exact)] == list(exact.values())).all(axis=None)
    assert rows["excess"].isna().all()
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
    assert len(table(base[:0], tuned[:0])) == 0


def test_p_values_of_sign_flips_by_hand() -> None:
    # two seeds: the pool is the mirror image. Products 5, 3, -4: 3 is reached by 4 of -5, -3, 4, as 5 by none
    gram = np.zeros((3, 2, 2))
    gram[:, 0, 1] = gram[:, 1, 0] = [5, 3, -4]
    assert mmd2_unbiased(gram, np.full(3, 2)).tolist() == [5, 3, -4]
    assert sign_flip_test(gram, np.full(3, 2), np.ones(3)).tolist() == [1 / 4, 2 / 4, 3 / 4]
    # in units of the noise 5 becomes 1, and is reached by 4; -4 is reached by all of -1, -3, 4
    assert sign_flip_test(gram, np.full(3, 2), np.array([5, 1, 1])).tolist() == [2 / 4, 2 / 4, 4 / 4]
    # channel 0: products of three seeds 1, 1, 1, mean 1; each of three patterns turns two signs: mean -1/3.
    # channel 1: two seeds, product -2, flipped 2. In units of noise / root of pairs: √3, and -√3 / 3 three times; 2
    gram = np.zeros((2, 3, 3))
    gram[0] = 1 - np.eye(3)
    gram[1, 0, 1] = gram[1, 1, 0] = -2
    # every channel has the same weight: 1, 1, 1 and 3. √3 is reached by 2 alone, -2 by all
    assert sign_flip_test(gram, np.array([3, 2]), np.ones(2)).tolist() == [(3 + 3) / (3 + 6), 1]


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_p_values_are_those_of_swapped_pictures(seeds: int) -> None:
    base, tuned, _ = simulate(4, 9, seeds, drift=0.3)
    observed, pool = None, []
    for signs in itertools.product((False, True), repeat=seeds - 1):
        turn = np.array([False, *signs])[None, :, None]
        found = similarities(np.where(turn, tuned, base), np.where(turn, base, tuned))
        scaled = found.visual_change / (1 - (found.floor + found.between) / 2)  # the noise stays as it is
        observed, pool = (scaled, pool) if observed is None else (observed, [*pool, *scaled])
    as_large = (np.array(pool)[:, None] >= observed - 1e-9).sum(0)
    assert table(base, tuned)["p_visual"].to_numpy() == pytest.approx((1 + as_large) / (1 + len(pool)))
    base, tuned, _ = simulate(1, 6, 12, drift=0.1)  # some patterns are drawn, always the same, as many as of ten seeds
    p = table(base, tuned)["p_visual"]
    assert p.min() > 1 / (6 * 512)
    assert 0.01 < p.median() < 0.99
    pd.testing.assert_series_equal(table(base, tuned)["p_visual"], p)


@pytest.mark.parametrize("paired", [0.0, 0.9], ids=["other seeds", "same start"])
@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_p_values_without_change_are_uniform(seeds: int, paired: float) -> None:
    tables = [table(*simulate(run, 48, seeds, paired=paired)[:2]) for run in range(40)]
    p = pd.concat(tables)["p_visual"]
    for bound in (0.5, 0.2, 0.05):
        assert (p <= bound).mean() <= bound + 3 * np.sqrt(bound / len(p))
        assert (p <= bound).mean() >= 0.6 * bound
    assert p.min() > 0
    assert np.mean([(rows["q_visual"] <= 0.05).any() for rows in tables]) <= 0.06


def test_p_values_are_fair_to_channels_with_failed_pictures() -> None:
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
def test_drift_alone_is_no_discovery(seeds: int) -> None:
    tables = [table(*simulate(run, 64, seeds, drift=0.3)[:2]) for run in range(50)]
    assert np.mean([(rows["q_excess"] <= 0.05).any() for rows in tables]) <= 0.06
    p = pd.concat(tables)["p_excess"]
    assert (p <= 0.05).mean() <= 0.06
    if seeds == 4:  # question 1 sees it, rightly: the pictures did change
        assert np.mean([(rows["q_visual"] <= 0.05).mean() for rows in tables]) > 0.3


@pytest.mark.parametrize(
    ("question", "power", "seeds", "drift", "mixed", "planted"),
    [  # first where most channels changed
        *(("q_visual", 0.5, seeds, 0.0, 0.6, planted) for seeds in (2, 4) for planted in (32, 58)),
        *(("q_excess", 0.4, 4, drift, 1, planted) for drift, planted in ((0.1, 6), (0.1, 20), (0.3, 6))),
    ],
)
def test_planted_channels_are_found(
    question: str, power: float, seeds: int, drift: float, mixed: float, planted: int
) -> None:
    runs = []
    for run in range(20):
        base, tuned, is_planted = simulate(run, 64, seeds, drift=drift, mixed=mixed, planted=planted)
        runs.append(discoveries(table(base, tuned)[question], is_planted))
    false, found = np.mean(runs, 0)
    assert false <= 0.06
    assert found > power


def test_where_most_channels_changed_the_layers_own_null_is_cautious() -> None:
    # two thirds changed: the layer's own middle is a changed channel; the null of an unchanged layer finds them
    hidden, known = [], []
    for run in range(15):
        base, tuned, planted = simulate(run, 60, 4, drift=0.1, mixed=1, planted=40)
        still = similarities(base, simulate(run, 60, 4, drift=0.1, planted=40)[1])  # the same base, nothing planted
        null = fit_distance_null(still.paired_distance, still.floor)
        hidden.append(discoveries(table(base, tuned)["q_excess"], planted))
        known.append(discoveries(table(base, tuned, null=null)["q_excess"], planted))
    (_, power_hidden), (false, power) = np.mean(hidden, 0), np.mean(known, 0)
    assert false <= 0.06
    assert power_hidden < 0.2 < 0.9 < power


@pytest.mark.parametrize("seeds", [3, 4])
def test_intervals_are_the_jackknifes(seeds: int) -> None:
    base, tuned, _ = simulate(0, 12, seeds, drift=0.2)
    found = similarities(base, tuned)
    null = fit_distance_null(found.paired_distance, found.floor)
    rows = table(base, tuned)
    columns = ["excess", "excess_low", "excess_high", "p_excess"]
    pd.testing.assert_frame_equal(table(base[:4], tuned[:4], null=null)[columns], rows.loc[:3, columns])
    rest = [table(np.delete(base, s, 1), np.delete(tuned, s, 1), null=null) for s in range(seeds)]
    for name in ("visual_change", "excess"):
        value, without = rows[name].to_numpy(), np.array([each[name] for each in rest])  # (K,), (S, K)
        pseudo = seeds * value - (seeds - 1) * without
        of_mean = stats.ttest_1samp(pseudo, 0).confidence_interval()
        moved = value - pseudo.mean(0)  # the interval is around the value itself
        assert rows[f"{name}_low"].to_numpy() == pytest.approx(of_mean.low + moved, abs=1e-9)
        assert rows[f"{name}_high"].to_numpy() == pytest.approx(of_mean.high + moved, abs=1e-9)


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
