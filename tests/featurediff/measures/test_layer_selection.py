"""Which layers and channels of two networks moved apart most."""

import copy

import numpy as np
import pytest
import torch

from feature_vis.errors import InputError
from feature_vis.networks.models import build
from featurediff.measures.layer_selection import activations_moved, most_moved_layers, sample_channels, weights_moved

SIZE = (32, 32)
LAYERS = ["1", "2"]


def test_the_filter_that_is_another_moved(own: str) -> None:
    torch.manual_seed(0)
    base = build(f"{own}:cnn")
    tuned = copy.deepcopy(base)
    tuned[2].conv.weight.data[5] *= -1
    generator = torch.Generator().manual_seed(0)
    batches = list(torch.rand(3, 8, 3, *SIZE, generator=generator))
    for moved in (weights_moved(base, tuned, LAYERS, SIZE), activations_moved(base, tuned, LAYERS, batches, SIZE)):
        assert not moved["1"].any()
        assert np.flatnonzero(moved["2"]).tolist() == [5]
    with pytest.raises(InputError, match="fewer than 3 photographs"):
        activations_moved(base, tuned, LAYERS, [batches[0][:2]], SIZE)
    with pytest.raises(InputError, match="there is no layer"):
        activations_moved(base, tuned, ["nowhere"], batches, SIZE)


def test_layers_come_in_the_networks_order_and_only_those_that_moved() -> None:
    moved = {"a": np.array([0.1, 0.1]), "b": np.array([0.0, 0.5]), "c": np.zeros(2), "d": np.array([0.2, 0.3])}
    assert most_moved_layers(moved, 2) == ["b", "d"]
    assert most_moved_layers(moved, 9) == ["a", "b", "d"]


def test_half_of_the_channels_are_the_most_moved() -> None:
    moved = np.arange(100.0)
    chosen = sample_channels(moved, 10)
    assert len(chosen) == 10
    assert chosen[-5:] == [95, 96, 97, 98, 99]
    assert chosen[:5] == [0, 24, 47, 70, 94]
    assert sample_channels(moved[:4], 10) == [0, 1, 2, 3]
    assert sample_channels(moved[:1], 10) == [0]
