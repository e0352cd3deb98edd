"""An epoch of a film is measured as the network that is visualized is, and what did not change stays as it was."""

import copy
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from feature_vis.images.png import channel_of, read_picture, write_picture
from feature_vis.recipe import Recipe
from featurediff.comparison.compare import describe_columns, rank_layers
from featurediff.comparison.epochs import film_channels, film_pairs, measure_epoch, render_epoch
from featurediff.measures.activation_statistics import Label
from featurediff.measures.channels import measure_channels
from featurediff.measures.embedder import Embedder, embed_pictures
from featurediff.measures.photo_responses import photo_responses
from featurediff.rendering.paths import picture_paths
from featurediff.rendering.picture_pairs import PicturePairs
from featurediff.statistics.mmd import visual_table
from featurediff.statistics.unchanged import FrozenLayerChanged

CPU = torch.device("cpu")
SEEDS = (0, 1)
ALL = {"layer3.1": [0, 1], "layer4.1": list(range(12))}
CHOSEN = {"layer3.1": [1], "layer4.1": [7, 2, 4]}
RECIPES = {layer: {"layer": Recipe(size=32, steps=2).settings(), "channels": {}} for layer in ALL}


@pytest.fixture(scope="module")
def tuned(base: nn.Module) -> nn.Module:
    """The base with other weights in layer4.1, of channel 7 above all."""
    model = copy.deepcopy(base)
    torch.manual_seed(1)
    with torch.no_grad():
        weight = model.get_submodule("layer4.1.conv2").weight
        weight += 0.3 * weight.std() * torch.randn_like(weight)
        weight[7] = weight.std() * torch.randn_like(weight[7])
    return model


