"""The original's recipe, written for comparison, does what its description says."""

import math
from dataclasses import replace

import numpy as np
import original
import pytest
import torch
from torch import nn

from feature_vis.networks.torchvision_import import torchvision

SIZE = 64
STILL = original.Moves(first=(0, 0), factor=1.0, angle=0, second=(0, 0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A network that nobody trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.resnet18().eval()


def activation(network: nn.Module, layer: str, channel: int, picture: np.ndarray) -> float:
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        return float(original.ended_at(network, layer)(original.normalize(batch))[:, channel].mean())


def test_the_activation_rises_and_the_network_stays_as_it_was(network: nn.Module) -> None:
    network.requires_grad_(False)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    recipe = original.start(network, "layer2.1", 5, SIZE, seed=0)
    before = activation(network, "layer2.1", 5, recipe.picture())
    for _ in range(12):
        recipe.step()
    assert activation(network, "layer2.1", 5, recipe.picture()) > 1.5 * before
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.parameters())


def test_a_seed_decides_the_picture(network: nn.Module) -> None:
    first, again, other = (original.render(network, "layer1.1", 3, 48, 3, seed) for seed in (7, 7, 8))
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    cut = original.ended_at(network, "layer1.0")
    one, two = (original.OriginalRecipe(cut, channel, 48, seed=0) for channel in (0, 1))
    assert not torch.equal(one.spectrum, two.spectrum)  # channels do not share their draws


def test_the_cut_network_returns_the_layers_output_and_runs_nothing_above(network: nn.Module) -> None:
    cut = original.ended_at(network, "layer2.0")
    batch = torch.rand(1, 3, SIZE, SIZE)
    below = nn.Sequential(*list(network.children())[:5], network.get_submodule("layer2.0"))
    torch.testing.assert_close(cut(batch), below(batch))
    assert {name.split(".")[1] for name, _ in cut.named_parameters()} == {"conv1", "bn1", "layer1", "layer2"}
    assert all(parameter.requires_grad for parameter in cut.parameters())


@pytest.mark.parametrize("size", [32, 33])
def test_spectrum_to_picture_agrees_with_numpy(size: int) -> None:
    spectrum = 20 * original.start_spectrum(size, torch.Generator().manual_seed(0))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    values = spectrum.numpy().astype(np.float64) @ [1, 1j]  # (1, 3, S, S // 2 + 1)
    waves = np.fft.irfft2(values / np.maximum(frequency, 1 / size), s=(size, size), norm="ortho") / 4
    colors = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    colors /= np.linalg.norm(colors, axis=0).max()
    expected = 1 / (1 + np.exp(-np.einsum("ij,bjhw->bihw", colors, waves)))
    actual = original.picture_of(spectrum, original.frequency_scale(size))
    np.testing.assert_allclose(actual.numpy(), expected, atol=1e-5)
    reference = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    torch.testing.assert_close(original.normalize(actual), reference(actual))


def test_a_shift_moves_right_and_down_and_reflects_the_border_in() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 40), indexing="ij")
    picture = torch.stack([x + 0.5 * y, x * y, torch.sin(2 * x) - y])[None]  # smooth, without symmetry
    torch.testing.assert_close(original.move(picture, STILL), picture, atol=1e-5, rtol=0)
    for moves in (replace(STILL, first=(5, -3)), replace(STILL, second=(5, -3))):
        moved = original.move(picture, moves)
        torch.testing.assert_close(moved[..., :-3, 5:], picture[..., 3:, :-5], atol=1e-4, rtol=0)
        torch.testing.assert_close(moved[..., :-3, :5], picture[..., 3:, 1:6].flip(-1), atol=1e-4, rtol=0)


def test_scale_and_rotate_are_about_the_centre() -> None:
    y, x = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(40) - 19.5, indexing="ij")
    ramps = torch.stack([x, y, x + y])[None]  # bilinear sampling is exact on ramps
    inner = slice(4, -4)  # away from the border, where reflection bends the ramps
    cos, sin = math.cos(math.radians(5)), math.sin(math.radians(5))
    larger = replace(STILL, factor=1.05), x / 1.05, y / 1.05  # nearer the centre in the picture
    turned = replace(STILL, angle=5), cos * x + sin * y, cos * y - sin * x  # clockwise, the y axis points down
    for moves, u, v in (larger, turned):
        moved = original.move(ramps, moves)[0, :, inner, inner]
        torch.testing.assert_close(moved, torch.stack([u, v, u + v])[:, inner, inner], atol=1e-3, rtol=0)


def test_moves_are_drawn_from_the_whole_ranges() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [original.Moves.draw(generator) for _ in range(2000)]
    assert {moves.factor for moves in drawn} == {1.0, 0.975, 1.025, 0.95, 1.05}
    assert {moves.angle for moves in drawn} == set(range(-5, 6))
    for axis in (0, 1):
        assert {moves.first[axis] for moves in drawn} == set(range(-16, 17))
        assert {moves.second[axis] for moves in drawn} == set(range(-8, 9))
