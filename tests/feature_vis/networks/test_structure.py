"""A network's structure, found by following a forward pass: shapes, call order, and the pictures it takes."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from feature_vis.errors import InputError
from feature_vis.networks.models import build
from feature_vis.networks.structure import call_order, channel_axis, channel_counts, layer_shapes, picture_size


class Functions(nn.Module):
    """Every function whose shapes are given at once, in all the forms in which it can be called."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.batch_norm(x, torch.zeros(3, device=x.device), torch.ones(3, device=x.device))
        weight = torch.zeros(5, 7, device=x.device)
        pools = [functional.adaptive_avg_pool2d(x, size) for size in (7, (6, 7), [6, 7], (None, 7))]
        pools.append(functional.adaptive_avg_pool2d(x, output_size=(2, 7)))
        return torch.cat([functional.linear(pool, weight) for pool in pools], 2)


def test_shapes_that_are_given_are_those_of_real_numbers() -> None:
    model = Functions()
    assert layer_shapes(model, [""], (11, 9))[0][""][0] == tuple(model(torch.zeros(1, 3, 11, 9)).shape)
    with pytest.raises(InputError, match="refuses a picture"):
        channel_counts(nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), ["1"], (16, 16))


@pytest.mark.parametrize(
    ("name", "layer", "size", "shape", "axis"),
    [
        ("resnet18", "layer4", 64, (1, 512, 2, 2), 1),
        ("resnet18", "avgpool", 64, (1, 512, 1, 1), 1),
        ("resnet18", "fc", 64, (1, 1000), 1),
        ("swin_t", "features.3", 64, (1, 8, 8, 192), 3),
        ("swin_t", "permute", 64, (1, 768, 2, 2), 1),
        ("convnext_tiny", "features.3.0.block.2", 64, (1, 8, 8, 192), 3),
        ("vit_b_32", "encoder.layers.encoder_layer_1", 224, (1, 50, 768), 2),
        ("vit_b_32", "conv_proj", 224, (1, 768, 7, 7), 1),
    ],
)
def test_the_axis_of_the_channels(name: str, layer: str, size: int, shape: tuple[int, ...], axis: int) -> None:
    assert layer_shapes(build(name), [layer], (size, size)) == ({layer: (shape, axis)}, [])


def test_channels_are_the_axis_that_stays() -> None:
    assert channel_axis((1, 7, 7, 7), (1, 7, 14, 14)) == 1
    assert channel_axis((1, 7, 7, 7), (1, 14, 14, 7)) == 3


def test_channel_counts(resnet) -> None:
    counts = channel_counts(resnet, ["layer3.0", "layer4.1", "fc"], (64, 48))
    assert counts == {"layer3.0": 256, "layer4.1": 512, "fc": 5}
    with pytest.raises(InputError, match=r"(?s)layer9.*layer5"):
        channel_counts(resnet, ["layer9", "fc", "layer5.0"], (64, 64))


@pytest.mark.parametrize(("name", "layer", "least"), [("alexnet", "features.12", 63), ("inception_v3", "Mixed_7c", 75)])
def test_a_picture_too_small_says_the_least_size(name: str, layer: str, least: int) -> None:
    model = build(name)
    _, problems = layer_shapes(model, [layer, "nowhere"], (24, 32))
    assert "nowhere" in problems[0]
    assert problems[1].endswith(f"the least is {least} px")
    assert channel_counts(model, [layer], (least, least))
    with pytest.raises(InputError, match=f"least is {least} px"):
        channel_counts(model, [layer], (least - 1, least))


def test_a_network_of_one_size_says_so() -> None:
    model = build("vit_b_32")
    layer = "encoder.layers.encoder_layer_0"
    with pytest.raises(InputError, match=r"refuses a picture of 96 × 96 px \(Wrong image height! Expected 224"):
        channel_counts(model, [layer], (96, 96))


class Wilful(nn.Module):
    """Asks for a value on the way, and holds a tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.ones(1, 3, 1, 1)
        self.conv = nn.Conv2d(3, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x - self.shift
        return self.conv(x / 2 if float(x.mean()) > 0 else x)


def test_a_network_that_needs_real_numbers_is_followed_with_them() -> None:
    model = Wilful()
    assert channel_counts(model, ["conv"], (16, 16)) == {"conv": 4}
    with pytest.raises(InputError, match="nowhere"):
        channel_counts(model, ["conv", "nowhere"], (16, 16))


def test_shapes_are_found_of_a_network_in_half_precision(resnet) -> None:
    model = copy.deepcopy(resnet).half()
    assert channel_counts(model, ["layer1"], (32, 32)) == {"layer1": 64}
    assert model.conv1.weight.dtype == torch.float16


def test_call_order_is_the_order_of_the_forward_pass(resnet) -> None:
    order = call_order(resnet)
    assert order[:3] == ["", "conv1", "bn1"]
    assert order.index("layer3.1") < order.index("layer4") < order.index("fc")
    assert "layer4" not in call_order(resnet, until="layer3.1")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in resnet.modules())


class Fixed(nn.Module):
    """Takes pictures of 28 px alone, and asks for a value on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5)
        self.head = nn.Linear(4 * 24 * 24, 2)
        self.spare = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x / 2 if float(x.mean()) > 0 else x)
        return self.head(x.flatten(1))


def test_a_network_is_followed_at_the_size_that_it_takes() -> None:
    model = Fixed()
    assert picture_size(model) == 28
    assert call_order(model) == ["", "spare", "conv", "head"]  # nobody knows that `spare` is not used
    assert call_order(model, until="conv") == ["", "conv"]
    with pytest.raises(InputError, match=r"there is no layer 'convs'; close names: conv"):
        call_order(model, until="convs")


def test_a_network_that_takes_no_picture_says_why() -> None:
    with pytest.raises(InputError, match=r"Linear takes no picture of 16 to 640 px: .*(reduction dim|multiplied)"):
        picture_size(nn.Linear(7, 2))
