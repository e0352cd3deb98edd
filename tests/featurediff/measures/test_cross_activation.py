"""Four activations of each channel, against maps read by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from featurediff.measures.cross_activation import COLUMNS, cross_activation

PLAIN = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
CHANNELS = [3, 0, 4]


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 4, 3))


def pictures(seed: int, count: int = 3, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def by_hand(net: nn.Sequential, channel: int, picture: np.ndarray) -> float:
    normalised = (picture / 255 - np.array(PLAIN["mean"])) / np.array(PLAIN["std"])
    inputs = torch.from_numpy(normalised).permute(2, 0, 1).unsqueeze(0).float()
    with torch.no_grad():
        return float(net[0](inputs).clamp(min=0)[0, channel].mean())


def test_the_four_activations_match_maps_read_by_hand() -> None:
    nets, shots = {"base": network(0), "tuned": network(1)}, {"base": pictures(0), "tuned": pictures(1)}
    table = cross_activation(nets["base"], nets["tuned"], "1", CHANNELS, shots["base"], shots["tuned"], **PLAIN)
    assert list(table.columns) == list(COLUMNS)
    assert table["channel"].tolist() == CHANNELS
    assert (table["layer"] == "1").all()
    for shown in shots:
        for name, net in nets.items():
            expected = [by_hand(net, k, picture) for k, picture in zip(CHANNELS, shots[shown], strict=True)]
            np.testing.assert_allclose(table[f"{shown}_picture_in_{name}"], expected, rtol=1e-5)
    expected = table["base_picture_in_tuned"] / table["tuned_picture_in_tuned"]
    np.testing.assert_allclose(table["tuned_likes_base_picture"], expected)
    expected = table["tuned_picture_in_base"] / table["base_picture_in_base"]
    np.testing.assert_allclose(table["base_likes_tuned_picture"], expected)
    assert (table["reason"] == "").all()


def test_the_same_network_and_pictures_agree_in_all_four() -> None:
    net = network(0)
    table = cross_activation(net, net, "1", CHANNELS, pictures(0), pictures(0))
    for name in ("base_picture_in_tuned", "tuned_picture_in_base", "tuned_picture_in_tuned"):
        assert table[name].equals(table["base_picture_in_base"])
    assert (table[["base_likes_tuned_picture", "tuned_likes_base_picture"]] == 1).all(axis=None)


def test_batches_and_generators_change_nothing() -> None:
    nets = network(0), network(1)
    whole = cross_activation(*nets, "1", CHANNELS, pictures(0), pictures(1))
    parts = cross_activation(*nets, "1", CHANNELS, iter(pictures(0)), (p for p in pictures(1)), batch=2)
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-5)


def test_a_channel_that_its_own_picture_does_not_excite_has_no_share() -> None:
    base, tuned = network(0), network(1)
    with torch.no_grad():
        base[0].weight[3], base[0].bias[3] = 0, -1  # off everywhere
        tuned[0].bias[0] = torch.nan
    table = cross_activation(base, tuned, "1", CHANNELS, pictures(0), pictures(1))
    assert table["base_picture_in_base"][0] == 0
    assert table["base_likes_tuned_picture"].isna().tolist() == [True, False, False]
    assert table["tuned_likes_base_picture"].isna().tolist() == [False, True, False]
    assert table["reason"].tolist() == ["base's picture does not excite it", "activation of tuned not finite", ""]


def test_channels_may_stand_last() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Conv2d(3, 5, 3)
            self.turned = nn.Identity()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.turned(self.filter(inputs).permute(0, 2, 3, 1))  # (B, h, w, K)

    net = Last()
    turned = cross_activation(net, net, "turned", CHANNELS, pictures(0), pictures(1))
    plain = cross_activation(net, net, "filter", CHANNELS, pictures(0), pictures(1))
    pd.testing.assert_frame_equal(turned.drop(columns="layer"), plain.drop(columns="layer"), rtol=1e-5)


def test_bad_input_is_refused() -> None:
    net = network(0)
    with pytest.raises(InputError, match="no channel 9"):
        cross_activation(net, net, "1", [3, 9, 4], pictures(0), pictures(1))
    with pytest.raises(InputError, match="no layer 'one'"):
        cross_activation(net, net, "one", CHANNELS, pictures(0), pictures(1))
    with pytest.raises(InputError, match="no picture of tuned for channel 4"):
        cross_activation(net, net, "1", CHANNELS, pictures(0), pictures(1, count=2))
    with pytest.raises(InputError, match="more pictures of base"):
        cross_activation(net, net, "1", CHANNELS, pictures(0, count=4), pictures(1))
    with pytest.raises(InputError, match="float64"):
        cross_activation(net, net, "1", CHANNELS, pictures(0) / 255, pictures(1))
    with pytest.raises(InputError, match="at channel 0: 8×8 and 9×9"):
        cross_activation(net, net, "1", [3, 0], [*pictures(0, 1), *pictures(0, 1, size=9)], pictures(1, 2))
    assert not [module for module in net.modules() if module._forward_hooks]
