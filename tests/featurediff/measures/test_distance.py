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
    with_zero = cosine_similarity(torch.tensor([[0.0, 0], [1, 0]]), torch.tensor([[1.0, 0], [0, 2]]))
    np.testing.assert_equal(with_zero.numpy(), [np.nan, 0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-30, 1e30))
def test_cosine_is_exactly_one_for_equal_rows_and_blind_to_length(seed: int, factor: float) -> None:
    a = torch.randn(3, 17, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert cosine_similarity(a, a.clone()).tolist() == [1.0] * 3
    torch.testing.assert_close(cosine_similarity(a, factor * a), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(cosine_similarity(a, -factor * a), -torch.ones(3, dtype=torch.float64))


def test_gram_matrices_and_their_frobenius_distance_match_numpy() -> None:
    maps, others = np.random.default_rng(2).normal(size=(2, 2, 3, 4, 5))
    grams = gram_matrix(torch.tensor(maps))
    expected = np.stack([numpy_gram(single) for single in maps])
    np.testing.assert_allclose(grams, expected, rtol=1e-12)
    found = gram_distance(grams, gram_matrix(torch.tensor(others)))
    expected_others = np.stack([numpy_gram(single) for single in others])
    np.testing.assert_allclose(found, np.sqrt(((expected - expected_others) ** 2).sum((1, 2))))
