"""The original's recipe, one channel at a time: what the renderer is measured against.

Written from the original's description, not from its code, and sharing none with `feature_vis`, so that it can
serve as a reference in tests. The parts, in the order of a step:

    spectrum ─► picture ─► normalise ─► pad ─► translate ─► scale ─► rotate ─► translate ─► crop ─► network

Sources: transfer-visualization's README; lucid `optvis/param/spatial.py` (the spectrum) and `color.py` (the
colours). Kept because they are the recipe, or its cost: batch of one, four warps with an interpolation each,
weights that require gradients (so theirs are computed too, and add up unused), unfolded batch norm, contiguous
memory, the objective after the ReLU. The network ends at the target, as the original's altered models do.

The description leaves open, and we chose: shifts are whole pixels and angles whole degrees, each as likely; warps
are bilinear about the picture's centre, and what they bring in from outside the padding is 0, ImageNet's mean.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import feature_vis.networks.torchvision_import  # noqa: F401 (makes torchvision importable beside a CPU build of torch)

__all__ = [
    "Moves",
    "OriginalRecipe",
    "ended_at",
    "frequency_scale",
    "move",
    "normalize",
    "picture_of",
    "render",
    "start",
    "start_spectrum",
]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# columns: the decorrelated channels; divided by the largest column norm where it is used
COLORS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

START_STD = 0.01
AMPLITUDE = 4.0  # lucid's "magic constant"
PAD = 16
FIRST_SHIFT, SECOND_SHIFT = 16, 8  # pixels
SCALES = (1.0, 0.975, 1.025, 0.95, 1.05)
ANGLE = 5  # degrees


@dataclass(frozen=True)
class Moves:
    """What one step does to a picture: shifts (right, down) in pixels, a factor, an angle in degrees."""

    first: tuple[int, int]
    factor: float
    angle: int
    second: tuple[int, int]

    @classmethod
    def draw(cls, generator: torch.Generator) -> "Moves":
        """Each part uniformly, in the order of the fields."""

        def whole(largest: int) -> int:
            return int(torch.randint(-largest, largest + 1, (), generator=generator))

        def one_of(choices: tuple[float, ...]) -> float:
            return choices[int(torch.randint(len(choices), (), generator=generator))]

        return cls(
            first=(whole(FIRST_SHIFT), whole(FIRST_SHIFT)),
            factor=one_of(SCALES),
            angle=whole(ANGLE),
            second=(whole(SECOND_SHIFT), whole(SECOND_SHIFT)),
        )


def start_spectrum(size: int, generator: torch.Generator) -> Tensor:
    """Noise, (1, 3, S, S // 2 + 1, 2): real and imaginary parts, standard deviation 0.01."""
    return START_STD * torch.randn((1, 3, size, size // 2 + 1, 2), generator=generator)


def frequency_scale(size: int) -> Tensor:
    """lucid's weights, (S, S // 2 + 1): one over the frequency, bounded by one over the lowest of the picture."""
    rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :]
    return 1 / (rows.square() + columns.square()).sqrt().clamp(min=1 / size)


def picture_of(spectrum: Tensor, scale: Tensor) -> Tensor:
    """(1, 3, S, S // 2 + 1, 2), weights of `frequency_scale` -> RGB in (0, 1), (1, 3, S, S)."""
    size = spectrum.shape[-3]
    decorrelated = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(size, size), norm="ortho") / AMPLITUDE
    colors = spectrum.new_tensor(COLORS)
    colors = colors / colors.norm(dim=0).max()  # (RGB, decorrelated)
    return torch.sigmoid((decorrelated.movedim(1, -1) @ colors.T).movedim(-1, 1))


def normalize(picture: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] -> what ImageNet's classifiers were trained on."""
    return (picture - picture.new_tensor(MEAN)[:, None, None]) / picture.new_tensor(STD)[:, None, None]


def move(picture: Tensor, moves: Moves) -> Tensor:
    """(1, 3, S, S), normalised -> the same shape, moved by four warps between padding and crop."""
    padded = F.pad(picture, [PAD] * 4, mode="reflect")  # (1, 3, S + 32, S + 32)
    shifted = _translate(padded, *moves.first)
    scaled = _warp(shifted, [[1 / moves.factor, 0.0, 0.0], [0.0, 1 / moves.factor, 0.0]])
    cos, sin = math.cos(math.radians(moves.angle)), math.sin(math.radians(moves.angle))
    rotated = _warp(scaled, [[cos, sin, 0.0], [-sin, cos, 0.0]])  # clockwise as seen, the y axis points down
    shifted = _translate(rotated, *moves.second)
    return shifted[..., PAD:-PAD, PAD:-PAD]


def _translate(picture: Tensor, right: int, down: int) -> Tensor:
    half = (picture.shape[-1] - 1) / 2  # pixels in one unit of the warp
    return _warp(picture, [[1.0, 0.0, -right / half], [0.0, 1.0, -down / half]])


def _warp(picture: Tensor, matrix: list[list[float]]) -> Tensor:
    """Sample once. `matrix` maps a position in the result to one in the picture, both in units from -1 to 1."""
    grid = F.affine_grid(picture.new_tensor([matrix]), list(picture.shape), align_corners=True)  # (1, H, W, 2)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def ended_at(model: nn.Module, layer: str) -> nn.Module:
    """A copy of the network that ends at `layer` and returns its output map; its weights require gradients."""
    # not at the top, where it would be sorted before feature_vis.networks.torchvision_import
    from torchvision.models.feature_extraction import create_feature_extractor

    own = copy.deepcopy(model).to(memory_format=torch.contiguous_format).requires_grad_(True)  # type: ignore[call-overload]
    return _Only(create_feature_extractor(own, {layer: "target"}).eval())


class _Only(nn.Module):
    """Takes the one map out of an extractor's dictionary."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, batch: Tensor) -> Tensor:
        return self.extractor(batch)["target"]


class OriginalRecipe:
    """One channel's picture in the making; `network` is a result of `ended_at`, and may serve many channels."""

    def __init__(self, network: nn.Module, channel: int, size: int, seed: int, lr: float = 0.05) -> None:
        device = next(network.parameters()).device
        # a CPU generator keeps 32 bits of its seed; channels must not share draws
        self.generator = torch.Generator().manual_seed((seed * 100_003 + channel) % 2**32)
        self.network, self.channel = network, channel
        self.scale = frequency_scale(size).to(device)
        self.spectrum = start_spectrum(size, self.generator).to(device).requires_grad_(True)
        self.optimizer = torch.optim.Adam([self.spectrum], lr=lr)

    def step(self) -> Tensor:
        """One image-step; returns the objective before it, (), on the network's device."""
        self.optimizer.zero_grad()
        moved = move(normalize(self._picture()), Moves.draw(self.generator))  # (1, 3, S, S)
        objective = self.network(moved)[:, self.channel].mean()
        (-objective).backward()
        self.optimizer.step()
        return objective.detach()

    def picture(self) -> NDArray[np.uint8]:
        """The picture as it stands, (S, S, 3)."""
        with torch.no_grad():
            pixels = (self._picture()[0] * 255).round().to(torch.uint8)  # (3, S, S)
        return pixels.permute(1, 2, 0).cpu().numpy()

    def _picture(self) -> Tensor:
        return picture_of(self.spectrum, self.scale)


def start(model: nn.Module, layer: str, channel: int, size: int, seed: int, lr: float = 0.05) -> OriginalRecipe:
    """Before the first step. Copies and cuts the network: for many channels call `ended_at` once instead."""
    return OriginalRecipe(ended_at(model, layer), channel, size, seed, lr)


def render(model: nn.Module, layer: str, channel: int, size: int, steps: int, seed: int) -> NDArray[np.uint8]:
    """The picture of one channel after `steps` steps, (S, S, 3)."""
    recipe = start(model, layer, channel, size, seed)
    for _ in range(steps):
        recipe.step()
    return recipe.picture()
