"""Compare two networks channel by channel: pictures and measures in, tables out.

The measures are those of `featurediff.measures.picture_similarity` and `featurediff.measures.channels`. How far they
can be believed is computed by `featurediff.statistics.mmd` and `featurediff.statistics.multiple_testing`.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from featurediff.rendering.picture_pairs import PicturePairs
from featurediff.runtime.progress import progress
from featurediff.statistics import combined_score, mmd, multiple_testing
from featurediff.statistics.empirical_null import EmpiricalNull
from featurediff.statistics.multiple_testing import add_q_values, agreement, rank_channels, summarise
from featurediff.statistics.unchanged import EXPECTED, check_frozen

__all__ = [
    "check_unchanged",
    "compare_layer_files",
    "compare_networks",
    "describe_columns",
    "join_measures",
    "picture_answer_agreement",
    "rank_layers",
    "write_pairs",
]

# name -> (unit, meaning)
COLUMNS: dict[str, tuple[str, str]] = {
    **channel_measures.COLUMNS,
    **combined_score.COLUMNS,
    **multiple_testing.COLUMNS,
    "cosine": ("-1 to 1", "similarity of the first seed's two pictures to the embedding network; ranks the pairs"),
    "gram_<block>": ("", "distance of the Gram matrices of the first seed's two pictures at a block of that network"),
    "epoch": ("", "in a film: number of the checkpoint, from 0, the network after one epoch"),
    "layer_cka": ("-1 to 1", "in a film: linear CKA of all channels of the layer with the base, unbiased"),
    "failed_base": ("", "whether the base's first picture failed"),
    "failed_tuned": ("", "whether the tuned network's first picture failed"),
}

_UNCHANGED = {**EXPECTED, "paired_similarity": (1.0, 0.0), "visual_change": (0.0, 0.0)}

# Folder of pair pictures -> which channels of a layer's table they show.
_PAIR_KINDS = {"most_different": most_different, "most_similar": most_similar}

log = logging.getLogger("featurediff")


def compare_layer_files(
    embedder: Embedder, pairs: PicturePairs, embeddings: tuple[str, str], *, network: str, layer: str
) -> pd.DataFrame:
    """How the pictures of a layer's channels changed, a row for each channel: the columns of
    `featurediff.measures.picture_similarity` for the first seed, and of `featurediff.statistics.mmd` for all seeds.

    `embeddings`: the files of `featurediff.measures.embeddings`, of the base and of the tuned network.
    """
    base, tuned = pairs.first_seeds
    failed = (pairs.failed_base, pairs.failed_tuned)
    with progress(len(base), f"{network} {layer}", "pair") as advance:
        table = compare_layer(
            embedder,
            _read_pairs(base, tuned, advance),
            network=network,
            layer=layer,
            channels=[channel_of(path) for path in base],
            failed_base=[channel for channel, seed in pairs.failed_base if seed == 0],
            failed_tuned=[channel for channel, seed in pairs.failed_tuned if seed == 0],
        )
    (channels, of_base), (_, of_tuned) = (load_embeddings(*one) for one in zip(embeddings, failed, strict=True))
    visual = mmd.visual_table(of_base, of_tuned, network=network, layer=layer, channels=channels.tolist())
    log.info(
        "%s %s: median similarity %.3f, %d of %d ranked",
        network,
        layer,
        table["cosine"].median(),
        table["rank"].count(),
        len(table),
    )
    return table.merge(visual, on=["network", "layer", "channel"], validate="one_to_one")


def join_measures(table: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    """The table of a layer with the columns of `featurediff.measures.channels`, and the number that combines them all.

    Raises:
        FrozenLayerChanged: a frozen layer is not exactly unchanged.
    """
    both = table.merge(measures, on=["layer", "channel"], validate="one_to_one")
    check_unchanged(both)
    return combined_score.add_combined_score(both)


def check_unchanged(table: pd.DataFrame) -> None:
    """Make sure that the layers that a table calls `frozen` are exactly unchanged in every measure.

    Raises:
        FrozenLayerChanged: a frozen layer is not exactly unchanged.
    """
    frozen = table.loc[table["frozen"], ["network", "layer"]].drop_duplicates()
    looked_at = sum(check_frozen([table], {network: [layer]}, _UNCHANGED) for network, layer in frozen.values)
    if looked_at:
        log.info("frozen: %d values are exactly those of an unchanged layer", looked_at)


def compare_networks(
    base: nn.Module,
    tuned: nn.Module,
    pictures: Mapping[str, PicturePairs],
    embedder: Embedder,
    responses: PhotoResponses | None,
    nulls: Mapping[str, EmpiricalNull] | None = None,
    *,
    network: str,
    train_from: str | None,
) -> pd.DataFrame:
    """All measures of a few channels at once, a row for each: the columns of `featurediff.statistics.mmd` and of
    `featurediff.measures.channels`.

    `pictures`: by layer. `responses`: of both networks to photographs. `nulls`: by layer, if they are known from other
    channels. `network`: the name of `tuned`. `train_from`: see `featurediff.measures.channels.measure_channels`.

    Raises:
        FrozenLayerChanged: a frozen layer is not exactly unchanged.
    """
    visual = []
    for layer, pairs in pictures.items():
        embedded = []
        for paths, failed in ((pairs.base, pairs.failed_base), (pairs.tuned, pairs.failed_tuned)):
            channels, seeds, embeddings = embed_pictures(embedder, paths)
            embedded.append(without_failed(channels, seeds, embeddings, failed))
        null = None if nulls is None else nulls[layer]
        visual.append(mmd.visual_table(*embedded, network=network, layer=layer, channels=channels.tolist(), null=null))
    first = {layer: pairs.first_seeds for layer, pairs in pictures.items()}
    measured = channel_measures.measure_channels(base, tuned, first, responses, train_from)
    table = pd.concat(visual, ignore_index=True).merge(measured, on=["layer", "channel"], validate="one_to_one")
    check_unchanged(table)
    return table


def rank_layers(tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """From the tables of a network's layers: all channels, most changed first, corrected for their number; and the
    summary of `featurediff.statistics.multiple_testing.summarise`.
    """
    described = {**mmd.COLUMNS, **channel_measures.COLUMNS, **combined_score.COLUMNS}
    columns = [name for name in described if name in tables[0]]
    ranking = rank_channels(add_q_values(pd.concat([table[columns] for table in tables], ignore_index=True)))
    return ranking, summarise(ranking)


def picture_answer_agreement(ranking: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Do pictures and answers to photographs put a layer's channels in the same order of change? See
    `featurediff.statistics.multiple_testing.agreement`.

    Of the pictures it takes `visual_change` and `excess`, of the answers 1 - `correlation`.
    """
    answers = "1 - correlation"
    table = ranking.assign(**{answers: 1 - ranking["correlation"]})
    return pd.concat([agreement(table, of_pictures, answers, seed=seed) for of_pictures in ("visual_change", "excess")])


