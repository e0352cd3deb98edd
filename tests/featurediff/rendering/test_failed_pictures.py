"""The grey rule against the original's, written down again in NumPy, and the reasons for which a picture failed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_vis.errors import InputError
from featurediff.rendering.failed_pictures import contrast, failed_of, find_failed, grey_channels, grey_score
from featurediff.runtime.tables import read_table, write_table


def original_rule(scores: np.ndarray, jump: float) -> set[int]:
    """Places of the grey pictures: a loop, as the original's text says it."""
    order = sorted(range(len(scores)), key=lambda place: scores[place])
    for position in range(len(order) - 1):
        if scores[order[position + 1]] - scores[order[position]] > jump * max(scores):
            return set(order[: position + 1])
    return set()


def table(contrasts: dict[tuple[str, str], list[float]], **columns: list[float]) -> pd.DataFrame:
    rows = [
        {"network": network, "layer": layer, "channel": channel, "seed": 0, "score": 100 * value, "contrast": value}
        for (network, layer), values in contrasts.items()
        for channel, value in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(**{"activation_start": 0.0, "activation_reached": 1.0} | columns)


def test_scores_are_distances_to_mid_grey() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    total = sum((int(value) - 128) ** 2 for value in picture.ravel())
    assert grey_score(picture) == pytest.approx(total**0.5)
    assert contrast(picture) == pytest.approx((total / (3 * 5 * 7)) ** 0.5)
    flat = np.full((8, 8, 3), 140, np.uint8)
    assert contrast(flat[:4]) == pytest.approx(contrast(flat)) == pytest.approx(12)
    # (48 - 128)² = 6400 = 25 * 256: the original's uint8 made 0 of it, and of every square of a multiple of 16
    assert grey_score(np.full_like(flat, 48)) == pytest.approx(80 * (8 * 8 * 3) ** 0.5)
    flat[::2], flat[1::2] = 0, 255  # without colour, not grey
    assert contrast(flat) > 127
    with pytest.raises(InputError, match="float64"):
        grey_score(np.zeros((4, 4, 3)))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.floats(0, 1000), min_size=1, max_size=40),
    st.sampled_from([0.05, 0.1, 0.3]),
    st.floats(0.1, 100),
    st.sampled_from([0.25, 8.0, 1024.0]),
    st.randoms(use_true_random=False),
)
def test_the_original_rule_whatever_order_and_unit_with_a_bound(values, jump, bound, factor, random) -> None:
    scores, order = np.array(values), list(range(len(values)))
    random.shuffle(order)
    found = grey_channels(scores, scores / 100, jump, max_contrast=None)
    assert set(np.flatnonzero(found)) == original_rule(scores, jump)
    assert (grey_channels(factor * scores[order], scores / 100, jump, max_contrast=None) == found[order]).all()
    bounded = grey_channels(scores, scores / 10, jump, bound)
    assert (scores[bounded] / 10 < bound).all()
    assert (grey_channels(scores[order], scores[order] / 10, jump, bound) == bounded[order]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # healthy and spread: 30 to 36 is a jump of more than a tenth of 56, and stands above the bound
        ([30.0, 36, 37, 38, 50, 56], []),
        ([8.0, 13, 17, 40, 45, 90], []),  # the cut counts only if all below it are near grey
        ([40.0, 0.8, 55, 0.7, 44], [1, 3]),
        ([0.7, 0.8, 0.9, 2.0], [0, 1, 2, 3]),  # all grey: the jumps are relative to the layer's own largest score
        ([], []),
    ],
)
def test_which_pictures_are_grey(values: list[float], expected: list[int]) -> None:
    scores = np.array(values)
    assert np.flatnonzero(grey_channels(scores, scores)).tolist() == expected


def test_networks_and_layers_are_judged_apart_and_keep_their_order() -> None:
    # judged together, the first jump of z would come after 0.7 and spare the pictures of 6 and 10
    pictures = table({("z", "layer4"): [0.7, 50, 52], ("z", "layer3"): [0.6, 6, 10], ("a", "layer4"): [20, 22, 21]})
    shuffled = pictures.iloc[[1, 0, 2, 5, 3, 4, 8, 6, 7]]
    expected = [["z", "layer4", 0], *(["z", "layer3", channel] for channel in range(3))]
    for given_table in (pictures, shuffled):
        failed = find_failed(given_table)
        assert list(failed.columns) == ["network", "layer", "channel", "score", "reason", "seed"]
        assert failed[["network", "layer", "channel"]].values.tolist() == expected
        assert set(failed["reason"]) == {"grey"}
    assert find_failed(pictures)["score"].tolist() == pytest.approx([70, 60, 600, 1000])
    assert find_failed(table({("a", "layer4"): [20, 22]})).empty


def test_activations_give_reasons_of_their_own_and_what_cannot_be_judged_is_refused() -> None:
    started, reached = [0.0, 1.0, 0.0, 0.0, 0.0, np.inf], [2.0, 0.5, 0.0, np.nan, 0.0, 3.0]
    contrasts = {("base", "layer4"): [50, 51, 52, 53, 0.7, 54]}
    pictures = table(contrasts, activation_start=started, activation_reached=reached)
    still, infinite = "activation did not rise", "activation not finite"
    reasons = {1: still, 2: still, 3: infinite, 4: f"grey; {still}", 5: infinite}
    assert dict(find_failed(pictures)[["channel", "reason"]].itertuples(index=False)) == reasons
    with pytest.raises(InputError, match="no column contrast"):
        find_failed(pictures.drop(columns="contrast"))
    with pytest.raises(InputError, match="channel 0 of base, layer4, seed 0 twice"):
        find_failed(pd.concat([pictures, pictures.head(1)]))
    with pytest.raises(InputError, match="not numbers"):
        find_failed(pictures.assign(score=np.nan))


def test_seeds_fail_apart_and_are_read_back_by_network(tmp_path) -> None:
    base = table({("base", "layer4"): [50, 0.7]}).assign(channel=3, seed=[1, 0])
    others = table({("dogs", "layer4"): [50, 0.7], ("dogs", "layer3"): [0.7, 60]}).assign(channel=3, seed=[0, 1] * 2)
    write_table(find_failed(pd.concat([base, others])), tmp_path / "failed.csv")
    failed = read_table(tmp_path / "failed.csv")
    assert [failed_of(failed, network, "layer4") for network in ("base", "dogs")] == [{(3, 0)}, {(3, 1)}]
