"""A map of a layer's pictures: the two directions in which their embeddings differ most."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse.linalg import svds

__all__ = ["pca_map"]


def pca_map(embeddings: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The principal components of a layer's pictures, over all networks.

    `embeddings`: network -> (K, S, D), NaN rows for failed pictures. A channel's vector is the mean of its seeds' unit
    vectors. Returns `explained`, the two components' shares of the variance, and `points`, network -> (K, 2) as lists,
    None where all pictures of a channel failed. The sign of a component is fixed by its largest loading.
    """
    networks = list(embeddings)
    vectors = np.concatenate([_unit_means(embeddings[name]) for name in networks])  # (N K, D)
    sound = np.isfinite(vectors).all(axis=1)
    centred = vectors[sound] - (vectors[sound].mean(axis=0) if sound.any() else 0.0)
    scores, explained = _components(centred)
    points = np.full((len(vectors), 2), np.nan)
    points[sound] = scores
    split = np.split(points, len(networks))
    return {
        "explained": [round(share, 4) for share in explained],
        "points": {name: _as_lists(part) for name, part in zip(networks, split, strict=True)},
    }


def _unit_means(embeddings: np.ndarray) -> np.ndarray:
    """(K, S, D) -> (K, D): the mean of the unit vectors of the seeds that are not NaN; NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        units = embeddings / np.linalg.norm(embeddings, axis=2, keepdims=True)
        sound = np.isfinite(units).all(axis=2, keepdims=True)  # (K, S, 1)
        return np.where(sound, units, 0).sum(axis=1) / sound.sum(axis=1)


def _components(centred: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """(N, D) -> (N, 2) scores and the shares of the variance; zeros where all rows are equal."""
    total = float((centred**2).sum())
    if min(centred.shape) < 3 or total == 0:
        return np.zeros((len(centred), 2)), [0.0, 0.0]
    # A fixed start, for reproducible bytes. It must not be constant, because centred columns sum to zero.
    start = np.random.default_rng(0).standard_normal(min(centred.shape))
    left, values, right = svds(centred.astype(np.float64), k=2, v0=start)
    order = np.argsort(-values)
    left, values, right = left[:, order], values[order], right[order]
    signs = np.sign(right[np.arange(2), np.abs(right).argmax(axis=1)])
    return left * values * signs, (values**2 / total).tolist()


def _as_lists(points: np.ndarray) -> Sequence[list[float] | None]:
    return [[float(f"{x:.4g}"), float(f"{y:.4g}")] if np.isfinite(x) else None for x, y in points]
