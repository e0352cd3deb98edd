"""What a network's blocks and embedding are, against NumPy."""

import numpy as np
import pytest
import torch
from small_network import Net, numpy_gram
from torch import nn

from feature_vis.errors import InputError
from feature_vis.images.colors import normalize
from feature_vis.networks.models import build
from featurediff.measures.distance import cosine_similarity, gram_distance
from featurediff.measures.embedder import Embedder


def numbered(stages: str, *counts: int, first: int = 1) -> list[str]:
    return [f"{stages}{stage}.{place}" for stage, count in enumerate(counts, first) for place in range(count)]


@pytest.mark.parametrize(
    ("architecture", "blocks"),
    [
        ("resnet50", numbered("layer", 3, 4, 6, 3)),
        ("vgg11", [f"features.{place}" for place in (0, 3, 6, 8, 11, 13, 16, 18)]),  # its convolutions
        ("shufflenet_v2_x0_5", numbered("stage", 4, 8, 4, first=2)),  # most of them have a branch of no layers
    ],
)
def test_blocks(architecture: str, blocks: list[str]) -> None:
    with torch.device("meta"):
        model = build(architecture)
    assert Embedder(model).blocks == blocks


def test_embedding_and_grams_match_numpy(net: Net) -> None:
    batch = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    embedder = Embedder(net)
    assert (embedder.head, embedder.blocks) == ("head", ["body.0", "body.2"])
    embedding, grams = embedder(batch)
    with torch.no_grad():
        first = net.body[0](normalize(batch))
        second = net.body[2](first.clamp(0, 0.1))
        expected = (second - 0.01).clamp(min=0).mean((2, 3))
    torch.testing.assert_close(embedding, expected)  # dropout is off
    for name, maps in (("body.0", first), ("body.2", second)):
        for gram, single in zip(grams[name], maps.double().numpy(), strict=True):
            np.testing.assert_allclose(gram, numpy_gram(single), rtol=1e-4, atol=1e-9)


def test_distances_are_those_of_embeddings_and_grams(net: Net) -> None:
    batch, other = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    embedder = Embedder(net)
    assert torch.equal(embedder.embed(batch), embedder.embed(batch.to(memory_format=torch.channels_last)))
    cosine, grams = embedder.distances(batch, other)
    (one, one_grams), (two, two_grams) = embedder(batch), embedder(other)
    torch.testing.assert_close(cosine, cosine_similarity(one, two))
    for name in embedder.blocks:  # body.0's output is overwritten in place by the clamp after it
        torch.testing.assert_close(grams[name], gram_distance(one_grams[name], two_grams[name]))
        assert (grams[name] > 0).all()


def test_embedding_of_a_convolution_classifier_is_averaged_over_places() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    batch = torch.rand(2, 3, 8, 8)
    embedding, _ = Embedder(model)(batch)
    torch.testing.assert_close(embedding, model[0](normalize(batch)).mean((2, 3)))


def test_unusable_blocks_and_pictures_are_refused_and_no_hooks_stay(net: Net) -> None:
    for name, words in (("body.9", "does not exist or is not run"), ("drop", r"puts out no \(B, C, H, W\)")):
        with pytest.raises(InputError, match=f"'{name}' of the embedding network {words}"):
            Embedder(net, blocks=["body.0", name])
    with pytest.raises(InputError, match="uint8"):
        Embedder(net)(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    embedder = Embedder(net)
    net.head = nn.Linear(9, 7)
    with pytest.raises(RuntimeError):
        embedder(torch.rand(1, 3, 16, 16))
    assert not [m for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]
