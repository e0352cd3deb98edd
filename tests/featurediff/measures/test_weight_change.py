"""The filters found must make the channel: checked by making it from them."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of
from feature_vis.networks.hooks import hooked
from feature_vis.networks.models import build, state_digest
from featurediff.measures.weight_change import COLUMNS, effective_filters, find_filter_sources, weight_change


def drifted(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy whose every weight and statistic moved a little."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*other.parameters(), *other.buffers()]:
            if tensor.is_floating_point():
                tensor.mul_(1 + 0.3 * torch.rand(tensor.shape, generator=generator)).add_(0.01)
    return other


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return drifted(build("resnet18"))  # batch norms that do something


def made_from_filters(model: nn.Module, layer: str, pictures: Tensor) -> Tensor:
    """The layer's channels from what enters the convolutions found, (B, K, h, w), by products of patches."""
    sources, reasons = find_filter_sources(model, layer, 1, (32, 32))
    assert set(reasons) == {""}
    entered: dict[str, Tensor] = {}
    hooks = {
        source.name: lambda _m, inputs, name=source.name: entered.__setitem__(name, inputs[0].clone())
        for source in sources
    }
    with hooked(model, before=hooks), torch.no_grad():
        model(pictures)
    total = torch.zeros(())
    for source in sources:
        module, inputs = model.get_submodule(source.name), entered[source.name].double()
        weight, bias = effective_filters(model, source)
        patches = nn.functional.unfold(inputs, module.kernel_size, padding=module.padding, stride=module.stride)
        total = total + (weight @ patches + bias.unsqueeze(1))[:, source.channels]  # (B, K, places)
    return total


@pytest.mark.parametrize("layer", ["conv1", "bn1", "layer2.0", "layer2.1"])
def test_the_filters_make_the_channel(resnet: nn.Module, layer: str) -> None:
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with activations_of(resnet, [layer], before_relu=True) as activations, torch.no_grad():
        wanted = activations(pictures)[layer].flatten(2)
    found = made_from_filters(resnet, layer, pictures)
    if layer == "layer2.1":  # its shortcut has no filter
        with activations_of(resnet, ["layer2.0"]) as activations, torch.no_grad():
            found = found + activations(pictures)["layer2.0"].flatten(2)
    torch.testing.assert_close(found.float(), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", {"layer1.1": {"layer1.1.conv2": 64}, "layer2": {"layer2.1.conv2": 128}}),
        ("resnet18", {"maxpool": {"conv1": 64}, "": {"fc": 1000}}),
        ("resnet50", {"layer1.0": {"layer1.0.conv3 + layer1.0.downsample.0": 256}}),
        # the last of the second is depthwise
        ("mobilenet_v2", {"features.3": {"features.3.conv.2": 24}, "features.1.conv.0": {"features.1.conv.0.0": 32}}),
        ("squeezenet1_1", {"features.3": {"features.3.expand1x1": 64, "features.3.expand3x3": 64}}),
        ("convnext_tiny", {"features.1": {"features.1.2.block.5": 96}}),
    ],
)
def test_the_last_filters_of_many_architectures(name: str, expected: dict[str, dict[str, int]]) -> None:
    model = build(name)
    table = weight_change(model, model, list(expected), size=(48, 48))
    assert {layer: rows["filters"].value_counts().to_dict() for layer, rows in table.groupby("layer")} == expected
    assert (table["reason"] == "").all()


def test_channels_of_a_concatenation_keep_their_own_filter() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Conv2d(3, 5, 3, padding=1)

        def forward(self, pictures: Tensor) -> Tensor:
            joined = torch.cat([pictures, self.filter(pictures)], 1)
            return joined[:, [7, 0, 3, 4, 1, 5, 6, 2]]  # shuffled

    base = Dense()
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        tuned.filter.weight[2] *= -1
    table = weight_change(base, tuned, [""], size=(8, 8))
    passed = [1, 4, 7]  # channels 0 to 2 of the input
    assert table["filters"].tolist() == ["" if k in passed else "filter" for k in range(8)]
    assert table["reason"].tolist() == ["no filter makes it" if k in passed else "" for k in range(8)]
    changed = table.loc[table["weight_change"] > 0, "channel"].tolist()
    assert changed == [5]  # input has 3 channels: 3 + 2
    assert table["weight_cosine"][5] < 0


def test_numbers_match_numpy() -> None:
    base = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)).eval()
    tuned = drifted(base)
    table = weight_change(base, tuned, ["1"], size=(8, 8))

    def folded(model: nn.Module) -> np.ndarray:
        tensors = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        scale = tensors["1.weight"] / np.sqrt(tensors["1.running_var"] + model[1].eps)
        bias = (tensors["0.bias"] - tensors["1.running_mean"]) * scale + tensors["1.bias"]
        return np.c_[tensors["0.weight"].reshape(6, -1) * scale[:, None], bias]

    a, b = folded(base), folded(tuned)
    np.testing.assert_allclose(table["weight_change"], np.linalg.norm(b - a, axis=1) / np.linalg.norm(a, axis=1))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(table["weight_cosine"], cosine)
    assert set(table.columns) == set(COLUMNS)


def test_a_network_beside_itself_is_exactly_unchanged_and_left_alone(resnet: nn.Module) -> None:
    before = state_digest(resnet.state_dict())
    table = weight_change(resnet, copy.deepcopy(resnet), ["layer1.1", "layer2.0"])
    assert (table[["weight_change", "weight_cosine"]] == [0, 1]).all(axis=None)
    assert state_digest(resnet.state_dict()) == before
    assert not [m for m in resnet.modules() if m._forward_hooks or m._forward_pre_hooks]


@pytest.mark.parametrize(
    ("layer", "parameter"),
    [("layer1.1", "bn2.running_var"), ("layer2.0", "downsample.0.weight"), ("layer1.1", "conv2.weight")],
)
def test_a_planted_change_is_found_in_its_channel_alone(resnet: nn.Module, layer: str, parameter: str) -> None:
    tuned = copy.deepcopy(resnet)
    tuned.state_dict()[f"{layer}.{parameter}"][7] *= 2
    table = weight_change(resnet, tuned, [layer])
    assert table.loc[table["weight_change"] > 0, "channel"].tolist() == [7]


def test_what_cannot_be_compared_says_so() -> None:
    base = nn.Sequential(nn.Conv2d(3, 4, 1))
    tuned = drifted(base)
    with torch.no_grad():
        base[0].weight[1], base[0].bias[1] = 0, 0
        tuned[0].weight[2] = torch.nan
    table = weight_change(base, tuned, ["0"], size=(4, 4))
    assert table["reason"].tolist() == ["", "a filter of zeros", "not finite", ""]
    for name in ("weight_change", "weight_cosine"):
        assert table[name].isna().tolist() == [False, True, True, False]
    table = weight_change(base, nn.Sequential(nn.Conv2d(3, 4, 3)), ["0"])
    assert (table["reason"] == "no such filter in the tuned network").all()
    assert table["weight_change"].isna().all()
    with pytest.raises(InputError, match=r"layer2\.0"):
        weight_change(build("resnet18"), base, ["layer2.O"])
