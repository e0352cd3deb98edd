"""Pairs of pictures, base and tuned: compared channel by channel, ranked, put side by side."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.images.arrays import check_picture
from featurediff.measures.embedder import Embedder

__all__ = ["compare_layer", "compare_pictures", "most_different", "most_similar", "pair_picture"]

Picture = np.ndarray | Tensor
Row = dict[str, float]


def compare_pictures(embedder: Embedder, pairs: Iterable[tuple[Picture, Picture]], batch: int = 8) -> Iterator[Row]:
    """One row a pair, in order: `cosine`, and `gram_<block>` for every block; one batch of pairs in memory.

    A picture is (H, W, 3) uint8, or (3, H, W) in [0, 1] where it is a tensor. The two of a pair have one size;
    pairs need not.

    Raises:
        InputError: the two pictures of a pair differ in size.
    """
    waiting: list[tuple[Tensor, Tensor]] = []
    for number, (first, second) in enumerate(pairs):
        pair = _as_tensor(first), _as_tensor(second)
        if pair[0].shape != pair[1].shape:
            sizes = " and ".join(f"{tensor.shape[2]}×{tensor.shape[1]}" for tensor in pair)
            raise InputError(f"the pictures of pair {number} differ in size: {sizes} px; render them at one size")
        if waiting and (len(waiting) >= batch or waiting[0][0].shape != pair[0].shape):
            yield from _rows(embedder, waiting)
            waiting = []
        waiting.append(pair)
    if waiting:
        yield from _rows(embedder, waiting)


def compare_layer(
    embedder: Embedder,
    pairs: Iterable[tuple[Picture, Picture]],
    *,
    network: str,
    layer: str,
    channels: Sequence[int],
    failed_base: Collection[int] = (),
    failed_tuned: Collection[int] = (),
    batch: int = 8,
) -> pd.DataFrame:
    """Compare a layer of the base network with the same layer of `network`, channel by channel.

    `pairs`: (base's picture, tuned network's picture) for each of `channels`, in their order. `failed_base`,
    `failed_tuned`: channels with a failed picture. Columns: network, layer, channel, cosine, gram_<block>…,
    failed_base, failed_tuned, rank. Rank 1 is the most different; ties keep the order of channels; it is empty where a
    picture failed or the cosine is not defined. Rows are in the order of channels.
    """
    rows = compare_pictures(embedder, pairs, batch)
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


def pair_picture(base: Image.Image, tuned: Image.Image, gap: int = 4) -> Image.Image:
    """The two pictures side by side, base left, on white with `gap` pixels between them."""
    sheet = Image.new("RGB", (base.width + gap + tuned.width, max(base.height, tuned.height)), "white")
    sheet.paste(base.convert("RGB"), (0, 0))
    sheet.paste(tuned.convert("RGB"), (base.width + gap, 0))
    return sheet


def _rows(embedder: Embedder, pairs: list[tuple[Tensor, Tensor]]) -> Iterator[Row]:
    cosine, grams = embedder.distances(*(torch.stack(side) for side in zip(*pairs, strict=True)))
    columns = {"cosine": cosine.tolist()} | {f"gram_{name}": values.tolist() for name, values in grams.items()}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _as_tensor(picture: Picture) -> Tensor:
    """(3, H, W) in [0, 1]."""
    if isinstance(picture, Tensor):
        return picture
    check_picture(picture)
    return torch.tensor(picture).permute(2, 0, 1).float() / 255


def _check_count(k: int) -> None:
    if k < 0:
        raise InputError(f"the number of pairs must be 0 or above, not {k}")
