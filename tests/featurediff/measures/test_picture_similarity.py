"""Pairs of pictures: compared, ranked, put side by side."""

from itertools import count

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_network import Net, pictures

from feature_vis.errors import InputError
from featurediff.measures.embedder import Embedder
from featurediff.measures.picture_similarity import (
    compare_layer,
    compare_pictures,
    most_different,
    most_similar,
    pair_picture,
)

CHANNELS = [9, 2, 7, 5, 0, 4]


def test_batches_change_nothing_and_sizes_may_change_on_the_way(net: Net) -> None:
    pairs = list(zip(pictures(3), pictures(3, seed=1), strict=True))
    pairs[1:1] = zip(pictures(2, 24), pictures(2, 24, seed=1), strict=True)
    pairs.append((pairs[0][0], pairs[0][0].copy()))
    embedder = Embedder(net)
    together = pd.DataFrame(compare_pictures(embedder, pairs))
    alone = pd.DataFrame([row for pair in pairs for row in compare_pictures(embedder, [pair])])
    assert len(together) == 6
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4)
    assert together.loc[5].to_dict() == {"cosine": 1.0, "gram_body.0": 0.0, "gram_body.2": 0.0}
    with pytest.raises(InputError, match="16×16 and 24×24"):
        list(compare_pictures(embedder, [(pictures(1, 16)[0], pictures(1, 24)[0])]))


def test_no_more_than_a_batch_is_waited_for(net: Net) -> None:
    seeds = count()
    next(compare_pictures(Embedder(net), (tuple(pictures(2, seed=seed)) for seed in seeds)))
    assert next(seeds) <= 9  # as many were taken


def test_layer_table_ranks_the_sound_channels(net: Net) -> None:
    pairs = list(zip(pictures(6), pictures(6, seed=1), strict=True))
    names = {"network": "dogs", "layer": "layer4.2", "channels": CHANNELS}
    table = compare_layer(Embedder(net), pairs, **names, failed_base={2, 99}, failed_tuned=[2, 5])
    columns = "network layer channel cosine gram_body.0 gram_body.2 failed_base failed_tuned rank"
    assert list(table.columns) == columns.split()
    assert table["channel"].tolist() == [0, 2, 4, 5, 7, 9]
    assert table["failed_base"].tolist() == [False, True, False, False, False, False]
    assert table["failed_tuned"].tolist() == [False, True, False, True, False, False]
    assert table["rank"].isna().tolist() == [False, True, False, True, False, False]
    cosine = dict(zip(CHANNELS, (row["cosine"] for row in compare_pictures(Embedder(net), pairs)), strict=True))
    assert table["cosine"].tolist() == [cosine[channel] for channel in table["channel"]]
    by_hand = sorted([0, 4, 7, 9], key=lambda channel: cosine[channel])
    assert table.set_index("channel")["rank"].loc[by_hand].tolist() == [1, 2, 3, 4]
    assert str(table["rank"].dtype) == "Int64"
    empty = compare_layer(Embedder(net), [], network="dogs", layer="layer4.2", channels=[])
    assert (len(empty), list(empty.columns)) == (0, columns.split())


def test_exactly_k_pairs_and_ties_by_channel() -> None:
    cosine = [0.5, 0.2, 0.5, np.nan, 0.2, 0.9]
    table = pd.DataFrame({"channel": range(6), "cosine": cosine, "rank": [3, 1, 4, None, 2, 5]})
    assert most_different(table, 3)["channel"].tolist() == [1, 4, 0]
    assert most_similar(table, 3)["channel"].tolist() == [5, 0, 2]
    assert [len(most_different(table, k)) for k in (0, 1, 5, 6)] == [0, 1, 5, 5]
    assert most_similar(table, 9)["channel"].tolist() == [5, 0, 2, 1, 4]
    with pytest.raises(InputError, match="-1"):
        most_similar(table, -1)


def test_pair_picture_puts_the_base_left() -> None:
    pair = np.asarray(pair_picture(Image.new("RGB", (5, 6), "red"), Image.new("RGB", (5, 6), "blue")))
    assert pair.shape == (6, 14, 3)
    assert (pair[:, :5] == (255, 0, 0)).all()
    assert (pair[:, 5:9] == 255).all()
    assert (pair[:, 9:] == (0, 0, 255)).all()
