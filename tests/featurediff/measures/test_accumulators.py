"""Streamed measures against NumPy on all values at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurediff.measures.accumulators import ClassMeans, Label, LinearCka, Moments, TopImages, class_selectivity

LABELS = [Label("dogs", "pug"), Label("dogs", "akita"), Label("cars", "van"), Label("dogs", "husky")]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 7), min_size=2, max_size=6), st.sampled_from([0.0, 1e6]))
def test_moments_match_numpy_however_they_are_batched(seed: int, sizes: list[int], offset: float) -> None:
    values = np.random.default_rng(seed).normal(size=(2, sum(sizes) + 3, 4)) + offset
    moments = Moments(4)
    for part in np.split(values, np.cumsum(sizes), axis=1):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, values.mean(1), rtol=1e-12, atol=1e-12)
    # a running sum of squares would keep 4 digits of a variance of 1 beside a mean of 1e6
    np.testing.assert_allclose(moments.std(), values.std(1, ddof=1), rtol=1e-9)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(values[0].T, values[1].T, strict=True)]
    np.testing.assert_allclose(moments.correlation(), expected, rtol=1e-8, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-20, 1e20))
def test_equal_numbers_have_a_correlation_of_exactly_one(seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(size=(1, 9, 5)) * scale
    moments = Moments(5)
    for part in np.split(np.concatenate([values, values]), [4], axis=1):
        moments.add(part)
    assert moments.correlation().tolist() == [1.0] * 5


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, in the form of kernels: centred Gram matrices of the images."""
    centring = np.eye(len(x)) - 1 / len(x)
    k, m = (centring @ (rows @ rows.T) @ centring for rows in (x, y))
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


def unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 4, as it is defined: a mean over all quadruples of different images."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    total, count = 0.0, 0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
                        count += 1
    return total / count


def cka_of(x: np.ndarray, y: np.ndarray, sizes: list[int]) -> LinearCka:
    cka = LinearCka(x.shape[1])
    for part in np.split(np.stack([x, y]), np.cumsum(sizes), axis=1):
        cka.add(part)
    return cka


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_cka_matches_the_kernels(offset: float) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(9, 4)) + offset
    y = x @ rng.normal(size=(4, 4)) + rng.normal(size=(9, 4))
    cka = cka_of(x, y, [1, 3])
    around = x - x.mean(0), y - y.mean(0)  # no kernel form keeps its digits far from 0
    both = [unbiased_hsic(*pair) for pair in (around, (around[0], around[0]), (around[1], around[1]))]
    expected = both[0] / np.sqrt(both[1] * both[2])
    np.testing.assert_allclose(cka.biased(), biased_cka(*around), rtol=1e-9)
    np.testing.assert_allclose(cka.unbiased(), expected, rtol=1e-6)


def test_cka_is_blind_to_rotation_and_scale() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(30, 6))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    cka = cka_of(x, 3 * x @ rotation + 7, [11])
    np.testing.assert_allclose([cka.biased(), cka.unbiased()], 1, rtol=1e-10)


def test_only_the_unbiased_cka_of_unrelated_layers_is_near_zero() -> None:
    rng = np.random.default_rng(7)
    found = [cka_of(*rng.normal(size=(2, 20, 200)), []) for _ in range(20)]
    assert np.mean([cka.biased() for cka in found]) > 0.8
    assert abs(np.mean([cka.unbiased() for cka in found])) < 0.03


def test_class_means_match_numpy() -> None:
    values = np.random.default_rng(8).normal(size=(2, 20, 3))
    labels = [LABELS[number % 4] for number in range(20)]
    means = ClassMeans()
    for start, end in ((0, 7), (7, 8), (8, 20)):
        means.add(values[:, start:end], labels[start:end])
    names, found = means.of_task("dogs")
    assert names == ["akita", "husky", "pug"]
    for name, rows in zip(names, found, strict=True):
        picked = [number for number, label in enumerate(labels) if label.class_name == name]
        np.testing.assert_allclose(rows, values[:, picked].mean(1), rtol=1e-12)


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
    for side in range(2):
        for channel in range(3):
            order = sorted(range(count), key=lambda image: (-activation[side, image, channel], image))
            wanted, left_out = order[:top], order[top:]
            got = lists.image[side, channel, : len(wanted)]
            assert got.tolist() == wanted
            assert (lists.image[side, channel, len(wanted) : top] == -1).all()
            np.testing.assert_array_equal(lists.maximum[side, channel, : len(wanted)], maximum[side, wanted, channel])
            np.testing.assert_array_equal(lists.place[side, channel, : len(wanted)], place[side, wanted, channel])
            values = activation[side, :, channel]
            ties = [bool(left_out) and values[image] == values[left_out[0]] for image in wanted]
            assert lists.tied()[side, channel, : len(wanted)].tolist() == ties
    expected = [
        len(set(a[a >= 0]) & set(b[b >= 0])) / len(set(a[a >= 0]) | set(b[b >= 0]))
        for a, b in zip(*lists.image[:, :, :top], strict=True)
    ]
    np.testing.assert_allclose(lists.overlap(), expected)
