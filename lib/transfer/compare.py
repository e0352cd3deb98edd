"""The files of a comparison: pictures in, embeddings and tables out. The measures are in `transfer.distance`, what is
to be believed of them in `transfer.visual_change` and `transfer.statistics`.
"""

import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image

from feature_vis.files import atomic_path
from feature_vis.png import channel_of, read_picture, seed_of
from transfer import functional_change, joined
from transfer.distance import Embedder, compare_layer, most_different, most_similar, pair_picture
from transfer.frozen import EXPECTED, check_frozen
from transfer.network import load_network, load_weights
from transfer.statistics import COLUMNS, add_q_values, rank_channels, summarise
from transfer.visual_change import visual_table

__all__ = [
    "bad_pictures",
    "compare_files",
    "describe_columns",
    "embed_files",
    "join_units",
    "load_embedder",
    "load_embeddings",
    "rank_layers",
    "write_pairs",
]

_OWN_COLUMNS = {
    "cosine": (
        "-1 to 1",
        "similarity of the first seed's two pictures in the embedding network; ranks the pairs shown",
    ),
    "gram_<block>": (
        "",
        "distance of the first seed's two pictures' Gram matrices at a block of the embedding network",
    ),
    "bad_base": ("", "whether the base's first picture is faulty"),
    "bad_tuned": ("", "whether the tuned network's first picture is faulty"),
}
_UNCHANGED = {**EXPECTED, "paired_similarity": (1.0, 0.0), "visual_change": (0.0, 0.0)}

log = logging.getLogger("featurediff")


def load_embedder(settings: dict[str, Any], network_file: str | None, device: torch.device) -> Embedder:
    """The embedder of the config: one of the experiment's networks, or torchvision's by name with weights."""
    if network_file is not None:
        network = load_network(network_file)
    else:
        network = load_weights(settings["model"], settings["weights"])
    return Embedder(network.module().to(device))


def embed_files(embedder: Embedder, paths: Sequence[str], output: Path) -> None:
    """Embed a layer's pictures of every seed; writes `.npz`: channels (K,), seeds (S,), embeddings (K, S, D) float32.

    Pictures pass in batches by channel, then seed, so that equal pictures of two networks, in equal places, get equal
    embeddings to the last bit.
    """
    by_place = {(channel_of(path), seed_of(path)): path for path in paths}
    channels, seeds = (sorted(set(numbers)) for numbers in zip(*by_place, strict=True))
    found = [embeddings for batch in _batches(by_place, channels, seeds) for embeddings in embedder.embed(batch)]
    stacked = torch.stack(found).float().cpu().numpy().reshape(len(channels), len(seeds), -1)  # (K, S, D)
    with atomic_path(output) as temporary, temporary.open("wb") as stream:
        np.savez(stream, channels=np.array(channels), seeds=np.array(seeds), embeddings=stacked)


def _batches(
    by_place: dict[tuple[int, int], str], channels: Sequence[int], seeds: Sequence[int], size: int = 8
) -> Iterator[torch.Tensor]:
    """Pictures of one size at a time, (B, 3, H, W) in [0, 1]."""
    waiting: list[torch.Tensor] = []
    for channel in channels:
        for seed in seeds:
            picture = torch.tensor(read_picture(by_place[channel, seed])[0]).permute(2, 0, 1).float() / 255
            if waiting and (len(waiting) == size or waiting[0].shape != picture.shape):
                yield torch.stack(waiting)
                waiting = []
            waiting.append(picture)
    yield torch.stack(waiting)


def load_embeddings(path: str | Path, bad: Collection[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Channels (K,) and embeddings (K, S, D) of `embed_files`; NaN for `bad` pictures, (channel, seed)."""
    with np.load(path) as file:
        channels, seeds, embeddings = file["channels"], file["seeds"], file["embeddings"]
    for channel, seed in bad:
        embeddings[np.searchsorted(channels, channel), np.searchsorted(seeds, seed)] = np.nan
    return channels, embeddings


def bad_pictures(path: str, layer: str, models: Sequence[str]) -> list[set[tuple[int, int]]]:
    """Each network's faulty pictures of a layer, (channel, seed), from the table of `transfer.bad_channels`."""
    table = pd.read_csv(path, dtype={"model": str, "layer": str})
    table = table[table["layer"] == layer]
    return [
        set(table.loc[table["model"] == model, ["channel", "seed"]].itertuples(index=False, name=None))
        for model in models
    ]


def compare_files(
    embedder: Embedder,
    pictures: tuple[Sequence[str], Sequence[str]],
    embeddings: tuple[str, str],
    bad: Sequence[set[tuple[int, int]]],
    *,
    model: str,
    layer: str,
) -> pd.DataFrame:
    """A row a channel: `transfer.distance.compare_layer` of the first seeds, `transfer.visual_change` of all seeds.

    Each pair is (base, tuned): the first seeds' PNGs, in equal order; the files of `embed_files`; and the bad
    pictures, (channel, seed).
    """
    base, tuned = pictures
    first_bad = [{channel for channel, seed in pairs if seed == 0} for pairs in bad]
    table = compare_layer(
        embedder,
        _pairs(base, tuned),
        model=model,
        layer=layer,
        channels=[channel_of(path) for path in base],
        bad_base=first_bad[0],
        bad_tuned=first_bad[1],
    )
    (channels, of_base), (_, of_tuned) = (load_embeddings(*one) for one in zip(embeddings, bad, strict=True))
    visual = visual_table(of_base, of_tuned, model=model, layer=layer, channels=channels.tolist())
    log.info(
        "%s %s: median similarity %.3f, %d of %d ranked",
        model,
        layer,
        table["cosine"].median(),
        table["rank"].count(),
        len(table),
    )
    return table.merge(visual, on=["model", "layer", "channel"], validate="one_to_one")


def join_units(table: pd.DataFrame, units: str) -> pd.DataFrame:
    """The table of a layer with the columns of `transfer.functional_change` beside its own, and what all say together.

    Raises:
        FrozenLayerChanged: a frozen layer that does not come out as exactly unchanged.
    """
    of_units = pd.read_csv(units, dtype={"layer": str})
    both = table.merge(of_units, on=["layer", "channel"], validate="one_to_one")
    frozen = both.loc[both["frozen"], ["model", "layer"]].drop_duplicates()
    looked_at = sum(check_frozen([both], {model: [layer]}, _UNCHANGED) for model, layer in frozen.values)
    if looked_at:
        log.info("frozen: %d values are exactly those of an unchanged layer", looked_at)
    return joined.join_scores(both)


def rank_layers(tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of one network's tables: all channels, most changed first, corrected for their number; and a row a layer."""
    columns = [name for name in COLUMNS if name in tables[0] and name != "rank"]
    others = [*functional_change.COLUMNS, *joined.COLUMNS]
    columns += [name for name in others if name in tables[0] and name not in columns]
    ranking = rank_channels(add_q_values(pd.concat([table[columns] for table in tables], ignore_index=True)))
    return ranking, pd.concat([summarise(ranking), summarise(ranking, by=["model"]).assign(layer="all")])


def describe_columns() -> str:
    """YAML: unit and meaning of the tables' columns by name."""
    columns = {**functional_change.COLUMNS, **joined.COLUMNS, **COLUMNS, **_OWN_COLUMNS}
    described = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in columns.items()}
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120)


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
