"""Batch norm folded away: fewer passes, the same activations; and left alone where that would not be so."""

import copy

import pytest
import torch
from torch import Tensor, nn

from feature_vis.networks.activations import activations_of
from feature_vis.networks.batch_norm_folding import fold_batch_norm
from feature_vis.networks.models import build


def unsettled(model: nn.Module, seed: int = 0) -> nn.Module:
    """With batch norms that do something, unlike new ones."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.3)
    return model.eval().requires_grad_(False)


def noise(size: int = 48) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def folded(model: nn.Module, layers: list[str], batch: Tensor) -> int:
    """How many; their activations are checked on the way."""
    ours = copy.deepcopy(model)
    count = fold_batch_norm(ours, layers, noise())
    found = []
    for network in (model, ours):
        with activations_of(network, layers) as activations:
            found.append(activations(batch))
    for layer in layers:
        before, after = (answers[layer] for answers in found)
        assert (before - after).abs().max() <= 1e-4 * before.abs().max()
        assert before.std() > 1e-3
    left = sum(isinstance(module, nn.BatchNorm2d) for module in ours.modules())
    assert left == sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) - count
    return count


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
    model = unsettled(build(name))
    assert folded(model, layers, 2 * noise(64) + 1) == count


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
        match self.oddity:
            case "shared convolution":
                return self.norm(self.conv(x)) + self.conv(x.flip(3))
            case "shared norm":
                return self.norm(self.conv(x)) + self.norm(self.other(x))
            case "read elsewhere":
                x = self.conv(x)
                return self.norm(x) + x
            case "two norms":
                x = self.conv(x)
                return self.norm(x) * self.other(x)
            case "norm first":
                return self.conv(self.norm(x))
            case "something between":
                return self.norm(self.conv(x).relu())
            case "by keyword":
                return self.norm(input=self.conv(x))
        return self.norm(self.conv(x))


class Activated(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


ODDITIES = ["shared convolution", "shared norm", "read elsewhere", "two norms", "norm first", "something between"]
ODDITIES += ["by keyword", "norm that does more", "weights made on the way"]


@pytest.mark.parametrize("oddity", ODDITIES)
def test_odd_pairs_are_left_alone(oddity: str) -> None:
    torch.manual_seed(0)
    model = unsettled(nn.Sequential(Pair(oddity), nn.ReLU()))
    assert folded(model, [""], noise(12)) == 0
    if oddity not in ("read elsewhere", "two norms"):  # where one is read elsewhere, nothing is folded
        assert folded(unsettled(nn.Sequential(Pair("none"), Pair(oddity))), ["1"], noise(12)) == 1


def test_what_is_read_elsewhere_is_seen_of_new_norms_too() -> None:
    """Their bias is 0: on a black picture the two networks would agree."""
    torch.manual_seed(0)
    model = nn.Sequential(Pair("read elsewhere")).eval()
    model[0].norm.weight.data.fill_(3)
    assert folded(model, [""], noise(12)) == 0


def test_without_statistics_or_weights() -> None:
    torch.manual_seed(0)
    own = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert folded(own, ["1"], noise(12)) == 0
    bare = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)).eval()
    bare[1].running_mean.fill_(0.3)
    assert folded(bare, ["1"], noise(12)) == 1
