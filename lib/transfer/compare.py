"""The files of a comparison: pictures in, the embedder, pairs out. The measures are in `transfer.distance`."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from feature_vis.png import channel_of, read_picture
from transfer.distance import Embedder, compare_layer, most_different, most_similar, pair_picture
from transfer.network import load_network, load_weights

__all__ = ["compare_files", "load_embedder", "write_pairs"]

log = logging.getLogger("featurediff")


def load_embedder(settings: dict[str, Any], network_file: str | None, device: torch.device) -> Embedder:
    """The embedder of the config: one of the experiment's networks, or torchvision's by name with weights."""
    if network_file is not None:
        network = load_network(network_file)
    else:
        network = load_weights(settings["model"], settings["weights"])
    return Embedder(network.module().to(device))


def compare_files(
    embedder: Embedder, base: Sequence[str], tuned: Sequence[str], model: str, layer: str, bad: dict[str, set[int]]
) -> pd.DataFrame:
    """The table of `transfer.distance.compare_layer` for two networks' PNGs of the same channels, in equal order.

    `bad`: the faulty channels of this layer, of `base` and `tuned`.
    """
    table = compare_layer(
        embedder,
        _pairs(base, tuned),
        model=model,
        layer=layer,
        channels=[channel_of(path) for path in base],
        bad_base=bad["base"],
        bad_tuned=bad["tuned"],
    )
    log.info(
        "%s %s: median similarity %.3f, %d of %d ranked",
        model,
        layer,
        table["cosine"].median(),
        table["rank"].count(),
        len(table),
    )
    return table


def write_pairs(
    table: pd.DataFrame, folder: Path, kind: str, count: int, base: Sequence[str], tuned: Sequence[str]
) -> None:
    """Write `rank<r>_channel<k>.png`, base left, for the `count` pairs of a kind, `most_different` or `most_similar`.

    Ranks count from 1, each kind from its own end. What was in the folder before is removed.
    """
    chosen = {"most_different": most_different, "most_similar": most_similar}[kind](table, count)
    files = {channel_of(first): (first, second) for first, second in zip(base, tuned, strict=True)}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for rank, channel in enumerate(chosen["channel"], start=1):
        left, right = (Image.fromarray(read_picture(file)[0]) for file in files[channel])
        pair_picture(left, right).save(folder / f"rank{rank}_channel{channel}.png")


def _pairs(base: Sequence[str], tuned: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first, second in zip(base, tuned, strict=True):
        yield read_picture(first)[0], read_picture(second)[0]
