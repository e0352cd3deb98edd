"""The files of a comparison: embeddings of every seed, what is believed of them, and the ranking."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from feature_vis.errors import InputError
from feature_vis.models import build
from feature_vis.png import write_picture
from transfer.compare import (
    bad_pictures,
    compare_files,
    describe_columns,
    embed_files,
    join_units,
    load_embeddings,
    rank_layers,
    visual_and_functional,
    without_bad,
)
from transfer.distance import Embedder

CHANNELS, SEEDS = (10, 2, 5), (0, 1, 2)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder(build("resnet18", classes=4), blocks=["layer1.0"])


def write(folder: Path, random: np.random.Generator, changed: int | None = None) -> list[str]:
    """Pictures of every seed and channel; of one channel others than `random`'s."""
    paths = []
    for seed in SEEDS:
        place = folder / f"seed{seed}" if seed else folder
        place.mkdir(parents=True, exist_ok=True)
        for channel in CHANNELS:
            picture = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            paths.append(str(place / f"channel{channel}.png"))
            write_picture(paths[-1], 255 - picture if channel == changed else picture, {})
    return paths


def test_embeddings_stand_by_channel_and_seed(embedder, tmp_path) -> None:
    paths = write(tmp_path, np.random.default_rng(0))
    embed_files(embedder, paths, tmp_path / "a.npz")
    embed_files(embedder, paths[::-1], tmp_path / "b.npz")
    channels, embeddings = load_embeddings(tmp_path / "a.npz", bad=[(5, 1)])
    assert channels.tolist() == [2, 5, 10]
    assert embeddings.shape == (3, 3, 512)
    assert np.isnan(embeddings).any(2).tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_channel_that_changed_is_ranked_first_and_equal_ones_are_exactly_equal(embedder, tmp_path) -> None:
    sides = []
    for name, changed in (("base", None), ("dogs", 5)):
        paths = write(tmp_path / name, np.random.default_rng(0), changed)
        embed_files(embedder, paths, tmp_path / f"{name}.npz")
        sides.append((paths[: len(CHANNELS)], str(tmp_path / f"{name}.npz")))
    pictures, files = zip(*sides, strict=True)
    table = compare_files(embedder, pictures, files, [set(), set()], model="dogs", layer="layer4").set_index("channel")
    assert (table.loc[[2, 10], ["cosine", "paired_similarity", "first_similarity"]] == 1).all(axis=None)
    assert (table.loc[[2, 10], "visual_change"] == 0).all()
    assert table.loc[5, "paired_similarity"] < 1
    assert table.loc[5, "first_similarity"] == pytest.approx(table.loc[5, "cosine"], abs=1e-5)
    ranking, summary = rank_layers([table.reset_index()])
    assert {"q_visual", "q_excess", "rank"} <= set(ranking)
    assert summary[["layer", "test"]].values.tolist() == [
        [layer, test] for layer in ("layer4", "all") for test in ("visual", "excess")
    ]
    meanings = yaml.safe_load(describe_columns())
    assert set(ranking) <= set(meanings)


def test_bad_pictures_are_found_by_network_and_seed(tmp_path) -> None:
    rows = [("base", "layer4", 3, 0), ("dogs", "layer4", 3, 1), ("dogs", "layer3", 7, 0)]
    pd.DataFrame(rows, columns=["model", "layer", "channel", "seed"]).to_csv(tmp_path / "bad.csv", index=False)
    assert bad_pictures(str(tmp_path / "bad.csv"), "layer4", ["base", "dogs"]) == [{(3, 0)}, {(3, 1)}]


def test_bad_pictures_of_other_channels_are_passed_over() -> None:
    embeddings = np.ones((2, 2, 3))
    cleared = without_bad(np.array([3, 7]), np.array([0, 1]), embeddings, [(7, 1), (5, 0), (9, 1)])
    assert np.isnan(cleared).all(2).tolist() == [[False, False], [False, True]]
    assert (embeddings == 1).all()


def test_what_pictures_and_units_say_is_joined_and_corrected_over_all_layers(tmp_path) -> None:
    random, tables = np.random.default_rng(0), []
    for layer in ("layer3", "layer4"):
        table = pd.DataFrame({"model": "dogs", "layer": layer, "channel": range(12), "excess": random.normal(size=12)})
        table["p_excess"] = random.random(12)
        units = pd.DataFrame({"layer": layer, "channel": range(12), "response_excess": random.normal(size=12)})
        units["p_response"], units["frozen"] = random.random(12), False
        units.loc[7, "response_excess"] = table.loc[7, "excess"] = 40
        units.to_csv(tmp_path / f"{layer}.csv", index=False)
        tables.append(join_units(table, str(tmp_path / f"{layer}.csv")))
    assert set(tables[0]["joined_parts"]) == {"excess + response_excess"}
    ranking, summary = rank_layers(tables)
    assert ranking["channel"].tolist()[:2] == [7, 7]
    assert (ranking["q_joined"] <= 0.05).sum() == 2
    assert summary.set_index(["layer", "test"])["changed"][("all", "joined")] == 2
    assert set(ranking) <= set(yaml.safe_load(describe_columns()))


def test_pictures_that_move_as_far_as_answers_agree_with_them() -> None:
    change = np.arange(12) / 12
    ranking = pd.DataFrame({"model": "dogs", "layer": "layer4", "channel": range(12), "correlation": 1 - change})
    ranking["visual_change"], ranking["excess"] = change**3, -change
    table = visual_and_functional(ranking, 0).set_index("first")
    assert table["spearman"].to_dict() == pytest.approx({"visual_change": 1, "excess": -1})
    assert set(table["second"]) == {"1 - correlation"}


@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_embeddings_that_were_cut_off_are_to_be_deleted(embedder, tmp_path, left: float) -> None:
    embed_files(embedder, write(tmp_path, np.random.default_rng(0)), tmp_path / "a.npz")
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: int(left * len(data))])
    with pytest.raises(InputError, match=r"a\.npz .*delete it and run again"):
        load_embeddings(tmp_path / "a.npz", set())
