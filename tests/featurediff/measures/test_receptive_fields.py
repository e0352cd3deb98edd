"""Receptive fields against changed pixels and against the formula."""

import numpy as np
import torch
from torch import Tensor, nn

from feature_vis.networks.models import build
from featurediff.measures.receptive_fields import receptive_fields


class Odd(nn.Module):
    """Unequal strides and paddings, dilation, a maximum, and branches that see parts of unlike size."""

    def __init__(self, slope: float = 0) -> None:
        super().__init__()
        self.relu = nn.LeakyReLU(slope)  # a ReLU where the slope is 0
        self.first = nn.Conv2d(3, 3, (3, 2), stride=(1, 2), padding=(4, 0))
        self.pool = nn.MaxPool2d(2, stride=1, ceil_mode=True)
        self.wide = nn.Conv2d(3, 2, 3, dilation=2, padding=2)
        self.narrow = nn.Conv2d(3, 2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.pool(self.relu(self.first(pictures)))
        return self.relu(torch.cat([self.wide(maps), self.narrow(maps)], 1))


def changed_units(net: nn.Module, size: tuple[int, int]) -> np.ndarray:
    """Whether a unit reacts to any of many changes of a pixel, (K, places, H, W)."""
    height, width = size
    generator = torch.Generator().manual_seed(0)
    seen = None
    with torch.no_grad():
        for _ in range(40):  # what one picture hides behind a maximum, another one shows
            picture = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)
            changed = picture.repeat(height * width, 1, 1, 1)
            for pixel in range(height * width):
                row, column = divmod(pixel, width)
                changed[pixel, :, row, column] += 5 * torch.randn(3, generator=generator, dtype=torch.float64)
            maps = (net(changed) != net(picture)).flatten(2)  # (pixels, K, places)
            seen = maps if seen is None else seen | maps
    return seen.permute(1, 2, 0).reshape(*seen.shape[1:], height, width).numpy()


def test_receptive_fields_are_the_pixels_that_matter() -> None:
    size = (9, 12)
    net = Odd().train()
    boxes = receptive_fields(net, [""], size)[""]  # closed ReLUs included
    assert net.training
    assert net.first.weight.dtype == torch.float32
    assert not [module for module in net.modules() if module._forward_hooks]
    seen = changed_units(Odd(slope=0.3).double(), size)
    assert boxes.shape[:2] == seen.shape[:2]
    assert 0 < (boxes == 0).all(2).sum() < 50  # padding above and below the picture is all that some units see
    for box, pixels in zip(boxes.reshape(-1, 4), seen.reshape(-1, *size), strict=True):
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        corners = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else [0, 0, 0, 0]
        assert box.tolist() == corners
    assert len(np.unique(boxes[:, boxes.shape[1] // 2], axis=0)) == 2  # the two branches


def test_receptive_fields_of_a_resnet_follow_the_formula() -> None:
    # Araujo et al. 2019: 7 (stride 2), 3 (stride 2), then twice 3 -> 7 + 2 * 2 + 2 * 4 * 2 = 27 px, 4 px apart
    boxes = receptive_fields(build("resnet18"), ["conv1", "layer1.0"], (64, 64))
    assert (boxes["layer1.0"] == boxes["layer1.0"][:1]).all()
    middle = boxes["layer1.0"][0].reshape(16, 16, 4)[5:10, 5:10]
    assert (middle[..., 2:] - middle[..., :2] == 27).all()
    assert (np.diff(middle[..., 0], axis=1) == 4).all()
    assert (np.diff(middle[..., 1], axis=0) == 4).all()
    assert boxes["conv1"][0, 0].tolist() == [0, 0, 4, 4]  # 7 px around the first, clipped


def test_a_gate_over_the_whole_map_sees_the_whole_picture() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Conv2d(3, 2, 1)

        def forward(self, pictures: Tensor) -> Tensor:
            maps = self.filter(pictures)
            return maps * maps.mean((2, 3), keepdim=True).sigmoid()

    assert (receptive_fields(Gated(), [""], (6, 8))[""] == [0, 0, 8, 6]).all()
    one_pixel = receptive_fields(Gated(), ["filter"], (6, 8))["filter"][0, 8 * 2 + 3]
    assert one_pixel.tolist() == [3, 2, 4, 3]
