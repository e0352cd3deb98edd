"""The files of a comparison: embeddings of every seed, what is believed of them, and the ranking."""

import numpy as np
import pandas as pd
import pytest
import yaml
from written_pictures import CHANNELS, write

from featurediff.comparison.compare import (
    compare_layer_files,
    describe_columns,
    join_measures,
    picture_answer_agreement,
    rank_layers,
)
from featurediff.measures.embedder import embed_pictures
from featurediff.measures.embeddings import save_embeddings
from featurediff.rendering.picture_pairs import PicturePairs


def test_a_channel_that_changed_is_ranked_first_and_equal_ones_are_exactly_equal(embedder, tmp_path) -> None:
    sides = []
    for name, changed in (("base", None), ("dogs", 5)):
        paths = write(tmp_path / name, np.random.default_rng(0), changed)
        save_embeddings(tmp_path / f"{name}.npz", *embed_pictures(embedder, paths))
        sides.append((paths[: len(CHANNELS)], str(tmp_path / f"{name}.npz")))
    (base, of_base), (tuned, of_tuned) = sides
    files = (of_base, of_tuned)
    table = compare_layer_files(embedder, PicturePairs(base, tuned), files, network="dogs", layer="layer4")
    table = table.set_index("channel")
    assert (table.loc[[2, 10], ["cosine", "paired_similarity", "first_similarity"]] == 1).all(axis=None)
    assert (table.loc[[2, 10], "visual_change"] == 0).all()
    assert table.loc[5, "paired_similarity"] < 1
    assert table.loc[5, "first_similarity"] == pytest.approx(table.loc[5, "cosine"], abs=1e-5)
    ranking, summary = rank_layers([table.reset_index()])
    assert {"q_visual", "q_excess", "rank"} <= set(ranking)
    assert summary["layer"].tolist() == ["layer4", "layer4", "all", "all"]
    assert summary["test"].tolist() == ["visual", "excess"] * 2
    assert set(ranking) <= set(yaml.safe_load(describe_columns()))


def test_all_measures_are_combined_and_corrected_over_all_layers() -> None:
    random, tables = np.random.default_rng(0), []
    for layer in ("layer3", "layer4"):
        keys = pd.DataFrame({"network": "dogs", "layer": layer, "channel": range(12)})
        table = keys.assign(excess=random.normal(size=12), p_excess=random.random(12))
        measures = keys[["layer", "channel"]].assign(response_excess=random.normal(size=12), frozen=False)
        measures["p_response"] = random.random(12)
        measures.loc[7, "response_excess"] = table.loc[7, "excess"] = 40
        tables.append(join_measures(table, measures))
    assert set(tables[0]["combined_parts"]) == {"excess + response_excess"}
    ranking, summary = rank_layers(tables)
    assert ranking["channel"].tolist()[:2] == [7, 7]
    assert (ranking["q_combined"] <= 0.05).sum() == 2
    assert summary.set_index(["layer", "test"])["changed"][("all", "combined")] == 2
    assert set(ranking) <= set(yaml.safe_load(describe_columns()))


def test_pictures_that_move_as_far_as_answers_agree_with_them() -> None:
    change = np.arange(12) / 12
    ranking = pd.DataFrame({"network": "dogs", "layer": "layer4", "channel": range(12), "correlation": 1 - change})
    ranking["visual_change"], ranking["excess"] = change**3, -change
    table = picture_answer_agreement(ranking, 0).set_index("first")
    assert table["spearman"].to_dict() == pytest.approx({"visual_change": 1, "excess": -1})
    assert set(table["second"]) == {"1 - correlation"}
