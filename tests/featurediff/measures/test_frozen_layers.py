"""Frozen layers: which they are, and that a change of one stops the run."""

import copy
from collections import OrderedDict

import pandas as pd
import pytest
import torch
from torch import nn

from feature_vis.errors import InputError
from featurediff.measures.activation_statistics import Label
from featurediff.measures.frozen_layers import frozen_layers, layers_before
from featurediff.measures.photo_responses import photo_responses
from featurediff.measures.weight_change import weight_change
from featurediff.statistics.unchanged import FrozenLayerChanged, check_frozen
from featurediff.training.finetune import freeze_before

LAYERS = ["first", "second", "third", "head"]


@pytest.fixture
def base() -> nn.Module:
    torch.manual_seed(0)
    first, second = (
        nn.Sequential(nn.Conv2d(inputs, inputs + 1, 3), nn.BatchNorm2d(inputs + 1), nn.ReLU(inplace=True))
        for inputs in (3, 4)
    )
    parts = {"first": first, "second": second, "third": nn.Conv2d(5, 6, 3), "mean": nn.AdaptiveAvgPool2d(1)}
    parts |= {"flat": nn.Flatten(), "head": nn.Linear(6, 2), "out": nn.Identity()}
    return nn.Sequential(OrderedDict(parts)).eval()


def trained(base: nn.Module, train_from: str) -> nn.Module:
    """A copy after one step of training from a module on."""
    tuned = copy.deepcopy(base)
    trainable = freeze_before(tuned, train_from)
    trainable.train()
    pictures = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    tuned(pictures).square().sum().backward()
    torch.optim.SGD(trainable.parameters(), lr=0.1).step()
    return tuned.eval()


def tables_of(base: nn.Module, tuned: nn.Module) -> list[pd.DataFrame]:
    batch = torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(2)), [Label("task", "class")] * 8
    probed = photo_responses(base, tuned, LAYERS, [batch], top=2)
    return [table.assign(network="dogs") for table in (probed.channels, weight_change(base, tuned, LAYERS))]


@pytest.mark.parametrize(
    ("train_from", "count"), [("second", 1), ("second.1", 1), ("third", 2), ("head", 3), ("out", 3)]
)
def test_what_training_leaves_alone_is_frozen(base: nn.Module, train_from: str, count: int) -> None:
    tuned = trained(base, train_from)
    promised = layers_before(base, train_from, LAYERS)
    assert promised == LAYERS[:count]  # the head learns even where training is to start after it
    assert frozen_layers(base, tuned, LAYERS, promised) == promised
    assert check_frozen(tables_of(base, tuned), {"dogs": promised}) > 0


def test_nothing_is_left_alone_where_everything_is_trained(base: nn.Module) -> None:
    assert layers_before(base, None, LAYERS) == []
    with pytest.raises(InputError, match="'thrid'; close names: third"):
        layers_before(base, "thrid", LAYERS)


def test_drifted_statistics_break_the_promise_and_the_channel_is_named(base: nn.Module) -> None:
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        tuned.second[1].running_mean[3] += 1e-4  # the weights alone would hide it
    assert frozen_layers(base, tuned, LAYERS) == ["first"]
    with pytest.raises(FrozenLayerChanged, match="second alone"):
        frozen_layers(base, tuned, LAYERS, layers_before(base, "third", LAYERS))
    tables = tables_of(base, tuned)
    assert check_frozen(tables, {"dogs": ["first"], "cars": ["second"]}) == 4 * 3
    with pytest.raises(FrozenLayerChanged, match=r"dogs, second: weight_change must be 0; .* \(3\), most in 3"):
        check_frozen(tables, {"dogs": ["first", "second"]})
