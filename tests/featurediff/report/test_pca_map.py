"""Principal components, against numpy's singular values."""

import numpy as np

from featurediff.report.pca_map import pca_map


def test_it_is_the_decomposition_of_all_networks_together() -> None:
    base, tuned = np.random.default_rng(0).normal(size=(2, 12, 3, 7))
    found = pca_map({"base": base, "tuned": tuned})
    together = np.concatenate([base, tuned])
    vectors = (together / np.linalg.norm(together, axis=2, keepdims=True)).mean(axis=1)
    left, values, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    scores = left[:, :2] * values[:2]
    points = np.array(found["points"]["base"] + found["points"]["tuned"])
    signs = np.sign((points * scores).sum(axis=0))
    np.testing.assert_allclose(points, scores * signs, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found["explained"], values[:2] ** 2 / (values**2).sum(), atol=1e-4)
    assert found == pca_map({"base": base, "tuned": tuned})


def test_failed_pictures_are_left_out_and_a_channel_without_any_has_no_place() -> None:
    embeddings = np.random.default_rng(1).normal(size=(6, 2, 5))
    lacking = embeddings.copy()
    lacking[1, 0] = lacking[4] = np.nan
    points = pca_map({"base": lacking})["points"]["base"]
    assert [point is None for point in points] == [False] * 4 + [True, False]
    single = embeddings.copy()
    single[1, 0] = single[1, 1]  # one sound seed is that seed twice
    single[4] = np.nan
    np.testing.assert_allclose(points[1], pca_map({"base": single})["points"]["base"][1])


def test_a_frozen_layers_networks_lie_on_each_other_and_equal_pictures_in_one_point() -> None:
    embeddings = np.random.default_rng(2).normal(size=(8, 2, 512))
    points = pca_map({"base": embeddings, "dogs": embeddings, "cars": embeddings})["points"]
    assert points["base"] == points["dogs"] == points["cars"]
    assert np.ptp(np.array(points["base"]), axis=0).min() > 0
    same = np.ones((4, 2, 5))
    points = {"base": [[0.0, 0.0]] * 4, "tuned": [[0.0, 0.0]] * 4}
    assert pca_map({"base": same, "tuned": same}) == {"explained": [0.0, 0.0], "points": points}
