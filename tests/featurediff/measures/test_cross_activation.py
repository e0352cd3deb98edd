"""Four activations of each channel, against maps read by hand."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD
from featurediff.measures import cross_activation as module
from featurediff.measures.cross_activation import COLUMNS, cross_activation

CHANNELS = [3, 0, 4]


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 4, 3))


def pictures(seed: int, count: int = 3, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def pairs(count: int = 3, size: int = 8) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(pictures(0, count, size), pictures(1, count, size), strict=True)


def by_hand(net: nn.Sequential, channel: int, picture: np.ndarray) -> float:
    normalised = (picture / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    inputs = torch.from_numpy(normalised).permute(2, 0, 1).unsqueeze(0).float()
    with torch.no_grad():
        return float(net[0](inputs).clamp(min=0)[0, channel].mean())


def test_the_four_activations_match_maps_read_by_hand() -> None:
    nets, shots = {"base": network(0), "tuned": network(1)}, {"base": pictures(0), "tuned": pictures(1)}
    table = cross_activation(nets["base"], nets["tuned"], "1", CHANNELS, pairs())
    assert list(table.columns) == list(COLUMNS)
    assert table["channel"].tolist() == CHANNELS
    assert (table["layer"] == "1").all()
    for shown in shots:
        for name, net in nets.items():
            expected = [by_hand(net, k, picture) for k, picture in zip(CHANNELS, shots[shown], strict=True)]
            np.testing.assert_allclose(table[f"{shown}_picture_in_{name}"], expected, rtol=1e-5)
    for name, other in (("base", "tuned"), ("tuned", "base")):
        expected = table[f"{other}_picture_in_{name}"] / table[f"{name}_picture_in_{name}"]
        np.testing.assert_allclose(table[f"{name}_likes_{other}_picture"], expected)
    assert (table["reason"] == "").all()


def test_batches_and_sizes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = network(0), network(1)
    whole = cross_activation(*nets, "1", CHANNELS, pairs())
    mixed = cross_activation(*nets, "1", [1, *CHANNELS], [*pairs(1, size=9), *pairs()])
    monkeypatch.setattr(module, "_BATCH", 2)
    for other in (cross_activation(*nets, "1", CHANNELS, pairs()), mixed[1:].reset_index(drop=True)):
        pd.testing.assert_frame_equal(whole, other, rtol=1e-5)


def test_a_channel_that_its_own_picture_does_not_excite_has_no_share() -> None:
    base, tuned = network(0), network(1)
    with torch.no_grad():
        base[0].weight[3], base[0].bias[3] = 0, -1  # off everywhere
        tuned[0].bias[0] = torch.nan
    table = cross_activation(base, tuned, "1", CHANNELS, pairs())
    assert table["base_picture_in_base"][0] == 0
    assert table["base_likes_tuned_picture"].isna().tolist() == [True, False, False]
    assert table["tuned_likes_base_picture"].isna().tolist() == [False, True, False]
    assert table["reason"].tolist() == ["base's picture does not excite it", "activation of tuned not finite", ""]


def test_bad_input_is_refused() -> None:
    net = network(0)
    with pytest.raises(InputError, match=r"5 channels, 0 to 4, not \[9\]"):
        cross_activation(net, net, "1", [3, 9, 4], pairs())
    with pytest.raises(InputError, match="no layer 'one'"):
        cross_activation(net, net, "one", CHANNELS, pairs())
    for count in (2, 4):
        with pytest.raises(InputError, match="3 channels need as many pairs"):
            cross_activation(net, net, "1", CHANNELS, pairs(count))
    with pytest.raises(InputError, match="float64"):
        cross_activation(net, net, "1", CHANNELS, ((a / 255, b) for a, b in pairs()))
    assert not [module for module in net.modules() if module._forward_hooks]
