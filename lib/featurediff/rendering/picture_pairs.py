"""The pictures of a layer in two networks, side by side: every seed of the same channels, and which of them failed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from featurediff.rendering.failed_pictures import failed_of
from featurediff.rendering.picture_table import first_seed, listed_pictures

__all__ = ["PicturePairs", "listed_pairs"]


@dataclass(frozen=True)
class PicturePairs:
    """The PNGs of a layer in the base and in the tuned network, in equal order, and their failed (channel, seed)."""

    base: Sequence[str]
    tuned: Sequence[str]
    failed_base: Collection[tuple[int, int]] = ()
    failed_tuned: Collection[tuple[int, int]] = ()

    @property
    def first_seeds(self) -> tuple[list[str], list[str]]:
        """The pictures of the first seed in both networks, one for each channel."""
        return first_seed(self.base), first_seed(self.tuned)


def listed_pairs(
    layers: Sequence[str],
    base: Sequence[str],
    tuned: Sequence[str],
    failed: pd.DataFrame | None = None,
    networks: tuple[str, str] = ("", ""),
) -> dict[str, PicturePairs]:
    """The pictures that the tables of two networks list, by layer.

    `base`, `tuned`: the file of a table for each layer. `failed`: the table of failed pictures, in which the two are
    called `networks`; None if it does not matter which pictures failed.
    """
    pairs = {}
    for layer, before, after in zip(layers, base, tuned, strict=True):
        which = [] if failed is None else [failed_of(failed, network, layer) for network in networks]
        pairs[layer] = PicturePairs(listed_pictures(before), listed_pictures(after), *which)
    return pairs
