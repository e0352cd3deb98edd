"""Pairs of pictures, the base's and the tuned network's: compared channel by channel, ranked, put side by side."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.images.batches import picture_batches
from featurediff.measures.embedder import Embedder

__all__ = ["compare_layer", "compare_pictures", "most_different", "most_similar", "pair_picture"]

_BATCH = 8
_GAP = 4  # pixels between the pictures of a pair


def compare_pictures(embedder: Embedder, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[dict[str, float]]:
    """One row a pair, in order: `cosine`, and `gram_<block>` for every block. One batch of pairs is held in memory.

    A picture is (H, W, 3) uint8. The two pictures of a pair must have the same size; pairs may differ in size.

    Raises:
        InputError: the two pictures of a pair differ in size.
    """
    done = 0
    for first, second in picture_batches(pairs, _BATCH):
        if first.shape != second.shape:
            sizes = " and ".join(f"{side.shape[3]}×{side.shape[2]}" for side in (first, second))
            raise InputError(f"the pictures of pair {done} differ in size: {sizes} px; render them at one size")
        done += len(first)
        cosine, grams = embedder.distances(first, second)
        columns = {"cosine": cosine.tolist()} | {f"gram_{name}": values.tolist() for name, values in grams.items()}
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def compare_layer(
    embedder: Embedder,
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    network: str,
    layer: str,
    channels: Sequence[int],
    failed_base: Collection[int] = (),
    failed_tuned: Collection[int] = (),
) -> pd.DataFrame:
    """Compare a layer of the base network with the same layer of `network`, channel by channel.

    `pairs`: (base's picture, tuned network's picture) for each of `channels`, in their order. `failed_base`,
    `failed_tuned`: channels with a failed picture. Columns: network, layer, channel, cosine, gram_<block>…,
    failed_base, failed_tuned, rank. Rank 1 is the most different; ties keep the order of channels; it is empty where a
    picture failed or the cosine is not defined. Rows are in the order of channels.
    """
    rows = compare_pictures(embedder, pairs)
    table = pd.DataFrame(
        [{"channel": channel, **row} for channel, row in zip(channels, rows, strict=True)],
        columns=["channel", "cosine", *(f"gram_{name}" for name in embedder.blocks)],
    )
    table = table.sort_values("channel", ignore_index=True)
    table.insert(0, "network", network)
    table.insert(1, "layer", layer)
    table["failed_base"] = table["channel"].isin(list(failed_base))
    table["failed_tuned"] = table["channel"].isin(list(failed_tuned))
    sound = table["cosine"].where(~(table["failed_base"] | table["failed_tuned"]))
    table["rank"] = sound.rank(method="first").astype("Int64")
    return table


def most_different(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """The `k` ranked channels of `compare_layer`'s table that differ most, most different first.

    Exactly `k`, or all where fewer are ranked. (The original's `.loc[:k]` gave one more.)
    """
    _check_count(k)
    return table.dropna(subset="rank").sort_values("rank").head(k)


def most_similar(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """The `k` ranked channels of `compare_layer`'s table that differ least, most similar first, ties by channel."""
    _check_count(k)
    return table.dropna(subset="rank").sort_values(["cosine", "channel"], ascending=[False, True]).head(k)


def pair_picture(base: Image.Image, tuned: Image.Image) -> Image.Image:
    """The two pictures side by side on white, the base's on the left."""
    sheet = Image.new("RGB", (base.width + _GAP + tuned.width, max(base.height, tuned.height)), "white")
    sheet.paste(base.convert("RGB"), (0, 0))
    sheet.paste(tuned.convert("RGB"), (base.width + _GAP, 0))
    return sheet


def _check_count(k: int) -> None:
    if k < 0:
        raise InputError(f"the number of pairs must be 0 or above, not {k}")
