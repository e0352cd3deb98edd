"""The grey rule against the original's, written down again in NumPy, and the reasons for a picture to be faulty."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_vis.errors import InputError
from featurediff.rendering.failed_pictures import contrast, find_failed, grey_channels, grey_score, read_failed


def original_rule(scores: np.ndarray, jump: float) -> set[int]:
    """Places of the faulty pictures: a loop, as the original's text says it."""
    order = sorted(range(len(scores)), key=lambda place: scores[place])
    for position in range(len(order) - 1):
        if scores[order[position + 1]] - scores[order[position]] > jump * max(scores):
            return set(order[: position + 1])
    return set()


def flat(value: int, size: int = 8) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def table(contrasts: dict[tuple[str, str], list[float]], **columns: list[float]) -> pd.DataFrame:
    rows = [
        {"network": network, "layer": layer, "channel": channel, "seed": 0, "score": 100 * value, "contrast": value}
        for (network, layer), values in contrasts.items()
        for channel, value in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(**{"activation_start": 0.0, "activation_reached": 1.0} | columns)


def test_score_matches_numpy() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    total = sum((int(value) - 128) ** 2 for value in picture.ravel())
    assert grey_score(picture) == pytest.approx(total**0.5)
    assert contrast(picture) == pytest.approx((total / (3 * 5 * 7)) ** 0.5)


@pytest.mark.parametrize("value", [48, 208, 64, 112, 144])
def test_score_does_not_wrap(value: int) -> None:
    # (48 - 128)² = 6400 = 25 * 256: uint8 arithmetic made 0 of it, and of every square of a multiple of 16
    wrapped = (flat(value) - np.uint8(128)) ** 2
    assert not wrapped.any()
    assert grey_score(flat(value)) == pytest.approx(abs(value - 128) * (8 * 8 * 3) ** 0.5)


def test_a_picture_without_colour_is_not_grey() -> None:
    stripes = flat(0)
    stripes[::2] = 255
    assert grey_score(flat(128)) == 0
    assert contrast(stripes) > 127


def test_contrast_does_not_depend_on_size() -> None:
    assert contrast(flat(140, 4)) == pytest.approx(contrast(flat(140, 32))) == pytest.approx(12)


def test_something_else_than_a_picture_is_refused() -> None:
    with pytest.raises(InputError, match="float64"):
        grey_score(np.zeros((4, 4, 3)))


scores_of_a_layer = st.lists(st.floats(0, 1000), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(scores_of_a_layer, st.sampled_from([0.05, 0.1, 0.3]))
def test_without_the_bound_it_is_the_original_rule(values: list[float], jump: float) -> None:
    scores = np.array(values)
    found = grey_channels(scores, scores / 100, jump, max_contrast=None)
    assert set(np.flatnonzero(found)) == original_rule(scores, jump)


@settings(max_examples=200, deadline=None)
@given(scores_of_a_layer, st.randoms(use_true_random=False))
def test_order_decides_nothing(values: list[float], random) -> None:
    scores = np.array(values)
    order = list(range(len(scores)))
    random.shuffle(order)
    for bound in (None, 5.0):
        found = grey_channels(scores, scores / 10, 0.1, bound)
        assert (grey_channels(scores[order], scores[order] / 10, 0.1, bound) == found[order]).all()


@settings(max_examples=200, deadline=None)
@given(scores_of_a_layer, st.sampled_from([0.25, 8.0, 1024.0]))
def test_only_the_share_of_the_largest_score_counts(values: list[float], factor: float) -> None:
    scores = np.array(values)
    contrasts = scores / 10
    assert (grey_channels(scores, contrasts) == grey_channels(factor * scores, contrasts)).all()


@settings(max_examples=200, deadline=None)
@given(scores_of_a_layer, st.floats(0.1, 100))
def test_nothing_above_the_bound_is_grey(values: list[float], bound: float) -> None:
    scores = np.array(values)
    found = grey_channels(scores, scores / 10, 0.1, bound)
    assert (scores[found] / 10 < bound).all()


def test_spread_healthy_scores_are_not_faulty() -> None:
    spread = np.array([30.0, 36, 37, 38, 50, 56])  # 30 to 36 is a jump of more than a tenth of 56
    assert original_rule(spread, 0.1) == {0}
    assert grey_channels(spread, spread, max_contrast=None).tolist() == [True] + [False] * 5
    assert not grey_channels(spread, spread).any()


def test_grey_among_healthy_and_a_layer_of_grey_alone() -> None:
    mixed = np.array([40.0, 0.8, 55, 0.7, 44])
    assert grey_channels(mixed, mixed).tolist() == [False, True, False, True, False]
    alone = np.array([0.7, 0.8, 0.9, 2.0])  # has jumps: relative to its own largest score
    assert grey_channels(alone, alone).all()
    assert grey_channels(np.array([]), np.array([])).tolist() == []


def test_a_cut_counts_only_where_all_below_it_are_near_grey() -> None:
    values = np.array([8.0, 13, 17, 40, 45, 90])  # first jump (17 to 40) stands above the bound
    assert not grey_channels(values, values).any()


def test_networks_and_layers_are_judged_apart_and_keep_their_order() -> None:
    features = table({("z", "layer4"): [0.7, 50, 52], ("z", "layer3"): [51, 0.6, 49], ("a", "layer4"): [20, 22, 21]})
    shuffled = features.iloc[[1, 0, 2, 5, 3, 4, 8, 6, 7]]
    expected = [("z", "layer4", 0, "grey"), ("z", "layer3", 1, "grey")]
    for given_table in (features, shuffled):
        bad = find_failed(given_table)
        assert list(bad.columns) == ["network", "layer", "channel", "score", "reason", "seed"]
        assert list(bad[["network", "layer", "channel", "reason"]].itertuples(index=False, name=None)) == expected
    assert find_failed(features)["score"].tolist() == pytest.approx([70, 60])


def test_activations_give_reasons_of_their_own() -> None:
    features = table(
        {("base", "layer4"): [50, 51, 52, 53, 0.7, 54]},
        activation_start=[0.0, 1.0, 0.0, 0.0, 0.0, np.inf],
        activation_reached=[2.0, 0.5, 0.0, np.nan, 0.0, 3.0],
    )
    assert dict(find_failed(features)[["channel", "reason"]].itertuples(index=False)) == {
        1: "activation did not rise",
        2: "activation did not rise",
        3: "activation not finite",
        4: "grey; activation did not rise",
        5: "activation not finite",
    }


def test_nothing_faulty_gives_an_empty_table() -> None:
    assert (
        find_failed(table({("base", "layer4"): [50, 51]})).to_csv(index=False)
        == "network,layer,channel,score,reason,seed\n"
    )


def test_bad_tables_are_refused() -> None:
    features = table({("base", "layer4"): [50, 51]})
    with pytest.raises(InputError, match="no column contrast"):
        find_failed(features.drop(columns="contrast"))
    with pytest.raises(InputError, match="channel 0 of base, layer4, seed 0 twice"):
        find_failed(pd.concat([features, features.head(1)]))
    with pytest.raises(InputError, match="not numbers"):
        find_failed(features.assign(score=[1.0, np.nan]))


def test_seeds_of_a_channel_fail_apart() -> None:
    features = table({("base", "layer4"): [50, 0.7]}).assign(channel=3, seed=[0, 1])
    assert find_failed(features)[["channel", "seed", "reason"]].values.tolist() == [[3, 1, "grey"]]


def test_a_layer_of_grey_alone_is_found_beside_a_healthy_one() -> None:
    # judged together, the first jump would come after 0.7 and spare the pictures of 6 and 10
    bad = find_failed(table({("base", "layer3"): [0.6, 6, 10], ("base", "layer4"): [0.7, 50, 52]}))
    assert list(bad[["layer", "channel"]].itertuples(index=False, name=None)) == [
        *(("layer3", channel) for channel in (0, 1, 2)),
        ("layer4", 0),
    ]


def test_bad_pictures_are_found_by_network_and_seed(tmp_path) -> None:
    rows = [("base", "layer4", 3, 0), ("dogs", "layer4", 3, 1), ("dogs", "layer3", 7, 0)]
    pd.DataFrame(rows, columns=["network", "layer", "channel", "seed"]).to_csv(tmp_path / "bad.csv", index=False)
    assert read_failed(str(tmp_path / "bad.csv"), "layer4", ["base", "dogs"]) == [{(3, 0)}, {(3, 1)}]
