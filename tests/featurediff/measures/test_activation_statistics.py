"""Statistics of activations against NumPy, against definitions written out, and by their properties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.measures.activation_statistics import (
    TopImages,
    class_selectivity,
    correlation,
    is_constant,
    linear_cka,
    spread,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.sampled_from([0.0, 1e6]), st.floats(1e-20, 1e20))
def test_correlation_and_spread_match_numpy(seed: int, images: int, offset: float, scale: float) -> None:
    values = np.random.default_rng(seed).normal(size=(2, images, 4)) + offset
    np.testing.assert_allclose(spread(values), values.std(1, ddof=1), rtol=1e-9)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(values[0].T, values[1].T, strict=True)]
    np.testing.assert_allclose(correlation(values), expected, rtol=1e-8, atol=1e-9)
    assert correlation(np.stack([values[0] * scale] * 2)).tolist() == [1.0] * 4, "equal activations: exactly 1"


def test_rounding_is_no_variation() -> None:
    values = np.random.default_rng(0).normal(size=(2, 20, 3))
    values[0, :, 1] = 5 + 1e-7 * values[0, :, 1]
    values[1, :, 2] = 5 + 1e-4 * values[1, :, 2]
    assert is_constant(values).tolist() == [[False, True, False], [False] * 3]
    assert not is_constant(values[:, :1]).any()  # a single image has no spread


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, in the form of kernels: centred Gram matrices of the images."""
    centring = np.eye(len(x)) - 1 / len(x)
    k, m = (centring @ (rows @ rows.T) @ centring for rows in (x, y))
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


def unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 4, as it is defined: a mean over all quadruples of different images."""
    k, m = x @ x.T, y @ y.T
    quadruples = itertools.permutations(range(len(x)), 4)
    return np.mean([k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in quadruples])


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_cka_matches_the_kernels(offset: float) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(9, 4)) + offset
    y = x @ rng.normal(size=(4, 4)) + rng.normal(size=(9, 4))
    cka, biased = linear_cka(np.stack([x, y]))
    x, y = x - x.mean(0), y - y.mean(0)  # no kernel form keeps its digits far from 0
    np.testing.assert_allclose(biased, biased_cka(x, y), rtol=1e-9)
    expected = unbiased_hsic(x, y) / np.sqrt(unbiased_hsic(x, x) * unbiased_hsic(y, y))
    np.testing.assert_allclose(cka, expected, rtol=1e-6)


def test_only_the_unbiased_cka_of_unrelated_layers_is_near_zero() -> None:
    rng = np.random.default_rng(7)
    found = np.array([linear_cka(rng.normal(size=(2, 20, 200))) for _ in range(20)])
    assert abs(found[:, 0].mean()) < 0.03
    assert found[:, 1].mean() > 0.8


def test_cka_is_empty_where_nothing_varies_or_images_are_few() -> None:
    values = np.random.default_rng(8).normal(size=(2, 4, 3))
    assert np.isfinite(linear_cka(values)).all()
    assert np.isnan(linear_cka(values[:, :3])).tolist() == [True, False]
    values[1] = 2.0
    assert np.isnan(linear_cka(values)).all()


def test_class_selectivity_by_hand() -> None:
    means = np.array([[1.0, 0.0, 2.0, 0.0, -1.0], [0.5, 3.0, 2.0, 0.0, 2.0], [0.0, 0.0, 2.0, 0.0, 1.0]])
    index, best = class_selectivity(means)
    # (1 - 0.25) / (1 + 0.25); one class alone; all alike; never active; below 0
    np.testing.assert_allclose(index, [0.6, 1, 0, np.nan, np.nan])
    assert best[:3].tolist() == [0, 1, 0]
    assert np.isnan(class_selectivity(means[:1])[0]).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 5))
def test_top_images_match_a_sort_of_all(seed: int, sizes: list[int], top: int) -> None:
    rng = np.random.default_rng(seed)
    count = sum(sizes)
    activation = rng.integers(0, 5, size=(2, count, 3)).astype(float)  # many ties
    maximum, place = rng.normal(size=activation.shape), rng.integers(0, 99, size=activation.shape)
    lists = TopImages(3, top)
    for part in np.split(np.arange(count), np.cumsum(sizes)[:-1]):
        lists.add(activation[:, part], maximum[:, part], place[:, part], part)
    for side, channel in np.ndindex(2, 3):
        values = activation[side, :, channel]
        order = sorted(range(count), key=lambda image: (-values[image], image))
        wanted, left_out = order[:top], order[top:]
        listed = np.s_[side, channel, : len(wanted)]
        assert lists.image[listed].tolist() == wanted
        assert (lists.image[side, channel, len(wanted) : top] == -1).all()
        np.testing.assert_array_equal(lists.maximum[listed], maximum[side, wanted, channel])
        np.testing.assert_array_equal(lists.place[listed], place[side, wanted, channel])
        ties = [bool(left_out) and values[image] == values[left_out[0]] for image in wanted]
        assert lists.tied()[listed].tolist() == ties
    expected = [
        len(set(a[a >= 0]) & set(b[b >= 0])) / len(set(a[a >= 0]) | set(b[b >= 0]))
        for a, b in zip(*lists.image[:, :, :top], strict=True)
    ]
    np.testing.assert_allclose(lists.overlap(), expected)
