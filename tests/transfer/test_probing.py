"""Streamed measures against NumPy on all values at once, and receptive fields against changed pixels."""

import gc
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from feature_vis.activations import activations_of
from feature_vis.errors import InputError
from feature_vis.models import build
from transfer.probing import (
    COLUMNS,
    ClassMeans,
    Label,
    LinearCka,
    Moments,
    Probing,
    TopImages,
    class_selectivity,
    crop,
    probe,
    receptive_fields,
)

LAYERS = ["body.1", "body.3", "head"]
LABELS = [Label("dogs", "pug"), Label("dogs", "akita"), Label("cars", "van"), Label("dogs", "husky")]


class Net(nn.Module):
    """Two convolutions with a ReLU in place each, and a linear layer."""

    def __init__(self, seed: int, classes: int = 5) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            convolutions = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 8, 3, padding=1)
            self.body = nn.Sequential(convolutions[0], nn.ReLU(inplace=True), convolutions[1], nn.ReLU(inplace=True))
            self.head = nn.Linear(8, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.body(pictures).mean((2, 3)))


def images(count: int, size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def batches(pictures: Tensor, sizes: list[int]) -> Iterator[tuple[Tensor, list[Label]]]:
    labels = [LABELS[number % len(LABELS)] for number in range(len(pictures))]
    start = 0
    for size in sizes:
        yield pictures[start : start + size], labels[start : start + size]
        start += size


def read(net: nn.Module, layer: str, pictures: Tensor) -> np.ndarray:
    """Each map, (N, K, places), in float64."""
    with activations_of(net, [layer]) as activations, torch.no_grad():
        answer = activations(pictures)[layer].double()
    return (answer.flatten(2) if answer.dim() > 2 else answer.unsqueeze(2)).numpy()


def rows_of(table: pd.DataFrame, layer: str) -> pd.DataFrame:
    return table[table["layer"] == layer].reset_index(drop=True)


@pytest.fixture(scope="module")
def probed() -> tuple[Net, Net, Tensor, Probing]:
    base, tuned, pictures = Net(1), Net(2), images(23)
    return base, tuned, pictures, probe(base, tuned, LAYERS, batches(pictures, [9, 1, 13]), top=4)


def test_channels_match_numpy(probed: tuple[Net, Net, Tensor, Probing]) -> None:
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


def test_batches_change_nothing(probed: tuple[Net, Net, Tensor, Probing]) -> None:
    base, tuned, pictures, found = probed
    other = probe(base, tuned, LAYERS, batches(pictures, [2, 20, 1]), top=4)
    for name in ("channels", "selectivity", "layers", "top_images"):
        # a picture's own activation depends on the batch it is in, by float32's rounding
        pd.testing.assert_frame_equal(getattr(found, name), getattr(other, name), rtol=1e-5, atol=1e-6)


def test_a_network_beside_itself_is_unchanged() -> None:
    net = Net(1)
    found = probe(net, net, LAYERS, batches(images(12), [5, 7]), top=3)
    alive = found.channels[found.channels["reason"] == ""]
    assert len(alive) > 10
    assert (alive["correlation"] == 1).all()
    assert (alive["scale_ratio"] == 1).all()
    assert (alive["mean_shift"] == 0).all()
    assert (alive["top_overlap"] == 1).all()
    np.testing.assert_allclose(found.layers[["cka", "cka_biased"]], 1, rtol=1e-12)


def test_columns_are_all_explained(probed: tuple[Net, Net, Tensor, Probing]) -> None:
    found = probed[3]
    tables = (found.channels, found.selectivity, found.layers, found.top_images)
    assert {name for table in tables for name in table} == set(COLUMNS)


def test_hooks_are_gone(probed: tuple[Net, Net, Tensor, Probing]) -> None:
    assert not [m for net in probed[:2] for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]


# The streamed sums.


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 7), min_size=2, max_size=6), st.sampled_from([0.0, 1e6]))
def test_moments_match_numpy_however_they_are_batched(seed: int, sizes: list[int], offset: float) -> None:
    values = np.random.default_rng(seed).normal(size=(2, sum(sizes) + 3, 4)) + offset
    moments = Moments(4)
    for part in np.split(values, np.cumsum(sizes), axis=1):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, values.mean(1), rtol=1e-12, atol=1e-12)
    # a running sum of squares would keep 4 digits of a variance of 1 beside a mean of 1e6
    np.testing.assert_allclose(moments.std(), values.std(1, ddof=1), rtol=1e-9)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(values[0].T, values[1].T, strict=True)]
    np.testing.assert_allclose(moments.correlation(), expected, rtol=1e-8, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-20, 1e20))
