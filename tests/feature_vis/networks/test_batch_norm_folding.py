"""Batch norm folded away: fewer passes, the same activations; and left alone where that would not be so."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from feature_vis.networks.activations import activations_of
from feature_vis.networks.batch_norm_folding import fold_batch_norm
from feature_vis.networks.models import build


def unsettled(model: nn.Module) -> nn.Module:
    """With batch norms that do something, unlike new ones."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for positive, any_value in [(module.weight, module.bias), (module.running_var, module.running_mean)]:
                nn.init.uniform_(positive, 0.5, 1.5)
                nn.init.normal_(any_value, std=0.3)
    return model.eval().requires_grad_(False)


def folded(model: nn.Module, layers: list[str]) -> int:
    """How many; their activations are checked on the way."""
    ours, noise = copy.deepcopy(model), torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    count = fold_batch_norm(ours, layers, noise)
    found = []
    for network in (model, ours):
        with activations_of(network, layers) as activations:
            found.append(activations(2 * noise[..., :40] + 1))
    for layer in layers:
        before, after = (answers[layer] for answers in found)
        assert (before - after).abs().max() <= 1e-4 * before.abs().max()
        assert before.std() > 1e-3
    left, there = (sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()) for network in (ours, model))
    assert left == there - count
    return count


class Activated(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


@pytest.mark.parametrize(
    ("name", "layers", "count"),
    [
        ("resnet18", ["layer4"], 20),
        ("resnet18", ["layer2.1", "layer1"], 10),  # above them none
        ("resnet18", ["layer1.0.bn2"], 3),  # a target that is folded away
        ("resnet18", ["layer1.0.conv2", "layer1"], 4),  # a target that would no longer be itself
        ("mobilenet_v2", ["features.10", "features.17.conv"], 51),
        ("densenet121", ["features.denseblock2"], 19),  # conv0, and the first of each dense layer's two
    ],
)
def test_activations_are_as_before(name: str, layers: list[str], count: int) -> None:
    assert folded(unsettled(build(name)), layers) == count


class Pair(nn.Module):
    """A convolution and its norm, and what is odd about them."""

    def __init__(self, oddity: str) -> None:
        super().__init__()
        self.oddity = oddity
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        if oddity == "two norms":
            self.other = nn.BatchNorm2d(3)
        elif oddity == "shared norm":
            self.other = nn.Conv2d(3, 3, 1)
        elif oddity == "norm that does more":
            self.norm.__class__ = Activated
        elif oddity == "weights made on the way":
            nn.utils.parametrizations.spectral_norm(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return ODDITIES.get(self.oddity, in_turn)(self, x)


def in_turn(pair: Pair, x: Tensor) -> Tensor:
    return pair.norm(pair.conv(x))


ODDITIES: dict[str, Callable[[Pair, Tensor], Tensor]] = {
    "shared convolution": lambda pair, x: pair.norm(pair.conv(x)) + pair.conv(x.flip(3)),
    "shared norm": lambda pair, x: pair.norm(pair.conv(x)) + pair.norm(pair.other(x)),
    "read elsewhere": lambda pair, x: pair.norm(y := pair.conv(x)) + y,
    "two norms": lambda pair, x: pair.norm(y := pair.conv(x)) * pair.other(y),
    "norm first": lambda pair, x: pair.conv(pair.norm(x)),
    "something between": lambda pair, x: pair.norm(pair.conv(x).relu()),
    "by keyword": lambda pair, x: pair.norm(input=pair.conv(x)),
    "norm that does more": in_turn,
    "weights made on the way": in_turn,
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_odd_pairs_are_left_alone(oddity: str) -> None:
    torch.manual_seed(0)
    model = unsettled(nn.Sequential(Pair(oddity), nn.ReLU()))
    assert folded(model, [""]) == 0
    if oddity not in ("read elsewhere", "two norms"):  # where one is read elsewhere, nothing is folded
        assert folded(unsettled(nn.Sequential(Pair("none"), Pair(oddity))), ["1"]) == 1


def test_new_norms_and_those_without_statistics_or_weights() -> None:
    torch.manual_seed(0)
    new = nn.Sequential(Pair("read elsewhere")).eval()  # its bias is 0: on a black picture the networks would agree
    new[0].norm.weight.data.fill_(3)
    assert folded(new, [""]) == 0
    own = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert folded(own, ["1"]) == 0
    bare = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)).eval()
    bare[1].running_mean.fill_(0.3)
    assert folded(bare, ["1"]) == 1
