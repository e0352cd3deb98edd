"""One table of what channels do differently, and the probe images that it rests on."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from workflow.conftest import draw_pictures

from feature_vis.images.png import write_picture
from featurediff.data.split import make_split, write_split
from featurediff.measures.channels import (
    COLUMNS,
    measure_channels,
    probe_images,
    show_probe_images,
    write_photo_responses,
)
from featurediff.measures.photo_responses import PhotoResponses
from featurediff.rendering.paths import picture_paths
from featurediff.statistics.unchanged import FrozenLayerChanged

LAYERS = ("layer3.1", "layer4.1")
BESIDE = ("selectivity", "layers", "top_images")


@pytest.fixture(scope="module")
def tuned(base) -> nn.Module:
    """The base with another filter for channel 1 of layer4.1."""
    changed = copy.deepcopy(base)
    with torch.no_grad():
        changed.layer4[1].conv2.weight[1] *= -1
    return changed


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[dict[str, str], dict[str, str]]:
    """Two image folders and their splits, with one name for pictures of both."""
    splits, roots = {}, {}
    for seed, name in enumerate(("first", "second")):
        root = tmp_path_factory.mktemp(name)
        draw_pictures(root, seed, ("cat", "<dog>"))
        table, _ = make_split("image_folder", root, val_fraction=0.2, seed=0)
        splits[name], roots[name] = str(root.parent / f"{name}.csv"), str(root)
        write_split(splits[name], table)
    return splits, roots


@pytest.fixture
def pictures(tmp_path) -> dict[str, tuple[list[str], list[str]]]:
    random = np.random.default_rng(1)
    found = {layer: tuple(picture_paths(tmp_path / name / layer, [1, 3], [0]) for name in "bt") for layer in LAYERS}
    for path in (path for sides in found.values() for side in sides for path in side):
        write_picture(path, random.integers(0, 255, (32, 32, 3), np.uint8), {})
    return found


def test_probe_images_are_the_validation_pictures_in_the_order_of_their_list(data) -> None:
    splits, roots = data
    images, batches = probe_images(splits, roots, 24, None)
    assert images["data"].value_counts().to_dict() == {"first": 2, "second": 2}
    assert images["image"].tolist() == list(range(4))
    shown, labels = zip(*batches, strict=True)
    assert torch.cat(shown).shape == (4, 3, 24, 24)
    assert [list(label) for batch in labels for label in batch] == images[["data", "class_name"]].values.tolist()


def test_the_channel_whose_filter_changed_stands_out_of_one_table(base, tuned, data, pictures) -> None:
    splits, roots = data
    _, responses = show_probe_images(base, tuned, LAYERS, [*splits.values()], roots=roots, size=32, resize=None, top=2)
    table = measure_channels(base, tuned, pictures, responses, "layer4.1").set_index(["layer", "channel"])
    assert set(table.reset_index()) <= set(COLUMNS)
    assert table["frozen"].tolist() == [True, True, False, False]
    changed, others = table.loc[("layer4.1", 1)], table.drop(index=("layer4.1", 1))
    assert changed["weight_change"] > 1
    assert changed["correlation"] < 0.999
    assert (others[["weight_change"]] == 0).all(axis=None)
    assert others["correlation"].dropna().to_numpy() == pytest.approx(1)
    assert table.loc["layer3.1", "base_picture_in_base"].equals(table.loc["layer3.1", "base_picture_in_tuned"])


def test_without_probe_images_the_table_says_so_and_a_frozen_layer_that_moved_stops_the_run(
    base, tuned, pictures
) -> None:
    images, responses = show_probe_images(base, tuned, LAYERS, [], roots={}, size=32, resize=None)
    assert images.empty
    table = measure_channels(base, tuned, pictures, responses, None)
    assert table["correlation"].isna().all()
    assert set(table["probe_reason"]) == {"there are no probe images"}
    assert table["weight_change"].notna().all()
    with pytest.raises(FrozenLayerChanged, match=r"layer4\.1"):
        measure_channels(base, tuned, pictures, None, "fc")


def test_tables_beside_it_are_written_and_empty_without_probe_images(tmp_path: Path) -> None:
    images = pd.DataFrame({"image": [0]})
    tables = {name: pd.DataFrame({"layer": ["layer4"], "cka": [k / 2]}) for k, name in enumerate(BESIDE)}
    write_photo_responses(tmp_path / "some", PhotoResponses(channels=images, **tables), images)
    write_photo_responses(tmp_path / "none", None, images)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "some" / f"{name}.csv"), table)
        assert (tmp_path / "none" / f"{name}.csv").read_text() == "layer\n"
    assert pd.read_csv(tmp_path / "none" / "images.csv")["image"].tolist() == [0]
