"""Principal components, against numpy's singular values."""

import numpy as np

from featurediff.report.pca_map import pca_map


def reference(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, 2) and shares of the variance, by the full decomposition."""
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * values[:2], values[:2] ** 2 / (values**2).sum()


def units(embeddings: np.ndarray) -> np.ndarray:
    return (embeddings / np.linalg.norm(embeddings, axis=2, keepdims=True)).mean(axis=1)


def test_it_is_the_decomposition_of_all_networks_together() -> None:
    random = np.random.default_rng(0)
    base, tuned = random.normal(size=(2, 12, 3, 7))
    found = pca_map({"base": base, "tuned": tuned})
    scores, shares = reference(np.concatenate([units(base), units(tuned)]))
    points = np.array(found["points"]["base"] + found["points"]["tuned"])
    signs = np.sign((points * scores).sum(axis=0))
    np.testing.assert_allclose(points, scores * signs, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found["explained"], shares, atol=1e-4)
    assert found == pca_map({"base": base, "tuned": tuned})


def test_failed_pictures_are_left_out_and_a_channel_without_any_has_no_place() -> None:
    random = np.random.default_rng(1)
    embeddings = random.normal(size=(6, 2, 5))
    lacking = embeddings.copy()
    lacking[1, 0] = np.nan
    lacking[4] = np.nan
    points = pca_map({"base": lacking})["points"]["base"]
    assert points[4] is None
    assert all(point is not None for at, point in enumerate(points) if at != 4)
    single = embeddings.copy()
    single[1, 0] = single[1, 1]  # one sound seed is that seed twice
    single[4] = np.nan
    np.testing.assert_allclose(points[1], pca_map({"base": single})["points"]["base"][1])


def test_a_frozen_layers_networks_lie_on_each_other() -> None:
    embeddings = np.random.default_rng(2).normal(size=(8, 2, 512))
    points = pca_map({"base": embeddings, "dogs": embeddings, "cars": embeddings})["points"]
    assert points["base"] == points["dogs"] == points["cars"]
    assert np.ptp(np.array(points["base"]), axis=0).min() > 0


def test_pictures_that_are_all_alike_lie_in_one_point() -> None:
    same = np.ones((4, 2, 5))
    assert pca_map({"base": same, "tuned": same}) == {
        "explained": [0.0, 0.0],
        "points": {"base": [[0.0, 0.0]] * 4, "tuned": [[0.0, 0.0]] * 4},
    }
