"""Distances between pictures against NumPy."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_network import numpy_gram

from featurediff.measures.distance import cosine_similarity, gram_distance, gram_matrix


def test_cosine_matches_numpy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 9)), rng.normal(size=(6, 9))
    expected = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosine_similarity(torch.tensor(a), torch.tensor(b)), expected, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-30, 1e30))
def test_cosine_is_exactly_one_for_equal_rows_and_blind_to_length(seed: int, factor: float) -> None:
    a = torch.randn(3, 17, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert cosine_similarity(a, a.clone()).tolist() == [1.0] * 3
    torch.testing.assert_close(cosine_similarity(a, factor * a), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(cosine_similarity(a, -factor * a), -torch.ones(3, dtype=torch.float64))


def test_cosine_of_a_zero_vector_is_nan() -> None:
    values = cosine_similarity(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    assert torch.isnan(values[0])
    assert values[1] == 0


def test_gram_matrix_matches_numpy() -> None:
    maps = np.random.default_rng(2).normal(size=(2, 3, 4, 5))
    grams = gram_matrix(torch.tensor(maps))
    assert grams.shape == (2, 3, 3)
    for gram, single in zip(grams, maps, strict=True):
        np.testing.assert_allclose(gram, numpy_gram(single), rtol=1e-12)


def test_gram_matrix_forgets_places() -> None:
    maps = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    shuffled = maps.flatten(2)[..., order].view_as(maps)
    torch.testing.assert_close(gram_matrix(maps), gram_matrix(shuffled))
    torch.testing.assert_close(gram_matrix(maps), gram_matrix(torch.cat([maps, maps], 3)))  # a map twice as wide


def test_gram_distance_is_the_frobenius_norm() -> None:
    a, b = np.random.default_rng(4).normal(size=(2, 3, 6, 6))
    expected = [np.sqrt(((x - y) ** 2).sum()) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(gram_distance(torch.tensor(a), torch.tensor(b)), expected)