@pytest.fixture(scope="module")
def folders(base: nn.Module, tuned: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pictures of all channels in base and tuned network, by layer."""
    root = tmp_path_factory.mktemp("pictures")
    for name, model in (("base", base), ("tuned", tuned)):
        render_epoch(model, ALL, RECIPES, SEEDS, root / name, [], CPU)
    return root / "base", root / "tuned"


@pytest.fixture(scope="module")
def embedder(base: nn.Module) -> Embedder:
    return Embedder(base)


@pytest.fixture(scope="module")
def ranking(folders: tuple[Path, Path], embedder: Embedder, base: nn.Module, tuned: nn.Module) -> pd.DataFrame:
    """As of the rules that compare the network that is visualized."""
    tables = []
    for layer, channels in ALL.items():
        sides = [picture_paths(folder / layer, channels, SEEDS) for folder in folders]
        embedded = [embed_pictures(embedder, paths)[2] for paths in sides]
        visual = visual_table(*embedded, network="tuned", layer=layer, channels=channels)
        first = {layer: tuple(paths[: len(channels)] for paths in sides)}
        tables.append(visual.merge(measure_channels(base, tuned, first, None, None), on=["layer", "channel"]))
    return rank_layers(tables)[0]


def measure(base, tuned, folders, ranking, embedder, failed=(), photographs=6) -> pd.DataFrame:
    pictures = {}
    for layer, chosen in CHOSEN.items():
        sides = [picture_paths(folder / layer, sorted(chosen), SEEDS) for folder in folders]
        pictures[layer] = PicturePairs(sides[0], sides[1], failed_tuned=failed if layer == "layer4.1" else ())
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = [Label("task", str(number % 2)) for number in range(6)]
    responses = photo_responses(base, tuned, list(CHOSEN), [(images, labels)], patches=False) if photographs else None
    options = {"network": "tuned", "epoch": 3, "train_from": "layer4.1" if photographs else None}
    return measure_epoch(base, tuned, pictures, ranking, embedder, responses, **options)


def test_the_network_that_is_visualized_is_measured_as_in_its_ranking(base, tuned, folders, ranking, embedder) -> None:
    keys, table = ["layer", "channel"], measure(base, tuned, folders, ranking, embedder)
    assert set(table) <= set(yaml.safe_load(describe_columns()))
    assert (table["epoch"] == 3).all()
    assert table[keys].values.tolist() == [["layer3.1", 1], ["layer4.1", 2], ["layer4.1", 4], ["layer4.1", 7]]
    found, expected = table.set_index(keys), ranking.set_index(keys)
    measures = ["paired_similarity", "floor", "visual_change", "excess", "weight_change", "base_picture_in_tuned"]
    pd.testing.assert_frame_equal(found[measures], expected.loc[found.index, measures], rtol=1e-5)
    assert found.loc["layer4.1", "correlation"].idxmin() == found.loc["layer4.1", "weight_change"].idxmax() == 7
    assert not {"p_visual", "p_excess"} & set(table)
    assert found["frozen"].tolist() == [True, False, False, False]
    ones = ["paired_similarity", "correlation", "weight_cosine", "layer_cka", "tuned_likes_base_picture"]
    assert (found.loc["layer3.1", ones] == 1).all(axis=None)
    assert (found.loc["layer3.1", ["visual_change", "weight_change"]] == 0).all(axis=None)
    assert found.loc["layer4.1", "layer_cka"].nunique() == 1
    failed = [(4, 1), (11, 0)]  # failed pictures and missing photographs leave numbers out
    less = measure(base, tuned, folders, ranking, embedder, failed=failed, photographs=0).set_index(keys)
    row = less.loc["layer4.1", 4]
    assert row["seeds"] == 1
    assert np.isnan(row["visual_change"])
    assert "one seed" in row["reason"]
    others, names = less.index[[0, 1, 3]], ["visual_change", "paired_similarity", "weight_change"]
    pd.testing.assert_frame_equal(less.loc[others, names], found.loc[others, names])
    assert less["correlation"].isna().all()
    assert (less["probe_reason"] == "there are no probe images").all()
    drifted = copy.deepcopy(tuned)
    drifted.get_submodule("layer2.0.bn1").running_mean += 1e-6
    with pytest.raises(FrozenLayerChanged, match=r"layer3\.1"):
        measure(base, drifted, folders, ranking, embedder)


def test_the_most_changed_channels_come_first_and_those_without_a_rank_after_them() -> None:
    columns = ["layer", "channel", "rank", "paired_similarity"]
    rows = [("a", 0, 3, 0.2), ("a", 1, np.nan, 0.9), ("a", 2, 1, 0.4), ("a", 3, np.nan, 0.5), ("a", 4, np.nan, 0.9)]
    ranked = pd.DataFrame([*rows, ("b", 0, 2, 1.0)], columns=columns)
    assert film_channels(ranked, {"a": 4, "b": 1}) == {"a": [2, 0, 3, 1], "b": [0]}
    assert film_channels(ranked, {"a": 99}) == {"a": [2, 0, 3, 1, 4]}
    assert film_channels(ranked, {"a": [0, 1, 2]}) == {"a": [2, 0, 1]}


def test_pictures_with_an_equal_key_are_copied_and_the_rest_is_rendered(tuned, folders, tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO, "featurediff"):
        for _ in range(2):
            render_epoch(tuned, CHOSEN, RECIPES, SEEDS, tmp_path, [folders[0]], CPU)
    first = ["copied 2 equal pictures of other networks", "rendered 0, reused 2", "rendered 6, reused 0"]
    assert caplog.messages == [*first, "rendered 0, reused 2", "rendered 0, reused 6"]
    for path in ("layer3.1/channel1.png", "layer3.1/seed1/channel1.png"):
        assert (tmp_path / path).read_bytes() == (folders[0] / path).read_bytes()
    # rendered among other channels than there: the same up to rounding, from the same noise
    for path in ("layer4.1/channel7.png", "layer4.1/seed1/channel2.png"):
        (made, notes), (there, expected) = (read_picture(folder / path) for folder in (tmp_path, folders[1]))
        assert notes["key"] == expected["key"]
        assert np.abs(made.astype(int) - there).max() <= 1


def test_grey_pictures_of_the_epoch_are_found_and_those_of_the_base_are_known(tmp_path) -> None:
    random = np.random.default_rng(0)
    notes = {"activation_start": 0.0, "activation_reached": 1.0}
    channels = {"a": list(range(4)), "b": [3, 0]}
    for layer, numbers in channels.items():
        for path in picture_paths(tmp_path / "epoch" / layer, numbers, SEEDS):
            grey = path.endswith("a/seed1/channel2.png")
            picture = np.full((16, 16, 3), 128) if grey else random.integers(0, 255, (16, 16, 3))
            write_picture(path, picture.astype(np.uint8), {**notes, "channel": channel_of(path)})
    known = [("base", "b", 3, 0), ("tuned", "b", 0, 0), ("base", "c", 0, 0)]
    table = pd.DataFrame(known, columns=["network", "layer", "channel", "seed"])
    pairs = film_pairs(channels, SEEDS, tmp_path / "base", tmp_path / "epoch", table, ("base", "tuned"), {})
    assert {layer: found.failed_base for layer, found in pairs.items()} == {"a": set(), "b": {(3, 0)}}
    assert {layer: found.failed_tuned for layer, found in pairs.items()} == {"a": {(2, 1)}, "b": set()}
    assert pairs["b"].tuned == picture_paths(tmp_path / "epoch" / "b", [0, 3], SEEDS)
    assert pairs["b"].first_seeds[0] == picture_paths(tmp_path / "base" / "b", [0, 3], [0])
