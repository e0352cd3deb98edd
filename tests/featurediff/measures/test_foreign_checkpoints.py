"""Checkpoints with matching layers that no training here has made: each loads, and is compared as it should."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.utils import prune

from feature_vis.networks.models import build
from featurediff.measures.activation_statistics import Label
from featurediff.measures.photo_responses import photo_responses
from featurediff.measures.weight_change import weight_change
from featurediff.networks import load_weights


def compared(base: nn.Module, tuned: nn.Module) -> pd.DataFrame:
    """Correlation on photographs and change of the filter, a row a channel of both blocks."""
    pictures = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    batches = [(pictures, [Label("photographs", "")] * len(pictures))]
    responses = photo_responses(base, tuned, ["1", "2"], batches, patches=False)
    weights = weight_change(base, tuned, ["1", "2"], size=(32, 32))
    return responses.channels.merge(weights, on=["layer", "channel"]).set_index(["layer", "channel"])


def test_pruned_quantised_and_merged_networks_against_the_original(own: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = build(f"{own}:cnn")
    pruned, quantised, merged = (copy.deepcopy(base) for _ in range(3))
    prune.custom_from_mask(pruned[2].conv, "weight", torch.arange(12).view(12, 1, 1, 1).expand(12, 12, 3, 3) % 2)
    for parameter in quantised.parameters():
        scale = float(parameter.detach().abs().max()) / 127 or 1.0
        parameter.data = (parameter.detach() / scale).round() * scale
    direction = torch.randn(12, 3, 3, generator=torch.Generator().manual_seed(0))
    merged[2].conv.weight.data += torch.linspace(0, 0.2, 12).view(12, 1, 1, 1) * direction  # LoRA of rank 1
    tables = []
    for model in (pruned, quantised, merged):
        torch.save(model.state_dict(), tmp_path / "mine.pth")
        tables.append(compared(base, load_weights(f"{own}:cnn", str(tmp_path / "mine.pth")).module()))
    names = ["weight_change", "correlation"]
    assert (tables[0].loc["2"]["weight_change"][::2] > 0.5).all()  # nothing but the bias is left of them
    assert (tables[0].loc["2"][names][1::2] == [0, 1]).all(axis=None)
    assert tables[1]["weight_change"].between(0, 0.02, inclusive="neither").all()
    assert tables[1]["correlation"].min() > 0.99
    assert (tables[2].loc["1", names] == [0, 1]).all(axis=None)
    change = tables[2].loc["2", "weight_change"].to_numpy()
    assert change[0] == 0
    assert (np.diff(change) > 0).mean() > 0.8
