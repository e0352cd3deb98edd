"""A network's structure, found by following a forward pass: shapes, call order, and the pictures it takes."""

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
    ("name", "size", "layers"),
    [
        ("resnet18", 64, {"layer4": ((1, 512, 2, 2), 1), "avgpool": ((1, 512, 1, 1), 1), "fc": ((1, 1000), 1)}),
        ("swin_t", 64, {"features.3": ((1, 8, 8, 192), 3), "permute": ((1, 768, 2, 2), 1)}),
        ("convnext_tiny", 64, {"features.3.0.block.2": ((1, 8, 8, 192), 3)}),
        ("vit_b_32", 224, {"encoder.layers.encoder_layer_1": ((1, 50, 768), 2), "conv_proj": ((1, 768, 7, 7), 1)}),
    ],
)
def test_the_axis_of_the_channels(name: str, size: int, layers: dict[str, tuple]) -> None:
    model = build(name)
    assert layer_shapes(model, list(layers), (size, size)) == (layers, [])
    counts = {layer: shape[axis] for layer, (shape, axis) in layers.items()}
    assert channel_counts(model.half(), list(layers), (size, size)) == counts
    assert next(model.parameters()).dtype == torch.float16
    assert channel_axis((1, 7, 7, 7), (1, 7, 14, 14)) == 1
    assert channel_axis((1, 7, 7, 7), (1, 14, 14, 7)) == 3
    if name == "vit_b_32":
        with pytest.raises(InputError, match=r"refuses a picture of 96 × 96 px \(Wrong image height! Expected 224"):
            channel_counts(model, list(layers), (96, 96))


@pytest.mark.parametrize(
    ("name", "first", "layer", "least"),
    [("alexnet", "features.0", "features.12", 63), ("inception_v3", "Conv2d_1a_3x3", "Mixed_7c", 75)],
)
def test_a_picture_too_small_says_the_least_size(name: str, first: str, layer: str, least: int) -> None:
    model = build(name)
    found, problems = layer_shapes(model, [layer, first, "nowhere"], (24, 32))
    assert list(found) == [first]
    assert "nowhere" in problems[0]
    assert problems[1].endswith(f"the least is {least} px")
    assert channel_counts(model, [layer], (least, least))
    with pytest.raises(InputError, match=f"least is {least} px"):
        channel_counts(model, [layer], (least - 1, least))


def test_call_order_is_the_order_of_the_forward_pass(resnet) -> None:
    order = call_order(resnet)
    assert order[:3] == ["", "conv1", "bn1"]
    assert order.index("layer3.1") < order.index("layer4") < order.index("fc")
    assert "layer4" not in call_order(resnet, until="layer3.1")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in resnet.modules())


class Fixed(nn.Module):
    """Takes pictures of 28 px alone, asks for a value on the way, and holds a tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.ones(1, 3, 1, 1)
        self.conv = nn.Conv2d(3, 4, 5)
        self.head = nn.Linear(4 * 24 * 24, 2)
        self.spare = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x - self.shift
        x = self.conv(x / 2 if float(x.mean()) > 0 else x)
        return self.head(x.flatten(1))


def test_a_network_is_followed_with_real_numbers_at_the_size_that_it_takes() -> None:
    model = Fixed()
    assert picture_size(model) == 28
    assert call_order(model) == ["", "spare", "conv", "head"]  # nobody knows that `spare` is not used
    assert call_order(model, until="conv") == ["", "conv"]
    with pytest.raises(InputError, match=r"there is no layer 'convs'; close names: conv"):
        call_order(model, until="convs")
    assert channel_counts(model, ["conv"], (16, 16)) == {"conv": 4}
    with pytest.raises(InputError, match=r"(?s)nowhere.*elsewhere"):
        channel_counts(model, ["nowhere", "conv", "elsewhere"], (16, 16))
    with pytest.raises(InputError, match=r"Linear takes no picture of 16 to 640 px: .*(reduction dim|multiplied)"):
        picture_size(nn.Linear(7, 2))
