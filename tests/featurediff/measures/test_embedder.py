"""What a network's blocks and embedding are, against NumPy."""

import numpy as np
import pytest
import torch
from small_network import Net, numpy_gram
from torch import nn

from feature_vis.errors import InputError
from feature_vis.networks.models import build
from featurediff.measures.distance import cosine_similarity, gram_distance
from featurediff.measures.embedder import Embedder, find_blocks

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LINES = [f"layer{stage}.{place}" for stage, count in enumerate((3, 4, 6, 3), 1) for place in range(count)]


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


@pytest.mark.parametrize(
    ("name", "words"), [("body.9", "does not exist or is not run"), ("drop", r"puts out no \(B, C, H, W\)")]
)
def test_unusable_blocks_are_named(net: Net, name: str, words: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' of the embedding network {words}"):
        Embedder(net, blocks=["body.0", name])


def test_pictures_that_are_not_in_0_1_are_refused(net: Net) -> None:
    with pytest.raises(InputError, match="uint8"):
        Embedder(net)(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
