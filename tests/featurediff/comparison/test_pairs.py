"""Pairs of checkpoints with matching layers that no training here has made: each loads, and says what it should."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from feature_vis.networks.models import build
from featurediff.measures.activation_statistics import Label
from featurediff.measures.frozen_layers import frozen_layers
from featurediff.measures.photo_responses import photo_responses
from featurediff.measures.weight_change import weight_change
from featurediff.networks import load_weights

LAYERS = ["1", "2"]


@pytest.fixture
def base(own: str) -> nn.Module:
    torch.manual_seed(0)
    return build(f"{own}:cnn")


def compared(base: nn.Module, tuned: nn.Module) -> pd.DataFrame:
    """Correlation on photographs and change of the filter, a row a channel of both blocks."""
    pictures = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    batches = [(pictures, [Label("photographs", "")] * len(pictures))]
    responses = photo_responses(base, tuned, LAYERS, batches, patches=False)
    weights = weight_change(base, tuned, LAYERS, size=(32, 32))
    return responses.channels.merge(weights, on=["layer", "channel"]).set_index(["layer", "channel"])


def saved(own: str, model: nn.Module, folder: Path) -> nn.Module:
    """Through a file, as the workflow meets it."""
    torch.save(model.state_dict(), folder / "mine.pth")
    return load_weights(f"{own}:cnn", str(folder / "mine.pth")).module()


def test_two_pretraining_seeds_have_nothing_in_common(own: str, base: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(1)
    table = compared(base, saved(own, build(f"{own}:cnn"), tmp_path))
    assert (table["weight_change"] > 0.8).all()
    assert table["weight_cosine"].abs().median() < 0.2


def test_a_pruned_network_against_the_original(own: str, base: nn.Module, tmp_path: Path) -> None:
    pruned = copy.deepcopy(base)
    prune.custom_from_mask(pruned[2].conv, "weight", torch.arange(12).view(12, 1, 1, 1).expand(12, 12, 3, 3) % 2)
    table = compared(base, saved(own, pruned, tmp_path))
    changed, kept = table.loc["2"][::2], table.loc["2"][1::2]
    assert (changed["weight_change"] > 0.5).all()  # nothing but the bias is left of them
    assert (kept[["weight_change", "correlation"]] == [0, 1]).all(axis=None)
    assert (table.loc["1", "weight_change"] == 0).all()


def test_a_quantised_network_against_the_original(own: str, base: nn.Module, tmp_path: Path) -> None:
    quantised = copy.deepcopy(base)
    for parameter in quantised.parameters():
        scale = float(parameter.detach().abs().max()) / 127 or 1.0
        parameter.data = (parameter.detach() / scale).round() * scale
    table = compared(base, saved(own, quantised, tmp_path))
    assert table["weight_change"].between(0, 0.02, inclusive="neither").all()
    assert table["correlation"].min() > 0.99


def test_a_merged_adapter_against_the_original(own: str, base: nn.Module, tmp_path: Path) -> None:
    """LoRA of rank 1 on the second block: each filter gets a multiple of one direction."""
    merged = copy.deepcopy(base)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(1, 12 * 9, generator=generator)
    amounts = torch.linspace(0, 0.2, 12).view(12, 1)
    merged[2].conv.weight.data += (amounts @ direction).view(12, 12, 3, 3)
    table = compared(base, saved(own, merged, tmp_path))
    assert frozen_layers(base, merged, LAYERS) == ["1"]
    assert (table.loc["1", ["weight_change", "correlation"]] == [0, 1]).all(axis=None)
    change = table.loc["2", "weight_change"].to_numpy()
    assert change[0] == 0
    assert (np.diff(change) > 0).mean() > 0.8


class Wider(nn.Module):
    """As many channels, made by another filter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 12, 5, padding=2)
        self.norm = nn.BatchNorm2d(12)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


@pytest.mark.parametrize("other", [Wider(), nn.Identity()], ids=["another shape", "no filter at all"])
def test_networks_of_two_architectures_are_compared_where_they_can_be(other: nn.Module, base: nn.Module) -> None:
    tuned = copy.deepcopy(base)
    tuned[2] = other.eval()
    table = compared(base, tuned)
    assert (table.loc["1", "weight_change"] == 0).all()
    assert (table.loc["2", "reason_y"] == "no such filter in the tuned network").all()
    assert table.loc["2", "weight_change"].isna().all()
    assert np.isfinite(table.loc["2", "correlation"]).all()
