"""Feature visualization: optimise a picture until it excites a channel.

`render` makes many pictures at once, each as if it were alone: every draw derives from (seed, layer, channel),
Adam works on each element by itself, and batch norm is in `eval` mode, so nothing couples the pictures of a
batch. `FeatureVisualizer` is the original's one-picture interface on top of it.

Source: Olah et al. 2017, "Feature Visualization"; transfer-visualization `feature_vis/render.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from feature_vis import objectives, transforms
from feature_vis.colors import decorrelated_to_rgb, normalize
from feature_vis.errors import InputError
from feature_vis.fourier import frequency_scale, spectrum_to_image, start_spectrum
from feature_vis.models import activation_at
from feature_vis.recipe import Recipe

__all__ = ["BATCH", "FeatureVisualizer", "Rendered", "render"]

# Pictures optimised at once. Always this many: a smaller rest is filled up with copies, because convolutions
# on a batch of another size round differently, and 64 steps make that visible. So a channel's bytes do not
# depend on which others are rendered with it.
BATCH = 8

OptimizerFactory = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True)
class Rendered:
    """One finished picture.

    `picture`: (H, W, 3) uint8. `activation_start`, `activation_reached`: the layer's output (after its ReLU),
    mean over the channel's map, for the start and for the finished 8-bit picture, without transforms.
    `trajectory`: (steps,) the objective at each step, under that step's transforms.
    """

    channel: int
    recipe: Recipe
    picture: np.ndarray
    activation_start: float
    activation_reached: float
    trajectory: np.ndarray


def render(
    model: nn.Module,
    layer: str,
    jobs: Sequence[tuple[int, Recipe]],
    *,
    device: str | torch.device = "cpu",
    batch: int = BATCH,
    progress: Callable[[int], object] | None = None,
) -> Iterator[Rendered]:
    """Render (channel, recipe) pairs of one layer; yields each batch's pictures as soon as it is finished.

    The same channel comes out the same, byte for byte on the CPU, whichever others are asked for with it.
    `progress` is called with the number of image-steps after each step. The network's mode, flags, place and
    weights are as before when the iterator ends.

    Raises:
        InputError: no such layer or channel.
    """
    ordered = sorted(jobs, key=lambda job: repr(job[1]))
    with _ready(model, torch.device(device)):
        for recipe, group in groupby(ordered, key=lambda job: job[1]):
            channels = [channel for channel, _ in group]
            for first in range(0, len(channels), batch):
                part = channels[first : first + batch]
                yield from _render_batch(model, layer, part, recipe, torch.device(device), batch, progress)


@contextmanager
def _ready(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode, no weight gradients, channels last, on the device; all put back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    home = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        model.eval().requires_grad_(False)
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        yield
    finally:
        model.to(home, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _render_batch(
    model: nn.Module,
    layer: str,
    channels: list[int],
    recipe: Recipe,
    device: torch.device,
    batch: int,
    progress: Callable[[int], object] | None,
) -> Iterator[Rendered]:
    filled = channels + [channels[0]] * (batch - len(channels))
    seeds: list[tuple[str | int, ...]] = [(recipe.seed, layer, channel) for channel in filled]
    moves = transforms.resolve(recipe.transforms)
    spectrum = torch.stack([start_spectrum(recipe.size, recipe.size, *seed) for seed in seeds])
    matrices = torch.stack([transforms.draw(moves, recipe.steps, *seed) for seed in seeds], 1)  # (T, B, 2, 3)
    wanted = torch.tensor(filled, device=device)  # (B,)

    scale = frequency_scale(recipe.size, recipe.size, recipe.decay_power)
    start = _quantized(_picture(spectrum, scale))
    with activation_at(model, layer, before_relu=recipe.objective == "pre_relu") as activation:
        spectrum, trajectory = _optimise(
            activation, spectrum.to(device), scale, matrices.to(device), wanted, recipe, len(channels), progress
        )
    finished = _quantized(_picture(spectrum.cpu(), scale))
    with activation_at(model, layer) as activation, torch.no_grad():
        began, reached = (
            objectives.channel(activation(_network_input(pictures.to(device))), wanted).cpu()
            for pictures in (start, finished)
        )
    for row, channel in enumerate(channels):
        yield Rendered(
            channel=channel,
            recipe=recipe,
            picture=(finished[row] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy(),  # (H, W, 3)
            activation_start=float(began[row]),
            activation_reached=float(reached[row]),
            trajectory=trajectory[:, row].numpy(),
        )


def _optimise(
    activation: Callable[[Tensor], Tensor],
    spectrum: Tensor,
    scale: Tensor,
    matrices: Tensor,
    wanted: Tensor,
    recipe: Recipe,
    counted: int,
    progress: Callable[[int], object] | None,
) -> tuple[Tensor, Tensor]:
    """Adam on the spectra, (B, 3, H, W // 2 + 1, 2), under (T, B, 2, 3) moves -> spectra, objective (T, B)."""
    spectrum = spectrum.clone().requires_grad_(True)
    scale = scale.to(spectrum)
    optimizer = torch.optim.Adam([spectrum], lr=recipe.learning_rate)
    trajectory = torch.empty(len(matrices), len(wanted), device=spectrum.device)
    for step, matrix in enumerate(matrices):
        picture = _picture(spectrum, scale)  # (B, 3, H, W)
        maps = activation(_network_input(transforms.warp(picture, matrix)))  # (B, K, h, w)
        _check_channels(wanted, maps)
        values = objectives.channel(maps, wanted)  # (B,)
        (spectrum.grad,) = torch.autograd.grad(-values.sum(), spectrum)
        optimizer.step()
        trajectory[step] = values.detach()
        if progress is not None:
            progress(counted)
    return spectrum.detach(), trajectory.cpu()


def _picture(spectrum: Tensor, scale: Tensor) -> Tensor:
    """(B, 3, H, W // 2 + 1, 2), frequency weights -> RGB (B, 3, H, W) in [0, 1], square."""
    return decorrelated_to_rgb(spectrum_to_image(spectrum, scale.to(spectrum), spectrum.shape[-3]))


def _quantized(pictures: Tensor) -> Tensor:
    """To the values that 8 bits can hold, still in [0, 1]: what is measured is what is saved."""
    return (pictures * 255).round() / 255


def _network_input(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> normalised, channels last in memory."""
    return normalize(pictures).contiguous(memory_format=torch.channels_last)


def _check_channels(wanted: Tensor, maps: Tensor) -> None:
    if maps.dim() < 2:
        raise InputError(f"the target's activation has shape {tuple(maps.shape)}: there are no channels in it")
    if outside := sorted({int(c) for c in wanted if not 0 <= c < maps.shape[1]}):
        raise InputError(f"there is no channel {outside}: the layer has {maps.shape[1]}, 0 to {maps.shape[1] - 1}")


class FeatureVisualizer:
    """Render one picture at a time: `FeatureVisualizer(model, device=device)(act_idx=309)`.

    `img_shape`: (height, width) in pixels. `transforms`: a preset of `feature_vis.transforms`, or a function from
    a normalised batch (1, 3, H, W) to another. `layer`: dotted name of the target, the network's output where
    empty. `hook(module, inputs, output)`: makes the activation, (B, K, …), from the target's output.
    """

    def __init__(
        self,
        model: nn.Module,
        img_shape: tuple[int, int] = (400, 400),
        transforms: str | Callable[[Tensor], Tensor] = "paper",
        device: str | torch.device = "cpu",
        layer: str = "",
        hook: Callable[[nn.Module, Any, Any], Tensor] | None = None,
    ) -> None:
        self.model = model
        self.img_shape = img_shape
        self.transforms = transforms
        self.device = torch.device(device)
        self.layer = layer
        self.hook = hook

    def __call__(
        self,
        act_idx: int,
        epochs: int = 200,
        lr: float = 0.05,
        optim: OptimizerFactory = torch.optim.Adam,
        maximize: bool = True,
        objective: str = "pre_relu",
        seed: int = 0,
        progress: bool = True,
        **options: Any,
    ) -> Image.Image:
        """The picture that excites (or with `maximize=False` quiets) index `act_idx` of the target.

        `epochs`: optimisation steps. `optim`: a class of `torch.optim`; `options` go to it.
        """
        height, width = self.img_shape
        scale = frequency_scale(height, width).to(self.device)
        spectrum = start_spectrum(height, width, seed, self.layer, act_idx).unsqueeze(0).to(self.device)
        spectrum.requires_grad_(True)
        optimizer = optim([spectrum], lr=lr, **options)
        move = self._mover(epochs, seed, act_idx)
        wanted = torch.tensor([act_idx], device=self.device)
        sign = -1.0 if maximize else 1.0
        with (
            _ready(self.model, self.device),
            activation_at(self.model, self.layer, before_relu=objective == "pre_relu", hook=self.hook) as activation,
        ):
            for step in tqdm(range(epochs), disable=None if progress else True):
                picture = decorrelated_to_rgb(spectrum_to_image(spectrum, scale, width))  # (1, 3, H, W)
                maps = activation(move(normalize(picture), step))
                _check_channels(wanted, maps)
                (spectrum.grad,) = torch.autograd.grad(sign * objectives.channel(maps, wanted).sum(), spectrum)
                optimizer.step()
        pixels = decorrelated_to_rgb(spectrum_to_image(spectrum.detach(), scale, width))[0]  # (3, H, W)
        return Image.fromarray((pixels * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())

    def _mover(self, steps: int, seed: int, act_idx: int) -> Callable[[Tensor, int], Tensor]:
        """What moves the picture, (1, 3, H, W), at a given step."""
        if callable(self.transforms):
            function = self.transforms
            return lambda picture, _step: function(picture)
        drawn = transforms.draw(transforms.resolve(self.transforms), steps, seed, self.layer, act_idx)
        matrices = drawn.to(self.device)  # (T, 2, 3)
        return lambda picture, step: transforms.warp(picture, matrices[step : step + 1])
