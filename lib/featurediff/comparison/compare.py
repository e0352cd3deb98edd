"""The files of a comparison: pictures in, tables out. The measures are in `featurediff.measures.picture_similarity`
and in `featurediff.measures.channels`, what is to be believed of them in `featurediff.statistics.mmd` and
`featurediff.statistics.multiple_testing`.
"""

import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from torch import nn

from feature_vis.files import atomic_path
from feature_vis.images.png import channel_of, read_picture
from featurediff.measures import channels as channel_measures
from featurediff.measures.embedder import Embedder, embed_pictures
from featurediff.measures.embeddings import load_embeddings, without_failed
from featurediff.measures.photo_responses import PhotoResponses
from featurediff.measures.picture_similarity import compare_layer, most_different, most_similar, pair_picture
from featurediff.rendering.picture_table import first_seed
from featurediff.runtime.progress import progress
from featurediff.runtime.tables import read_table
from featurediff.statistics import combined_score
from featurediff.statistics.empirical_null import EmpiricalNull
from featurediff.statistics.mmd import visual_table
from featurediff.statistics.multiple_testing import COLUMNS, add_q_values, agreement, rank_channels, summarise
from featurediff.statistics.unchanged import EXPECTED, check_frozen

__all__ = [
    "PAIR_KINDS",
    "check_unchanged",
    "compare_files",
    "compare_networks",
    "describe_columns",
    "join_measures",
    "rank_layers",
    "visual_and_functional",
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
    "epoch": ("", "in a film: number of the checkpoint, from 0, which is the network after one pass"),
    "layer_cka": ("-1 to 1", "in a film: linear CKA of all channels of the layer with the base, unbiased"),
    "failed_base": ("", "whether the base's first picture failed"),
    "failed_tuned": ("", "whether the tuned network's first picture failed"),
}
_UNCHANGED = {**EXPECTED, "paired_similarity": (1.0, 0.0), "visual_change": (0.0, 0.0)}

# Folder of pair pictures -> which channels of a layer's table they show.
PAIR_KINDS = {"most_different": most_different, "most_similar": most_similar}

log = logging.getLogger("featurediff")


def compare_files(
    embedder: Embedder,
    pictures: tuple[Sequence[str], ...],
    embeddings: tuple[str, str],
    bad: Sequence[set[tuple[int, int]]],
    *,
    network: str,
    layer: str,
) -> pd.DataFrame:
    """A row a channel: `picture_pairs.compare_layer` of the first seeds, `visual_change.visual_table` of all seeds.

    Each pair is (base, tuned): the first seeds' PNGs, in equal order; the files of `featurediff.measures.embeddings`;
    and the bad pictures, (channel, seed).
    """
    base, tuned = pictures
    first_bad = [{channel for channel, seed in pairs if seed == 0} for pairs in bad]
    with progress(len(base), f"{network} {layer}", "pair") as advance:
        table = compare_layer(
            embedder,
            _pairs(base, tuned, advance),
            network=network,
            layer=layer,
            channels=[channel_of(path) for path in base],
            failed_base=first_bad[0],
            failed_tuned=first_bad[1],
        )
    (channels, of_base), (_, of_tuned) = (load_embeddings(*one) for one in zip(embeddings, bad, strict=True))
    visual = visual_table(of_base, of_tuned, network=network, layer=layer, channels=channels.tolist())
    log.info(
        "%s %s: median similarity %.3f, %d of %d ranked",
        network,
        layer,
        table["cosine"].median(),
        table["rank"].count(),
        len(table),
    )
    return table.merge(visual, on=["network", "layer", "channel"], validate="one_to_one")


def join_measures(table: pd.DataFrame, channels: str) -> pd.DataFrame:
    """Add the columns of `featurediff.measures.channels` to the table of a layer, and the score that combines them all.

    Raises:
        FrozenLayerChanged: a frozen layer that does not come out as exactly unchanged.
    """
    both = table.merge(read_table(channels), on=["layer", "channel"], validate="one_to_one")
    check_unchanged(both)
    return combined_score.add_combined_score(both)