def test_equal_numbers_have_a_correlation_of_exactly_one(seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(size=(1, 9, 5)) * scale
    moments = Moments(5)
    for part in np.split(np.concatenate([values, values]), [4], axis=1):
        moments.add(part)
    assert moments.correlation().tolist() == [1.0] * 5


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, in the form of kernels: centred Gram matrices of the images."""
    centring = np.eye(len(x)) - 1 / len(x)
    k, m = (centring @ (rows @ rows.T) @ centring for rows in (x, y))
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


def unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 4, as it is defined: a mean over all quadruples of different images."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    total, count = 0.0, 0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
                        count += 1
    return total / count


def cka_of(x: np.ndarray, y: np.ndarray, sizes: list[int]) -> LinearCka:
    cka = LinearCka(x.shape[1])
    for part in np.split(np.stack([x, y]), np.cumsum(sizes), axis=1):
        cka.add(part)
    return cka


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_cka_matches_the_kernels(offset: float) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(9, 4)) + offset
    y = x @ rng.normal(size=(4, 4)) + rng.normal(size=(9, 4))
    cka = cka_of(x, y, [1, 3])
    around = x - x.mean(0), y - y.mean(0)  # no kernel form keeps its digits far from 0
    both = [unbiased_hsic(*pair) for pair in (around, (around[0], around[0]), (around[1], around[1]))]
    expected = both[0] / np.sqrt(both[1] * both[2])
    np.testing.assert_allclose(cka.biased(), biased_cka(*around), rtol=1e-9)
    np.testing.assert_allclose(cka.unbiased(), expected, rtol=1e-6)


def test_cka_is_blind_to_rotation_and_scale() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(30, 6))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    cka = cka_of(x, 3 * x @ rotation + 7, [11])
    np.testing.assert_allclose([cka.biased(), cka.unbiased()], 1, rtol=1e-10)


def test_only_the_unbiased_cka_of_unrelated_layers_is_near_zero() -> None:
    rng = np.random.default_rng(7)
    found = [cka_of(*rng.normal(size=(2, 20, 200)), []) for _ in range(20)]
    assert np.mean([cka.biased() for cka in found]) > 0.8
    assert abs(np.mean([cka.unbiased() for cka in found])) < 0.03


def test_class_means_match_numpy() -> None:
    values = np.random.default_rng(8).normal(size=(2, 20, 3))
    labels = [LABELS[number % 4] for number in range(20)]
    means = ClassMeans()
    for start, end in ((0, 7), (7, 8), (8, 20)):
        means.add(values[:, start:end], labels[start:end])
    names, found = means.of_task("dogs")
    assert names == ["akita", "husky", "pug"]
    for name, rows in zip(names, found, strict=True):
        picked = [number for number, label in enumerate(labels) if label.class_name == name]
        np.testing.assert_allclose(rows, values[:, picked].mean(1), rtol=1e-12)


def test_class_selectivity_by_hand() -> None:
    means = np.array([[1.0, 0.0, 2.0, 0.0, -1.0], [0.5, 3.0, 2.0, 0.0, 2.0], [0.0, 0.0, 2.0, 0.0, 1.0]])
    index, best = class_selectivity(means)
    # (1 - 0.25) / (1 + 0.25); one class alone; all alike; never active; below 0
    np.testing.assert_allclose(index, [0.6, 1, 0, np.nan, np.nan])
    assert best[:3].tolist() == [0, 1, 0]
    assert np.isnan(class_selectivity(means[:1])[0]).all()


def test_selectivity_is_of_each_task(probed: tuple[Net, Net, Tensor, Probing]) -> None:
    _, tuned, pictures, found = probed
    rows = rows_of(found.selectivity, "body.3")
    assert rows["task"].unique().tolist() == ["cars", "dogs"]
    cars, dogs = (rows[rows["task"] == task].set_index("channel") for task in ("cars", "dogs"))
    assert cars["selectivity_base"].isna().all()
    assert cars["reason"].str.contains("one class only").all()
    activations = read(tuned, "body.3", pictures).mean(2)
    means = {label.class_name: activations[place::4].mean(0) for place, label in enumerate(LABELS)}
    for channel in dogs.index[dogs["reason"] == ""]:
        of_channel = {name: means[name][channel] for name in ("akita", "husky", "pug")}
        best = max(of_channel, key=of_channel.__getitem__)
        rest = np.mean([value for name, value in of_channel.items() if name != best])
        assert dogs["class_tuned"][channel] == best
        expected = (of_channel[best] - rest) / (of_channel[best] + rest)
        np.testing.assert_allclose(dogs["selectivity_tuned"][channel], expected, rtol=1e-5)
    assert (dogs["reason"] == "").sum() >= 4
    negative = rows_of(found.selectivity, "head")
    assert negative["reason"].str.contains("negative class means").any()


# Top images.


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 5))
def test_top_images_match_a_sort_of_all(seed: int, sizes: list[int], top: int) -> None:
    rng = np.random.default_rng(seed)
    count = sum(sizes)
    activation = rng.integers(0, 5, size=(2, count, 3)).astype(float)  # many ties
    maximum, place = rng.normal(size=activation.shape), rng.integers(0, 99, size=activation.shape)
    lists = TopImages(3, top)
    for part in np.split(np.arange(count), np.cumsum(sizes)[:-1]):
        lists.add(activation[:, part], maximum[:, part], place[:, part], part)
    for side in range(2):
        for channel in range(3):
            order = sorted(range(count), key=lambda image: (-activation[side, image, channel], image))
            wanted, left_out = order[:top], order[top:]
            got = lists.image[side, channel, : len(wanted)]
            assert got.tolist() == wanted
            assert (lists.image[side, channel, len(wanted) : top] == -1).all()
            np.testing.assert_array_equal(lists.maximum[side, channel, : len(wanted)], maximum[side, wanted, channel])
            np.testing.assert_array_equal(lists.place[side, channel, : len(wanted)], place[side, wanted, channel])
            values = activation[side, :, channel]
            ties = [bool(left_out) and values[image] == values[left_out[0]] for image in wanted]
            assert lists.tied()[side, channel, : len(wanted)].tolist() == ties
    expected = [
        len(set(a[a >= 0]) & set(b[b >= 0])) / len(set(a[a >= 0]) | set(b[b >= 0]))
        for a, b in zip(*lists.image[:, :, :top], strict=True)
    ]
    np.testing.assert_allclose(lists.overlap(), expected)


def test_top_images_stand_at_the_maximum_of_their_map(probed: tuple[Net, Net, Tensor, Probing]) -> None:
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


def test_where_no_fields_are_given_only_the_corners_are_empty(probed: tuple[Net, Net, Tensor, Probing]) -> None:
    base, tuned, pictures, full = probed
    found = probe(base, tuned, LAYERS, batches(pictures, [7, 60]), top=4, fields={})
    corners = ["left", "top", "right", "bottom"]
    assert found.top_images[corners].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.top_images.drop(columns=corners), full.top_images.drop(columns=corners))
    pd.testing.assert_frame_equal(found.channels, full.channels)


def test_a_layer_without_a_map_has_no_place_in_it(probed: tuple[Net, Net, Tensor, Probing]) -> None:
    rows = rows_of(probed[3].top_images, "head")
    assert rows["row"].isna().all()
    assert (rows[["left", "top", "right", "bottom"]] == [0, 0, 15, 15]).all(axis=None)  # 7 strides of 2 from 3 px


# What cannot be measured.


def test_dead_and_broken_channels_are_nan_with_a_reason() -> None:
    base, tuned = Net(1), Net(1)
    with torch.no_grad():
        base.body[0].weight[0] = 0
        base.body[0].bias[0] = 0.3
        tuned.body[0].weight[1] *= 1e-7  # what is left of it is rounding
        tuned.body[0].bias[1] = 1
        tuned.body[0].weight[2] = torch.nan
    found = probe(base, tuned, ["body.1"], batches(images(9), [4, 5]), top=2)
    rows = found.channels
    assert rows["reason"][:3].tolist() == [
        "constant in the base; top images tie with others",
        "constant in the tuned network",
        "not finite in the tuned network",
    ]
    assert rows.loc[0, ["correlation", "scale_ratio", "mean_shift", "top_overlap"]].isna().all()
    assert np.isnan(rows.loc[1, "correlation"])
    assert 0 < rows.loc[1, "scale_ratio"] < 1e-5
    assert rows.loc[2, ["correlation", "scale_ratio", "mean_shift", "top_overlap"]].isna().all()
    assert (rows["reason"][3:] == "").all()
    assert rows.loc[3:, "correlation"].tolist() == [1.0] * 3
    assert found.layers.loc[0, ["cka", "cka_biased"]].isna().all()
    assert found.layers.loc[0, "reason"] == "not finite"
    tied = found.top_images.query("channel == 0 and network == 'base'")
    assert tied["image"].tolist() == [0, 1]
    assert tied["tied"].all()
    assert found.top_images.query("channel == 2")["network"].tolist() == ["base"] * 2


def test_too_few_images_say_so() -> None:
    found = probe(Net(1), Net(2), ["body.1"], batches(images(2), [2]), top=2)
    assert found.channels[["correlation", "scale_ratio", "top_overlap"]].isna().all(axis=None)
    assert found.channels["reason"].str.startswith("fewer than 3 probe images").all()
    assert found.layers.loc[0, "reason"] == "fewer than 4 probe images"


def test_bad_input_is_refused() -> None:
    net = Net(1)
    some = list(batches(images(4), [4]))
    with pytest.raises(InputError, match="no probe images"):
        probe(net, net, LAYERS, [])
    with pytest.raises(InputError, match="no layers"):
        probe(net, net, [], some)
    with pytest.raises(InputError, match=r"body\.1"):
        probe(net, net, ["body.l"], some)
    with pytest.raises(InputError, match="16×16 and 12×12"):
        probe(net, net, LAYERS, [*some, *batches(images(2, 12), [2])])
    with pytest.raises(InputError, match="3 labels"):
        probe(net, net, LAYERS, [(some[0][0], some[0][1][:3])])
    with pytest.raises(InputError, match="uint8"):
        probe(net, net, LAYERS, [(some[0][0].byte(), some[0][1])])
    with pytest.raises(InputError, match=r"head differs .*\(5,\) and \(6,\)"):
        probe(net, Net(1, classes=6), LAYERS, some)


def test_memory_does_not_grow_with_the_images() -> None:
    net = Net(1)
    fields = receptive_fields(net, LAYERS, (16, 16))

    def peak(count: int) -> int:
        def stream() -> Iterator[tuple[Tensor, list[Label]]]:
            for number in range(count):
                gc.collect()  # what only waits to be freed does not count
                yield images(8, seed=number), LABELS * 2

        tracemalloc.start()
        probe(net, net, LAYERS, stream(), fields=fields)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(4)  # what is loaded once
    gc.freeze()  # else each collection looks at all of torch again
    try:
        # The least of three: what another thread of this process takes meanwhile is no growth.
        few, many = (min(peak(count) for _ in range(3)) for count in (20, 60))
    finally:
        gc.unfreeze()
    # 320 more images, whose means alone, if kept, would be 19 * 2 * 8 bytes each: 97 kB
    assert many - few < 5_000


# Receptive fields.


class Odd(nn.Module):
    """Unequal strides and paddings, dilation, a maximum, and branches that see parts of unlike size."""

    def __init__(self, slope: float = 0) -> None:
        super().__init__()
        self.relu = nn.LeakyReLU(slope)  # a ReLU where the slope is 0
        self.first = nn.Conv2d(3, 3, (3, 2), stride=(1, 2), padding=(4, 0))
        self.pool = nn.MaxPool2d(2, stride=1, ceil_mode=True)
        self.wide = nn.Conv2d(3, 2, 3, dilation=2, padding=2)
        self.narrow = nn.Conv2d(3, 2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.pool(self.relu(self.first(pictures)))
        return self.relu(torch.cat([self.wide(maps), self.narrow(maps)], 1))


def changed_units(net: nn.Module, size: tuple[int, int]) -> np.ndarray:
    """Whether a unit reacts to any of many changes of a pixel, (K, places, H, W)."""
    height, width = size
    generator = torch.Generator().manual_seed(0)
    seen = None
    with torch.no_grad():
        for _ in range(40):  # what one picture hides behind a maximum, another one shows
            picture = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)
            changed = picture.repeat(height * width, 1, 1, 1)
            for pixel in range(height * width):
                row, column = divmod(pixel, width)
                changed[pixel, :, row, column] += 5 * torch.randn(3, generator=generator, dtype=torch.float64)
            maps = (net(changed) != net(picture)).flatten(2)  # (pixels, K, places)
            seen = maps if seen is None else seen | maps
    return seen.permute(1, 2, 0).reshape(*seen.shape[1:], height, width).numpy()


def test_receptive_fields_are_the_pixels_that_matter() -> None:
    size = (9, 12)
    boxes = receptive_fields(Odd(), [""], size, batch=5)[""]  # closed ReLUs included
    seen = changed_units(Odd(slope=0.3).double(), size)
    assert boxes.shape[:2] == seen.shape[:2]
    empty = 0
    for box, pixels in zip(boxes.reshape(-1, 4), seen.reshape(-1, *size), strict=True):
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        if not len(rows):
            empty += 1
            assert box.tolist() == [0, 0, 0, 0]
            continue
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert 0 < empty < 50  # padding above and below the picture is all that some units see
    assert len(np.unique(boxes[:, boxes.shape[1] // 2], axis=0)) == 2  # the two branches


def test_receptive_fields_of_a_resnet_follow_the_formula() -> None:
    # Araujo et al. 2019: 7 (stride 2), 3 (stride 2), then twice 3 -> 7 + 2 * 2 + 2 * 4 * 2 = 27 px, 4 px apart
    boxes = receptive_fields(build("resnet18"), ["conv1", "layer1.0"], (64, 64))
    assert (boxes["layer1.0"] == boxes["layer1.0"][:1]).all()
    middle = boxes["layer1.0"][0].reshape(16, 16, 4)[5:10, 5:10]
    assert (middle[..., 2] - middle[..., 0] == 27).all()
    assert (middle[..., 3] - middle[..., 1] == 27).all()
    assert (np.diff(middle[..., 0], axis=1) == 4).all()
    assert (np.diff(middle[..., 1], axis=0) == 4).all()
    assert boxes["conv1"][0, 0].tolist() == [0, 0, 4, 4]  # 7 px around the first, clipped


def test_a_gate_over_the_whole_map_sees_the_whole_picture() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Conv2d(3, 2, 1)

        def forward(self, pictures: Tensor) -> Tensor:
            maps = self.filter(pictures)
            return maps * maps.mean((2, 3), keepdim=True).sigmoid()

    assert (receptive_fields(Gated(), [""], (6, 8))[""] == [0, 0, 8, 6]).all()
    one_pixel = receptive_fields(Gated(), ["filter"], (6, 8))["filter"][0, 8 * 2 + 3]
    assert one_pixel.tolist() == [3, 2, 4, 3]


def test_measuring_fields_leaves_the_network_alone() -> None:
    net = Odd().train()
    receptive_fields(net, [""], (9, 12))
    assert net.training
    assert net.first.weight.dtype == torch.float32
    assert not [module for module in net.modules() if module._forward_hooks]


def test_crop_is_the_patch_in_the_box() -> None:
    picture = np.arange(5 * 7 * 3).reshape(5, 7, 3)
    np.testing.assert_array_equal(crop(picture, (2, 1, 6, 4)), picture[1:4, 2:6])
    for box in ((0, 0, 8, 5), (3, 0, 3, 5), (-1, 0, 3, 5), (0, 0, 0, 0)):
        with pytest.raises(InputError, match="7×5"):
            crop(picture, box)
