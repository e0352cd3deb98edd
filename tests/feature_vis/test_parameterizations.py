"""Each parameterization against NumPy, and the contract against all of them."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from feature_vis import parameterizations
from feature_vis.errors import InputError
from feature_vis.images.fourier import frequency_scale, spectrum_to_image
from feature_vis.parameterizations import Fourier, Laplacian, Maco, Parameterization, Pixel, parameterization
from feature_vis.recipe import CHOICES
from feature_vis.seeding import generator

NAMES = CHOICES["parameterization"]
SIZES = [(16, 16), (17, 19), (12, 9), (9, 12)]
EXACT = [name for name in NAMES if name != "maco"]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def magnitude(size: tuple[int, int], channels: int) -> Tensor:
    """Like a natural picture's: it falls with the frequency; (C, H, W // 2 + 1)."""
    strength = torch.arange(1, channels + 1).view(-1, 1, 1)
    return strength * frequency_scale(*size) / max(size)


def made(name: str, size: tuple[int, int], channels: int = 3, decay_power: float = 1.0) -> Parameterization:
    if name == "laplacian":
        return Laplacian(size, channels, levels=3, decay_power=decay_power)
    return parameterization(name, size, channels, decay_power, magnitude(size, channels))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_the_contract(name: str, size: tuple[int, int], channels: int) -> None:
    it = made(name, size, channels)
    assert (type(it).__name__.lower(), it.size, it.channels) == (name, size, channels)
    start = it.start(0, "layer", 1)
    assert start.shape == it.shape
    assert start.is_contiguous()
    torch.manual_seed(5)
    assert torch.equal(start, it.start(0, "layer", 1))
    for other in [(1, "layer", 1), (0, "other", 1), (0, "layer", 2)]:
        assert not torch.equal(start, it.start(*other))

    parameters = torch.stack([it.start(seed) for seed in range(3)]).requires_grad_(True)
    pictures = it.image(parameters)
    assert pictures.shape == (3, channels, *size)
    (gradient,) = torch.autograd.grad((pictures[1] * noise(channels, *size)).sum(), parameters)
    assert gradient.isfinite().all()
    assert gradient[1].any()
    assert not gradient[[0, 2]].any()

    grown = it.grown(parameters, made(name, size, channels))
    torch.testing.assert_close(it.image(grown), pictures, atol=1e-5, rtol=0)
    for decay_power in (0.0, 0.5, 1.0, 2.0):
        it = made(name, size, channels, decay_power)
        shown = pictures.detach() if name == "maco" else noise(3, channels, *size)  # maco's contrast is not free
        batch = it.parameters_of(shown)
        torch.testing.assert_close(batch[1], it.parameters_of(shown[1]))
        torch.testing.assert_close(it.image(batch), shown, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "size"), list(itertools.product(EXACT, SIZES)))
def test_grown_is_the_same_picture_at_a_larger_size(name: str, size: tuple[int, int]) -> None:
    larger = made(name, (size[0] * 4, size[1] * 4))
    it = made(name, size)
    # smooth, or the ways of interpolation differ
    y, x = np.meshgrid(*(np.arange(count) / count for count in size), indexing="ij")
    picture = torch.from_numpy(np.cos(2 * np.pi * y) + 0.5 * np.sin(2 * np.pi * x)).float().expand(1, 3, *size)
    grown = larger.image(it.grown(it.parameters_of(picture), larger))
    assert grown.shape == (1, 3, *larger.size)
    if name == "fourier":
        torch.testing.assert_close(grown[..., ::4, ::4], picture, atol=1e-5, rtol=0)
    else:
        back = torch.nn.functional.interpolate(grown, size=size, mode="area")
        torch.testing.assert_close(back, picture, atol=0.06, rtol=0)


