"""Distances between pictures against NumPy, and what a network's blocks and embedding are."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.models import build
from transfer.distance import (
    Embedder,
    compare_layer,
    compare_pictures,
    cosine_similarity,
    find_blocks,
    gram_distance,
    gram_matrix,
    most_different,
    most_similar,
    pair_picture,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LINES = [f"layer{stage}.{place}" for stage, count in enumerate((3, 4, 6, 3), 1) for place in range(count)]


class Block(nn.Module):
    """A convolution with a ReLU in place, and a bare container inside."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU(inplace=True))

    def forward(self, maps: Tensor) -> Tensor:
        return self.parts(maps)


class Net(nn.Module):
    """Two blocks in a container; a ReLU in place overwrites what each block put out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(3, 4), nn.Hardtanh(0.0, 0.1, inplace=True), Block(4, 5))
        self.drop = nn.Dropout(0.9)
        self.head = nn.Linear(5, 7)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.body(pictures)
        return self.head(self.drop(nn.functional.relu_(maps - 0.01).mean((2, 3))))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(3)
    return Net()


def pictures(count: int, size: int = 16, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)]


def numpy_gram(maps: np.ndarray) -> np.ndarray:
    channels, height, width = maps.shape
    gram = np.zeros((channels, channels))
    for row in range(channels):
        for column in range(channels):
            gram[row, column] = (maps[row] * maps[column]).sum() / (channels * height * width)
    return gram


def test_cosine_matches_numpy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 9)), rng.normal(size=(6, 9))
    expected = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosine_similarity(torch.tensor(a), torch.tensor(b)), expected, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-30, 1e30))
def test_cosine_is_exactly_one_for_equal_rows_and_blind_to_length(seed: int, factor: float) -> None:
    a = torch.randn(3, 17, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert cosine_similarity(a, a.clone()).tolist() == [1.0] * 3
    torch.testing.assert_close(cosine_similarity(a, factor * a), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(cosine_similarity(a, -factor * a), -torch.ones(3, dtype=torch.float64))


def test_cosine_of_a_zero_vector_is_nan() -> None:
    values = cosine_similarity(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    assert torch.isnan(values[0])
    assert values[1] == 0


def test_gram_matrix_matches_numpy() -> None:
    maps = np.random.default_rng(2).normal(size=(2, 3, 4, 5))
    grams = gram_matrix(torch.tensor(maps))
    assert grams.shape == (2, 3, 3)
    for gram, single in zip(grams, maps, strict=True):
        np.testing.assert_allclose(gram, numpy_gram(single), rtol=1e-12)


def test_gram_matrix_forgets_places() -> None:
    maps = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    shuffled = maps.flatten(2)[..., order].view_as(maps)
    torch.testing.assert_close(gram_matrix(maps), gram_matrix(shuffled))
    torch.testing.assert_close(gram_matrix(maps), gram_matrix(torch.cat([maps, maps], 3)))  # a map twice as wide


def test_gram_distance_is_the_frobenius_norm() -> None:
    a, b = np.random.default_rng(4).normal(size=(2, 3, 6, 6))
    expected = [np.sqrt(((x - y) ** 2).sum()) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(gram_distance(torch.tensor(a), torch.tensor(b)), expected)


def test_blocks_of_resnet50_are_its_bottlenecks() -> None:
    with torch.device("meta"):
        model = build("resnet50")
    assert find_blocks(model, torch.empty(1, 3, 64, 64, device="meta")) == LINES


def test_blocks_of_vgg_are_its_convolutions() -> None:
    with torch.device("meta"):
        model = build("vgg11")
    expected = [f"features.{place}" for place in (0, 3, 6, 8, 11, 13, 16, 18)]
    assert find_blocks(model, torch.empty(1, 3, 64, 64, device="meta")) == expected


def test_blocks_with_an_empty_container_among_their_parts_count() -> None:
    # the units of ShuffleNet after each stage's first have a branch of no layers
    with torch.device("meta"):
        model = build("shufflenet_v2_x0_5")
    expected = [f"stage{stage}.{place}" for stage, count in ((2, 4), (3, 8), (4, 4)) for place in range(count)]
    assert find_blocks(model, torch.empty(1, 3, 64, 64, device="meta")) == expected


def test_embedding_and_grams_match_numpy(net: Net) -> None:
    batch = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    embedder = Embedder(net, mean=MEAN, std=STD)
    assert (embedder.head, embedder.blocks) == ("head", ["body.0", "body.2"])
    embedding, grams = embedder(batch)
    with torch.no_grad():
        normalised = (batch - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        first = net.body[0](normalised)
        second = net.body[2](first.clamp(0, 0.1))
        expected = (second - 0.01).clamp(min=0).mean((2, 3))
    torch.testing.assert_close(embedding, expected)  # dropout is off
    for name, maps in (("body.0", first), ("body.2", second)):
        for gram, single in zip(grams[name], maps.double().numpy(), strict=True):
            np.testing.assert_allclose(gram, numpy_gram(single), rtol=1e-4, atol=1e-9)


def test_distances_are_those_of_embeddings_and_grams(net: Net) -> None:
    batch = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    other = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    embedder = Embedder(net)
    cosine, grams = embedder.distances(batch, other)
    (one, one_grams), (two, two_grams) = embedder(batch), embedder(other)
    torch.testing.assert_close(cosine, cosine_similarity(one, two))
    for name in embedder.blocks:
        # body.0's output is overwritten in place by the clamp after it
        torch.testing.assert_close(grams[name], gram_distance(one_grams[name], two_grams[name]))
        assert (grams[name] > 0).all()


def test_embedding_of_a_convolution_classifier_is_averaged_over_places() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    batch = torch.rand(2, 3, 8, 8)
    embedding, _ = Embedder(model, mean=(0, 0, 0), std=(1, 1, 1))(batch)
    torch.testing.assert_close(embedding, model[0](batch).mean((2, 3)))


def test_no_hooks_stay_even_after_an_error(net: Net) -> None:
    embedder = Embedder(net)
    embedder(torch.rand(1, 3, 16, 16))
    net.head = nn.Linear(9, 7)
    with pytest.raises(RuntimeError):
        embedder(torch.rand(1, 3, 16, 16))
    assert not [m for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]


@pytest.mark.parametrize("name", ["body.9", "drop"])
def test_unusable_blocks_are_named(net: Net, name: str) -> None:
    with pytest.raises(InputError, match=name):
        Embedder(net, blocks=["body.0", name])


def test_pictures_that_are_not_in_0_1_are_refused(net: Net) -> None:
    with pytest.raises(InputError, match="uint8"):
        Embedder(net)(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_the_same_picture_twice_has_no_distance(net: Net) -> None:
    rows = list(compare_pictures(Embedder(net), [(p, p.copy()) for p in pictures(5)], batch=2))
    assert rows == [{"cosine": 1.0, "gram_body.0": 0.0, "gram_body.2": 0.0}] * 5


def test_batches_change_nothing_and_sizes_may_change_on_the_way(net: Net) -> None:
    pairs = list(zip(pictures(3), pictures(3, seed=1), strict=True))
    pairs[1:1] = zip(pictures(2, 24), pictures(2, 24, seed=1), strict=True)
    embedder = Embedder(net)
    together, alone = (pd.DataFrame(compare_pictures(embedder, pairs, batch=size)) for size in (4, 1))
    assert len(together) == 5
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4)


def test_no_more_than_a_batch_is_waited_for(net: Net) -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield tuple(pictures(2, seed=taken))

    rows = compare_pictures(Embedder(net), endless(), batch=3)
    next(rows)
    assert taken <= 4


def test_two_sizes_in_a_pair_are_refused(net: Net) -> None:
    with pytest.raises(InputError, match="16×16 and 24×24"):
        list(compare_pictures(Embedder(net), [(pictures(1, 16)[0], pictures(1, 24)[0])]))


def layer_table(net: Net, **options) -> pd.DataFrame:
    channels = [9, 2, 7, 5, 0, 4]
    pairs = zip(pictures(6), pictures(6, seed=1), strict=True)
    return compare_layer(Embedder(net), pairs, model="dogs", layer="layer4.2", channels=channels, **options)


def test_layer_table_ranks_the_sound_channels(net: Net) -> None:
    table = layer_table(net, bad_base={2, 99}, bad_tuned=[2, 5])
    assert list(table.columns) == [
        *("model", "layer", "channel", "cosine", "gram_body.0", "gram_body.2", "bad_base", "bad_tuned", "rank")
    ]
    assert table["channel"].tolist() == [0, 2, 4, 5, 7, 9]
    assert table["bad_base"].tolist() == [False, True, False, False, False, False]
    assert table["bad_tuned"].tolist() == [False, True, False, True, False, False]
    assert table["rank"].isna().tolist() == [False, True, False, True, False, False]
    cosine = dict(zip(table["channel"], table["cosine"], strict=True))
    by_hand = sorted([0, 4, 7, 9], key=lambda channel: cosine[channel])
    assert table.set_index("channel")["rank"].loc[by_hand].tolist() == [1, 2, 3, 4]
    assert str(table["rank"].dtype) == "Int64"


def test_rows_stand_beside_their_channels(net: Net) -> None:
    table = layer_table(net).set_index("channel")
    rows = list(compare_pictures(Embedder(net), zip(pictures(6), pictures(6, seed=1), strict=True), batch=6))
    assert table["cosine"].loc[[9, 2, 7, 5, 0, 4]].tolist() == [row["cosine"] for row in rows]


def test_a_layer_without_channels_keeps_its_columns(net: Net) -> None:
    table = compare_layer(Embedder(net), [], model="dogs", layer="layer4.2", channels=[])
    assert len(table) == 0
    assert {"cosine", "gram_body.0", "rank", "bad_base"} <= set(table.columns)


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
    pair = np.asarray(pair_picture(Image.new("RGB", (5, 6), "red"), Image.new("RGB", (5, 6), "blue"), gap=3))
    assert pair.shape == (6, 13, 3)
    assert (pair[:, :5] == (255, 0, 0)).all()
    assert (pair[:, 5:8] == 255).all()
    assert (pair[:, 8:] == (0, 0, 255)).all()