def check_unchanged(table: pd.DataFrame) -> None:
    """Make sure that what a table calls `frozen` is exactly unchanged in every measure.

    Raises:
        FrozenLayerChanged: a frozen layer that does not come out as exactly unchanged.
    """
    frozen = table.loc[table["frozen"], ["network", "layer"]].drop_duplicates()
    looked_at = sum(check_frozen([table], {network: [layer]}, _UNCHANGED) for network, layer in frozen.values)
    if looked_at:
        log.info("frozen: %d values are exactly those of an unchanged layer", looked_at)


def compare_networks(
    base: nn.Module,
    tuned: nn.Module,
    pictures: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    bad: Mapping[str, Sequence[Collection[tuple[int, int]]]],
    embedder: Embedder,
    responses: PhotoResponses | None,
    nulls: Mapping[str, EmpiricalNull] | None = None,
    *,
    network: str,
    train_from: str | None,
) -> pd.DataFrame:
    """All measures of a few layers' channels at once: a row a channel, of `visual_change.visual_table` and
    `channel_measures.measure_channels`.

    `pictures`: layer -> PNGs of base and tuned network, every seed of the same channels. `bad`: layer -> the failed
    ones of both, (channel, seed). `responses`: of both networks. `nulls`: of layers, if they are known from elsewhere.
    `train_from`: see `measure_channels`.

    Raises:
        FrozenLayerChanged: a frozen layer that does not come out as exactly unchanged.
    """
    visual = []
    for layer, sides in pictures.items():
        embedded = []
        for paths, faulty in zip(sides, bad[layer], strict=True):
            channels, seeds, embeddings = embed_pictures(embedder, paths)
            embedded.append(without_failed(channels, seeds, embeddings, faulty))
        null = None if nulls is None else nulls[layer]
        visual.append(visual_table(*embedded, network=network, layer=layer, channels=channels.tolist(), null=null))
    first = {layer: (first_seed(before), first_seed(after)) for layer, (before, after) in pictures.items()}
    measured = channel_measures.measure_channels(base, tuned, first, responses, train_from)
    table = pd.concat(visual, ignore_index=True).merge(measured, on=["layer", "channel"], validate="one_to_one")
    check_unchanged(table)
    return table


def rank_layers(tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of one network's tables: all channels, most changed first, corrected for their number; and a row a layer."""
    columns = [name for name in COLUMNS if name in tables[0] and name != "rank"]
    others = [*channel_measures.COLUMNS, *combined_score.COLUMNS]
    columns += [name for name in others if name in tables[0] and name not in columns]
    ranking = rank_channels(add_q_values(pd.concat([table[columns] for table in tables], ignore_index=True)))
    return ranking, summarise(ranking)


def visual_and_functional(ranking: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Do pictures and answers put a layer's channels in the same order of change? See
    `featurediff.statistics.multiple_testing.agreement`.

    Of the pictures: `visual_change`, `excess`. Of the answers to probe images: 1 - `correlation`, called so.
    """
    answers = "1 - correlation"
    table = ranking.assign(**{answers: 1 - ranking["correlation"]})
    return pd.concat([agreement(table, of_pictures, answers, seed=seed) for of_pictures in ("visual_change", "excess")])


def describe_columns(columns: Mapping[str, tuple[str, str]] | None = None) -> str:
    """YAML: unit and meaning of columns by name, those of a comparison's tables where None."""
    if columns is None:
        columns = {**channel_measures.COLUMNS, **combined_score.COLUMNS, **COLUMNS, **_OWN_COLUMNS}
    described = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in columns.items()}
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120)


def write_pairs(
    table: pd.DataFrame, folder: Path, kind: str, count: int, base: Sequence[str], tuned: Sequence[str]
) -> None:
    """Write `rank<r>_channel<k>.png`, base left, for the `count` pairs of a kind, `most_different` or `most_similar`.

    Ranks count from 1, each kind from its own end. What was in the folder before is removed.
    """
    chosen = PAIR_KINDS[kind](table, count)
    files = {channel_of(first): (first, second) for first, second in zip(base, tuned, strict=True)}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for rank, channel in enumerate(chosen["channel"], start=1):
        left, right = (Image.fromarray(read_picture(file)[0]) for file in files[channel])
        with atomic_path(folder / f"rank{rank}_channel{channel}.png") as temporary:
            pair_picture(left, right).save(temporary)


def _pairs(
    base: Sequence[str], tuned: Sequence[str], advance: Callable[[int], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first, second in zip(base, tuned, strict=True):
        yield read_picture(first)[0], read_picture(second)[0]
        advance(1)