def test_the_start_of_published_pictures_does_not_change() -> None:
    fourier, pixel = Fourier((9, 12), channels=4, decay_power=0.5), Pixel((9, 12), channels=4)
    for it in (fourier, pixel):
        expected = 0.01 * torch.randn(it.shape, generator=generator(3, "layer", 2, "start"))
        assert torch.equal(it.start(3, "layer", 2), expected)
    start = fourier.start(0)[None]
    assert torch.equal(fourier.image(start), spectrum_to_image(start, frequency_scale(9, 12, 0.5), 12))
    picture = noise(4, 9, 12)
    pixel.parameters_of(picture).zero_()
    assert picture.any()  # the caller's tensor


def reference_stretch(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear with pixel middles at (i + 0.5) / count, the border repeated: (h, w) -> `size`."""
    for axis, count in enumerate(size):
        old = picture.shape[axis]
        where = ((np.arange(count) + 0.5) * old / count - 0.5).clip(0, old - 1)
        picture = np.apply_along_axis(lambda line, at=where: np.interp(at, np.arange(len(line)), line), axis, picture)
    return picture


@pytest.mark.parametrize("decay_power", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("size", SIZES)
def test_laplacian_agrees_with_numpy(size: tuple[int, int], decay_power: float) -> None:
    it = Laplacian(size, channels=2, levels=3, decay_power=decay_power)
    parameters = noise(*it.shape)
    levels, offset = [], 0
    for level in range(3):
        height, width = size[0] // 2**level, size[1] // 2**level
        values = parameters[offset : offset + 2 * height * width].double().numpy().reshape(2, height, width)
        levels.append(values * 2 ** (level * (decay_power - 1)))
        offset += values.size
    assert offset == len(parameters)
    for channel in range(2):
        expected = levels[2][channel]
        for level in (1, 0):
            expected = levels[level][channel] + reference_stretch(expected, levels[level].shape[1:])
        np.testing.assert_allclose(it.image(parameters[None])[0, channel].numpy(), expected, atol=1e-5)


def test_a_smooth_picture_is_in_the_coarse_levels() -> None:
    it = Laplacian((16, 16), channels=1, levels=3)
    parameters = it.parameters_of(torch.full((1, 16, 16), 0.7))
    torch.testing.assert_close(parameters, torch.cat([torch.zeros(256 + 64), torch.full((16,), 0.7)]))


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (2, 2), (1, 5), (5, 1), (3, 2)])
def test_maco_keeps_the_magnitude_whatever_the_phases(size: tuple[int, int]) -> None:
    wanted = magnitude(size, 2).requires_grad_(True)
    it = Maco(size, 2, wanted)
    picture = it.image(5 * noise(1, *it.shape))
    assert not picture.requires_grad
    actual, expected = np.abs(np.fft.rfft2(picture[0].double().numpy(), norm="ortho")), wanted.detach().numpy().copy()
    rows, columns = np.indices(expected.shape[1:])
    own = (2 * rows % size[0] == 0) & (2 * columns % size[1] == 0)  # such a frequency is its own conjugate
    np.testing.assert_allclose(actual[:, ~own], expected[:, ~own], atol=1e-5)
    assert (actual[:, own] <= expected[:, own] + 1e-5).all()
    with torch.no_grad():
        wanted.zero_()  # it is the caller's
    assert torch.equal(it.image(5 * noise(1, *it.shape)), picture)


@pytest.mark.parametrize("size", SIZES)
def test_maco_agrees_with_numpy(size: tuple[int, int]) -> None:
    wanted = magnitude(size, 2)
    it = Maco(size, 2, wanted)
    phases = it.start(4)  # such ones need no pairing of rows
    expected = np.fft.irfft2(wanted.numpy() * np.exp(1j * phases.double().numpy()), s=size, norm="ortho")
    np.testing.assert_allclose(it.image(phases[None])[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (8, 7), (1, 6)])
def test_maco_with_a_pictures_own_magnitude_shows_the_picture(size: tuple[int, int]) -> None:
    dot = torch.zeros(size).double()
    dot[0, 0] = -1  # all of its waves are negative: a phase of π in row k and in row -k too
    pictures = torch.stack([dot, dot.roll(size[1] // 2, 1), noise(*size).double()])
    it = Maco(size, 3, torch.fft.rfft2(pictures, norm="ortho").abs())
    torch.testing.assert_close(it.image(it.parameters_of(pictures)[None])[0], pictures, atol=1e-6, rtol=0)


def test_macos_start_is_spread_over_the_circle() -> None:
    phases = Maco((64, 64), 1, torch.ones(1, 64, 33)).start(0)
    assert phases.abs().max() <= np.pi + 1e-6
    counts = torch.histc(phases, bins=8, min=-np.pi, max=np.pi) / phases.numel()
    np.testing.assert_allclose(counts.numpy(), 1 / 8, atol=0.03)


def test_macos_grown_phases_have_the_larger_magnitude() -> None:
    small, large = Maco((9, 9), 1, magnitude((9, 9), 1)), Maco((18, 20), 1, 2 * magnitude((18, 20), 1))
    grown = small.grown(small.start(0)[None], large)
    assert grown.shape == (1, *large.shape)
    spectrum = torch.fft.rfft2(large.image(grown), norm="ortho").abs()
    torch.testing.assert_close(spectrum[0], large.magnitude, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_what_inference_made_first_serves_gradients_later(name: str) -> None:
    parameterizations._frequency_scale.cache_clear()
    it = made(name, (16, 16))
    parameters = it.start(0).unsqueeze(0)
    with torch.inference_mode():
        expected = it.image(parameters)
    parameters.requires_grad_(True)
    picture = it.image(parameters)
    picture.square().sum().backward()
    assert torch.equal(picture, expected)
    assert parameters.grad is not None
    assert parameters.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shapes_and_kinds_are_refused(name: str) -> None:
    it = made(name, (16, 16))
    parameters = it.start(0).unsqueeze(0)
    other = made(NAMES[NAMES.index(name) - 1], (32, 32))
    for wrong in [(3, 16, 17), (1, 16, 16), (16, 16)]:
        with pytest.raises(InputError, match="the picture is"):
            it.parameters_of(torch.zeros(wrong))
    for call, message in [
        (lambda: it.image(it.start(0)), "parameters of shape"),
        (lambda: it.grown(it.start(0), it), "parameters of shape"),
        (lambda: it.grown(parameters, made(name, (32, 15))), "can only grow, not become"),
        (lambda: it.grown(parameters, made(name, (16, 16), channels=1)), "of 3 channels cannot grow to"),
        (lambda: it.grown(parameters, other), "cannot grow to"),
    ]:
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parameterization("cppn", (16, 16)), "'cppn': known are fourier, pixel, laplacian, maco"),
        (lambda: parameterization("maco", (16, 16)), r"images\.statistics\.magnitude_spectrum"),
        (lambda: Maco((16, 16), 3, torch.ones(3, 16, 16)), r"shape \(3, 16, 9\), not \(3, 16, 16\)"),
        (lambda: Maco((2, 2), 1, torch.full((1, 2, 2), -1.0)), "finite and nowhere negative"),
        (lambda: Maco((2, 2), 1, torch.full((1, 2, 2), torch.nan)), "finite and nowhere negative"),
        (lambda: Fourier((0, 16)), "size is"),
        (lambda: Pixel((16, 16), channels=0), "at least 1 channel"),
        (lambda: Fourier((16, 16), decay_power=-1.0), "decay power"),
        (lambda: Fourier((16, 16), decay_power=float("nan")), "decay power"),
        (lambda: Fourier((8, 8)).grown(noise(1, 3, 8, 5, 2), Fourier((16, 16), decay_power=0.5)), "decay power"),
        (lambda: Laplacian((4, 100), levels=0), "1 to 3 levels"),
        (lambda: Laplacian((4, 100), levels=4), "1 to 3 levels"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