def describe_columns(columns: Mapping[str, tuple[str, str]] = COLUMNS) -> str:
    """YAML: the unit and the meaning of each column."""
    described = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in columns.items()}
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120)


def write_pairs(table: pd.DataFrame, pairs: PicturePairs, folder: Path, count: int) -> None:
    """Write the pictures of the channels of a layer that are most different, and most similar: the base's on the left.

    `folder` gets two folders, `most_different` and `most_similar`, with `count` pictures `rank<r>_channel<k>.png` each.
    Ranks count from 1, each kind from its own end. What was in the two folders before is removed.
    """
    files = {channel_of(first): (first, second) for first, second in zip(*pairs.first_seeds, strict=True)}
    for kind, choose in _PAIR_KINDS.items():
        chosen = choose(table, count)
        shutil.rmtree(folder / kind, ignore_errors=True)
        (folder / kind).mkdir(parents=True)
        for rank, channel in enumerate(chosen["channel"], start=1):
            left, right = (Image.fromarray(read_picture(file)[0]) for file in files[channel])
            with atomic_path(folder / kind / f"rank{rank}_channel{channel}.png") as temporary:
                pair_picture(left, right).save(temporary)


def _read_pairs(
    base: Sequence[str], tuned: Sequence[str], advance: Callable[[int], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first, second in zip(base, tuned, strict=True):
        yield read_picture(first)[0], read_picture(second)[0]
        advance(1)
