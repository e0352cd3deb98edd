"""The tables of responses to photographs, against NumPy on all values at once."""

import itertools
import tracemalloc
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of
from featurediff.measures.activation_statistics import Label
from featurediff.measures.photo_responses import COLUMNS, PhotoResponses, photo_responses
from featurediff.measures.receptive_fields import receptive_fields

LAYERS = ["body.1", "body.3", "head"]
Probed = tuple[nn.Module, nn.Module, Tensor, PhotoResponses]
LABELS = [Label("dogs", "pug"), Label("dogs", "akita"), Label("cars", "van"), Label("dogs", "husky")]


def network(seed: int, classes: int = 5) -> nn.Module:
    """Two convolutions with a ReLU in place each, and a linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, second = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 8, 3, padding=1)
        body = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))
        parts = {"body": body, "mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(8, classes)}
        return nn.Sequential(OrderedDict(parts))


def images(count: int, size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def batches(pictures: Tensor, sizes: list[int]) -> Iterator[tuple[Tensor, list[Label]]]:
    labels = iter(itertools.cycle(LABELS))
    for part in pictures.split(sizes):
        yield part, list(itertools.islice(labels, len(part)))


def read(net: nn.Module, layer: str, pictures: Tensor) -> np.ndarray:
    """Each map, (N, K, places), in float64."""
    with activations_of(net, [layer]) as activations, torch.no_grad():
        answer = activations(pictures)[layer].double()
    return (answer.flatten(2) if answer.dim() > 2 else answer.unsqueeze(2)).numpy()


def rows_of(table: pd.DataFrame, layer: str) -> pd.DataFrame:
    return table[table["layer"] == layer].reset_index(drop=True)


@pytest.fixture(scope="module")
def probed() -> Probed:
    base, tuned, pictures = network(1), network(2), images(23)
    return base, tuned, pictures, photo_responses(base, tuned, LAYERS, batches(pictures, [9, 1, 13]), top=4)


def test_channels_match_numpy(probed: Probed) -> None:
    base, tuned, pictures, found = probed
    for layer in LAYERS:
        before, after = (read(net, layer, pictures).mean(2) for net in (base, tuned))
        rows = rows_of(found.channels, layer)
        assert rows["channel"].tolist() == list(range(before.shape[1]))
        assert (rows["images"] == 23).all()
        expected = {
            "mean_base": before.mean(0),
            "std_tuned": after.std(0, ddof=1),
            "correlation": [np.corrcoef(x, y)[0, 1] for x, y in zip(before.T, after.T, strict=True)],
            "scale_ratio": after.std(0) / before.std(0),
            "mean_shift": (after.mean(0) - before.mean(0)) / before.std(0, ddof=1),
        }
        for name, values in expected.items():
            # the batches round their activations in float32, each in its own way
            np.testing.assert_allclose(rows[name], values, rtol=1e-5, atol=1e-6, err_msg=f"{layer} {name}")


def test_a_network_beside_itself_is_unchanged() -> None:
    net = network(1)
    found = photo_responses(net, net, LAYERS, batches(images(12), [5, 7]), top=3)
    alive = found.channels[found.channels["reason"] == ""]
    assert len(alive) > 10
    exact = {"correlation": 1, "scale_ratio": 1, "mean_shift": 0, "top_overlap": 1}
    assert (alive[list(exact)] == list(exact.values())).all(axis=None)
    np.testing.assert_allclose(found.layers[["cka", "cka_biased"]], 1, rtol=1e-12)


def test_selectivity_is_of_each_task(probed: Probed) -> None:
    _, tuned, pictures, found = probed
    rows = rows_of(found.selectivity, "body.3")
    assert rows["task"].unique().tolist() == ["cars", "dogs"]
    cars, dogs = (rows[rows["task"] == task].set_index("channel") for task in ("cars", "dogs"))
    assert cars["selectivity_base"].isna().all()
    assert cars["reason"].str.contains("one class only").all()
    activations = read(tuned, "body.3", pictures).mean(2)
    means = {label.class_name: activations[place::4].mean(0) for place, label in enumerate(LABELS)}
    for channel in dogs.index[dogs["reason"] == ""]:
        *others, (largest, best) = sorted((means[name][channel], name) for name in ("akita", "husky", "pug"))
        rest = np.mean([value for value, _ in others])
        assert dogs["class_tuned"][channel] == best
        assert dogs["selectivity_tuned"][channel] == pytest.approx((largest - rest) / (largest + rest), rel=1e-5)
    assert (dogs["reason"] == "").sum() >= 4
    negative = rows_of(found.selectivity, "head")
    assert negative["reason"].str.contains("negative class means").any()


def test_top_images_stand_at_the_maximum_of_their_map(probed: Probed) -> None:
    base, tuned, pictures, found = probed
    rows = rows_of(found.top_images, "body.3")
    fields = receptive_fields(base, ["body.3"], (16, 16))["body.3"]
    assert len(rows) == 8 * 2 * 4
    for row in rows.itertuples():
        maps = read(base if row.network == "base" else tuned, "body.3", pictures)[row.image, row.channel]
        place = row.row * 7 + row.column  # 16 px, stride 2, no padding: 7 x 7
        np.testing.assert_allclose([row.activation, row.maximum], [maps.mean(), maps.max()], rtol=1e-5)
        np.testing.assert_allclose(maps[place], maps.max(), rtol=1e-5)
        assert [row.left, row.top, row.right, row.bottom] == fields[row.channel, place].tolist()
    rows = rows_of(found.top_images, "head")  # a layer without a map has no place in it
    assert rows["row"].isna().all()
    assert (rows[["left", "top", "right", "bottom"]] == [0, 0, 15, 15]).all(axis=None)  # 7 strides of 2 from 3 px


def test_batches_change_nothing_and_without_patches_only_the_corners_are_empty(probed: Probed) -> None:
    base, tuned, pictures, full = probed
    found = photo_responses(base, tuned, LAYERS, batches(pictures, [2, 20, 1]), top=4, patches=False)
    corners = ["left", "top", "right", "bottom"]
    assert found.top_images[corners].isna().all(axis=None)
    tables = [vars(one) | {"top_images": one.top_images.drop(columns=corners)} for one in (found, full)]
    for name in tables[0]:  # a picture's own activation depends on the batch it is in, by float32's rounding
        pd.testing.assert_frame_equal(tables[0][name], tables[1][name], rtol=1e-5, atol=1e-6)
    assert {name for table in vars(full).values() for name in table} == set(COLUMNS)
    assert not [m for net in (base, tuned) for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]


def test_dead_and_broken_channels_are_nan_with_a_reason() -> None:
    base, tuned = network(1), network(1)
    before, after = base.body[0], tuned.body[0]
    with torch.no_grad():
        before.weight[0], before.bias[0] = 0, 0.3
        after.weight[1], after.bias[1] = 1e-7 * after.weight[1], 1  # what is left of the filter is rounding
        after.weight[2] = torch.nan
    found = photo_responses(base, tuned, ["body.1"], batches(images(9), [4, 5]), top=2)
    rows = found.channels
    where = ["constant in the base; top images tie with others", "constant in the tuned network"]
    assert rows["reason"].tolist() == [*where, "not finite in the tuned network", "", "", ""]
    assert rows.loc[[0, 2], ["correlation", "scale_ratio", "mean_shift", "top_overlap"]].isna().all(axis=None)
    assert 0 < rows.loc[1, "scale_ratio"] < 1e-5
    np.testing.assert_equal(rows.loc[1:, "correlation"].tolist(), [np.nan, np.nan, 1, 1, 1])
    assert found.layers.loc[0, ["cka", "cka_biased"]].isna().all()
    assert found.layers.loc[0, "reason"] == "not finite"
    tied = found.top_images.query("channel == 0 and network == 'base'")
    assert tied["image"].tolist() == [0, 1]
    assert tied["tied"].all()
    assert found.top_images.query("channel == 2")["network"].tolist() == ["base"] * 2
    few = photo_responses(network(1), network(2), ["body.1"], batches(images(2), [2]), top=2)
    assert few.channels[["correlation", "scale_ratio", "top_overlap"]].isna().all(axis=None)
    assert few.channels["reason"].str.startswith("fewer than 3 probe images").all()
    assert few.layers.loc[0, "reason"] == "fewer than 4 probe images"


def test_bad_input_is_refused() -> None:
    net, (pictures, labels) = network(1), next(batches(images(4), [4]))
    for words, layers, given in [
        ("no probe images", LAYERS, []),
        ("no layers", [], [(pictures, labels)]),
        (r"no layer .body\.l.", ["body.l"], [(pictures, labels)]),
        ("16×16 and 12×12", LAYERS, [(pictures, labels), (images(2, 12), labels[:2])]),
        ("3 labels", LAYERS, [(pictures, labels[:3])]),
        ("uint8", LAYERS, [(pictures.byte(), labels)]),
    ]:
        with pytest.raises(InputError, match=words):
            photo_responses(net, net, layers, given)
    with pytest.raises(InputError, match=r"head differs .*\(5,\) and \(6,\)"):
        photo_responses(net, network(1, classes=6), LAYERS, [(pictures, labels)])
    with pytest.raises(InputError, match="at least 1, not 0"):
        photo_responses(net, net, LAYERS, [(pictures, labels)], top=0)


def test_memory_grows_by_the_means_alone() -> None:
    net, peaks = network(1), []
    for count in (4, 20, 60):  # the first loads what is loaded once
        tracemalloc.start()
        stream = ((images(8, seed=number), LABELS * 2) for number in range(count))
        photo_responses(net, net, LAYERS, stream, patches=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 320 more images: their means are 2 * 19 float64 each, 97 kB in all; their maps would be 1.7 MB in float32
    assert peaks[2] - peaks[1] < 300_000
