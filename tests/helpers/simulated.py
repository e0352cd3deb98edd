"""Embeddings with known changes, and how well a statistic finds them."""

import numpy as np
import pandas as pd

from featurediff.statistics.mmd import visual_table
from featurediff.statistics.multiple_testing import add_q_values


def simulate(
    seed: int,
    channels: int = 64,
    seeds: int = 4,
    *,
    drift: float = 0.0,
    mixed: float = 0.0,
    planted: int = 0,
    paired: float = 0.9,
    values: int = 48,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings of base and tuned, and which channels are planted: `mixed` parts of another channel's picture.

    Noise of decaying spectrum, of another size in each channel; a share `paired` of it is common to pictures of one
    seed. `drift`: a shift of every channel's mean, of varying size.
    """
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, values + 1) ** -0.5
    spectrum /= np.sqrt((spectrum**2).sum())

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(size=(*shape, values)) * spectrum

    size = 0.7 * np.exp(0.3 * rng.normal(size=(channels, 1, 1)))
    base_mean = 1.5 * noise(1, 1) + noise(channels, 1)
    is_planted = np.isin(np.arange(channels), rng.choice(channels, planted, replace=False))
    strength = np.where(is_planted, mixed, 0.0)[:, None, None]
    tuned_mean = base_mean + strength * (noise(channels, 1) - noise(channels, 1))
    tuned_mean += drift * np.exp(0.3 * rng.normal(size=(channels, 1, 1))) * noise(channels, 1)
    common = noise(channels, seeds)
    share = paired * (1 - strength)
    own = np.sqrt(1 - share**2) * noise(channels, seeds)
    return base_mean + size * common, tuned_mean + size * (share * common + own), is_planted


def table(base: np.ndarray, tuned: np.ndarray, **options) -> pd.DataFrame:
    return add_q_values(visual_table(base, tuned, network="dogs", layer="layer4.2", **options))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def discoveries(q: np.ndarray | pd.Series, planted: np.ndarray) -> tuple[float, float]:
    """False discovery proportion and power at 5 %."""
    found = np.asarray(q) <= 0.05
    return (found & ~planted).sum() / max(found.sum(), 1), found[planted].mean() if planted.any() else np.nan
