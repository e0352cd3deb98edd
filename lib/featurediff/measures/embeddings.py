"""Embeddings in .npz files: one job writes them, and those that compare networks read them."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from feature_vis.errors import InputError
from feature_vis.files import atomic_path

__all__ = ["load_embeddings", "save_embeddings", "without_failed"]


def save_embeddings(path: Path, channels: np.ndarray, seeds: np.ndarray, embeddings: np.ndarray) -> None:
    """Write the result of `featurediff.measures.embedder.embed_pictures`: (K,), (S,) and (K, S, D)."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, channels=channels, seeds=seeds, embeddings=embeddings)


def load_embeddings(path: str | Path, failed: Collection[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Read channels (K,) and embeddings (K, S, D), with NaN for the `failed` pictures, (channel, seed).

    Raises:
        InputError: a file that is missing, empty or cut off.
    """
    try:
        with np.load(path) as file:
            channels, seeds, embeddings = file["channels"], file["seeds"], file["embeddings"]
    except MemoryError:
        raise
    except Exception as error:  # a broken archive fails in many ways: zipfile, zlib, NumPy, a key
        raise InputError(f"{path} cannot be read as embeddings ({error}): delete it and run again") from None
    return channels, without_failed(channels, seeds, embeddings, failed)


def without_failed(
    channels: np.ndarray, seeds: np.ndarray, embeddings: np.ndarray, failed: Collection[tuple[int, int]]
) -> np.ndarray:
    """A copy of embeddings (K, S, D) with NaN for `failed` pictures, (channel, seed); other channels are ignored."""
    embeddings = embeddings.copy()
    for channel, seed in failed:
        embeddings[np.ix_(channels == channel, seeds == seed)] = np.nan
    return embeddings
