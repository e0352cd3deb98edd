"""What the network sees, against SciPy part by part, and where the draws come from."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from feature_vis.errors import InputError
from feature_vis.seeding import generator
from feature_vis.transforms import PRESETS, Draws, Transforms, apply, draw, frame, resolve, stack, warp

EVERYTHING = Transforms(
    pad=3, translate=(2, 1), scale=(0.9, 1.1), rotate=(-10, 0, 10), trim=1, crop=(0.5, 0.9), flip=True, blur=1.5,
    noise=0.1, fill=0.5,
)  # fmt: skip


def _pixels(height: int, width: int) -> np.ndarray:
    """(3, H · W): x, y and 1 of every pixel, from the centre."""
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    return np.stack([x - (width - 1) / 2, y - (height - 1) / 2, np.ones(height * width)])


def _sample(picture: np.ndarray, points: np.ndarray, size: tuple[int, int], fill: str | float) -> np.ndarray:
    """SciPy's bilinear values of (C, H, W) at points (2+, N) from the centre -> (C, H', W')."""
    height, width = picture.shape[1:]
    places = np.stack([points[1] + (height - 1) / 2, points[0] + (width - 1) / 2])
    outside = {"mode": "mirror"} if fill == "reflection" else {"mode": "grid-constant", "cval": fill}
    return np.stack(
        [scipy.ndimage.map_coordinates(plane, places, order=1, **outside).reshape(size) for plane in picture]
    )


def _one_after_the_other(transforms: Transforms, step: int, seed: tuple[str | int, ...]) -> np.ndarray:
    """(3, 3): where translate, scale, rotate, translate carry a pixel, each a matrix, multiplied in float64."""
    u = torch.rand((step + 1, 6), generator=generator(*seed, "transforms"))[step].double().numpy()

    def shift(share: np.ndarray, largest: int) -> np.ndarray:
        matrix = np.eye(3)
        matrix[:2, 2] = np.floor(share * (2 * largest + 1)) - largest
        return matrix

    factor = transforms.scale[int(u[4] * len(transforms.scale))]
    angle = np.deg2rad(transforms.rotate[int(u[5] * len(transforms.rotate))])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    before, after = (shift(u[2 * i : 2 * i + 2], transforms.translate[i]) for i in (0, 1))
    return after @ turn @ np.diag([factor, factor, 1]) @ before


def _pictures(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.rand((batch, 3, height, width), generator=generator("pictures"), dtype=torch.float64)


def at(draws: list[Draws], steps: list[int]) -> Draws:
    """Each picture's draws of its own step."""
    return stack(draws).at(torch.tensor(steps))


@pytest.mark.parametrize("size", [(12, 12), (11, 16), (17, 10)])
@pytest.mark.parametrize("fill", ["reflection", 0.25])
@pytest.mark.parametrize("grown", [0, 5])
def test_warp_agrees_with_scipy(size: tuple[int, int], fill: str | float, grown: int) -> None:
    pictures = _pictures(2, *size)
    matrices = np.array([[[0.9, 0.2, 3.5], [-0.1, 1.2, -2.25]], [[-1.1, 0.0, 0.5], [0.3, 0.8, 9.0]]])
    to = (size[0] + grown, size[1] + 2 * grown)
    moved = warp(pictures, torch.from_numpy(matrices), to, fill)
    expected = [
        _sample(p.numpy(), matrix @ _pixels(*to), to, fill) for p, matrix in zip(pictures, matrices, strict=True)
    ]
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-9)
    narrow = warp(pictures.float(), torch.from_numpy(matrices).float(), to, fill)
    np.testing.assert_allclose(narrow.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(40, 40), (37, 52)])
@pytest.mark.parametrize("name", ["paper", "small", "lucid"])
def test_a_preset_does_its_parts_one_after_the_other(name: str, size: tuple[int, int]) -> None:
    transforms, pictures, steps = PRESETS[name], _pictures(4, *size), [0, 3, 1, 8]
    draws = [draw(transforms, 9, "parts", i) for i in range(4)]
    seen = apply(pictures, transforms, at(draws, steps))
    to = frame(size, transforms)
    for i, step in enumerate(steps):
        back = np.linalg.inv(_one_after_the_other(transforms, step, ("parts", i)))
        expected = _sample(pictures[i].numpy(), back @ _pixels(*to), to, transforms.fill)
        np.testing.assert_allclose(seen[i].numpy(), expected, atol=1e-5)


def test_presets_have_the_numbers_of_their_sources() -> None:
    assert PRESETS["paper"] == Transforms(
        pad=16, translate=(16, 8), scale=(1, 0.975, 1.025, 0.95, 1.05), rotate=tuple(range(-5, 6)), trim=16
    )
    lucid = PRESETS["lucid"]
    assert (min(lucid.scale), max(lucid.scale), len(lucid.scale)) == (0.9, 1.1, 11)
    assert sorted(set(lucid.rotate)) == list(range(-10, 11))
    assert lucid.rotate.count(0) == 6
    assert lucid.fill == 0.5
    assert frame((20, 25), lucid) == (32, 37)


def test_a_window_is_cut_out_and_resized() -> None:
    transforms = Transforms(crop=(0.3, 0.8))
    size = height, width = 23, 30
    pictures = _pictures(1, *size)
    for step in range(5):
        v = torch.rand((5, 5), generator=generator("window", "windows"))[step].double().numpy()
        share = 0.3 + 0.5 * v[0]
        left, top = v[1:3] * (1 - share) * np.array([width, height])
        x = left + (np.arange(width) + 0.5) * share - 0.5
        y = top + (np.arange(height) + 0.5) * share - 0.5
        points = np.stack(np.broadcast_arrays(x[None] - (width - 1) / 2, y[:, None] - (height - 1) / 2)).reshape(2, -1)
        seen = apply(pictures, transforms, at([draw(transforms, 5, "window")], [step]))
        np.testing.assert_allclose(seen[0], _sample(pictures[0].numpy(), points, size, "reflection"), atol=1e-5)


def test_a_flip_happens_half_the_time_and_twice_is_none() -> None:
    transforms = Transforms(flip=True)
    pictures, drawn = _pictures(1, 7, 10), [draw(transforms, 200, "flip")]
    flipped = 0
    for step in range(200):
        once = apply(pictures, transforms, at(drawn, [step]))
        torch.testing.assert_close(apply(once, transforms, at(drawn, [step])), pictures)
        if not torch.allclose(once, pictures):
            torch.testing.assert_close(once, pictures.flip(-1))
            flipped += 1
    assert 70 < flipped < 130


@pytest.mark.parametrize("size", [(12, 17), (3, 40)])  # a blur wider than the picture is mirrored more than once
def test_blur_agrees_with_scipy_and_keeps_the_mean(size: tuple[int, int]) -> None:
    transforms = Transforms(blur=2.0)
    pictures, draws = _pictures(3, *size), [draw(transforms, 4, i) for i in range(3)]
    seen = apply(pictures, transforms, at(draws, [0, 3, 2]))
    for i, step in enumerate([0, 3, 2]):
        sigma = float(draws[i].sigmas[step])
        assert 0 <= sigma < 2
        weights = np.exp(-(np.arange(-6, 7) ** 2) / (2 * sigma**2))
        expected = pictures[i].numpy()
        for axis in (1, 2):
            expected = scipy.ndimage.correlate1d(expected, weights / weights.sum(), axis, mode="reflect")
        np.testing.assert_allclose(seen[i], expected, atol=1e-5)
    torch.testing.assert_close(seen.mean((2, 3)), pictures.mean((2, 3)), atol=1e-6, rtol=0)


def test_noise_has_its_standard_deviation_and_its_own_stream_a_step() -> None:
    transforms = Transforms(noise=0.1)
    grey = torch.full((3, 3, 80, 80), 0.5)
    draws = [draw(transforms, 5, seed) for seed in (0, 0, 1)]
    noise = apply(grey, transforms, at(draws, [4, 2, 4])) - grey
    assert noise.std((1, 2, 3)).numpy() == pytest.approx(0.1, rel=0.03)
    assert noise.mean((1, 2, 3)).numpy() == pytest.approx(0, abs=0.003)
    correlations = np.corrcoef(noise.flatten(1).numpy())
    assert abs(correlations[np.triu_indices(3, 1)]).max() < 0.03
    assert torch.equal(apply(grey, transforms, at(draws, [4, 2, 4])) - grey, noise)


def splitmix64(seed: int, count: int) -> list[int]:
    """Steele, Lea and Flood 2014, in Python's whole numbers."""
    outputs, mask = [], 2**64 - 1
    for i in range(1, count + 1):
        z = (seed + i * 0x9E3779B97F4A7C15) & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        outputs.append(z ^ z >> 31)
    return outputs


def test_noise_is_normal_and_comes_from_a_published_counter() -> None:
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]  # as published
    transforms = Transforms(noise=2.0)
    drawn = draw(transforms, 3, "counter")
    noise = apply(torch.zeros(1, 3, 31, 33), transforms, at([drawn], [2])).flatten()
    numbers = splitmix64(int(drawn.noise_keys[2]) % 2**64, math.ceil(len(noise) / 4))
    shares = np.array([(number >> shift & 0xFFFF) + 0.5 for number in numbers for shift in (0, 16, 32, 48)]) / 65536
    np.testing.assert_allclose(noise, 2 * scipy.stats.norm.ppf(shares)[: len(noise)], rtol=1e-6)
    assert scipy.stats.kstest(noise / 2, "norm").pvalue > 0.001
    # neither neighbours nor the four values of one number, nor the streams of two steps, go together
    other = apply(torch.zeros(1, 3, 31, 33), transforms, at([drawn], [1])).flatten()
    assert all(abs(np.corrcoef(noise[lag:], noise[:-lag])[0, 1]) < 0.06 for lag in (1, 2, 3, 4, 33))
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.06


@pytest.mark.parametrize("transforms", [PRESETS["paper"], PRESETS["lucid"], PRESETS["crops"], EVERYTHING])
def test_a_picture_does_not_depend_on_the_others_of_its_batch(transforms: Transforms) -> None:
    pictures = _pictures(5, 21, 30).float()
    draws, steps = [draw(transforms, 6, "batch", i) for i in range(5)], [5, 0, 2, 2, 1]
    together = apply(pictures, transforms, at(draws, steps))
    assert together.shape[2:] == frame((21, 30), transforms)
    for i in range(5):
        alone = apply(pictures[i : i + 1], transforms, at(draws[i : i + 1], steps[i : i + 1]))
        torch.testing.assert_close(alone[0], together[i], atol=1e-6, rtol=0)


def test_no_transform_returns_the_pictures_themselves() -> None:
    pictures = torch.rand(2, 3, 9, 10)
    for transforms in (PRESETS["none"], Transforms(pad=5, trim=5)):
        draws = [draw(transforms, 1, i) for i in range(2)]
        assert apply(pictures, transforms, at(draws, [0, 0])) is pictures


@pytest.mark.parametrize("transforms", [PRESETS["small"], EVERYTHING], ids=["small", "everything"])
def test_gradients(transforms: Transforms) -> None:
    pictures = torch.rand((2, 1, 5, 6), dtype=torch.float64, requires_grad=True)
    draws = [draw(transforms, 3, i) for i in range(2)]
    assert torch.autograd.gradcheck(lambda x: apply(x, transforms, at(draws, [2, 0])), pictures)


@pytest.mark.gpu
def test_a_gpu_shows_the_network_the_same() -> None:
    pictures = _pictures(3, 33, 40)
    draws, steps = [draw(EVERYTHING, 4, i) for i in range(3)], [3, 1, 0]
    there = apply(pictures.cuda(), EVERYTHING, stack(draws, "cuda").at(torch.tensor(steps, device="cuda")))
    torch.testing.assert_close(there.cpu(), apply(pictures, EVERYTHING, at(draws, steps)), atol=1e-6, rtol=0)
    noise = Transforms(noise=1.0)
    draws, grey = [draw(noise, 2, i) for i in range(2)], torch.zeros(2, 3, 40, 50)
    there = apply(grey.cuda(), noise, stack(draws, "cuda").at(torch.tensor([1, 0], device="cuda")))
    assert torch.equal(there.cpu(), apply(grey, noise, at(draws, [1, 0])))


def test_a_longer_run_begins_with_the_draws_of_a_shorter_one() -> None:
    short, long = draw(EVERYTHING, 10, 0, "layer4", 3), draw(EVERYTHING, 50, 0, "layer4", 3)
    for part in ("matrices", "windows", "sigmas", "noise_keys"):
        assert torch.equal(getattr(short, part), getattr(long, part)[:10])
    assert not torch.equal(draw(EVERYTHING, 10, 0, "layer4", 4).matrices, short.matrices)


def test_the_draws_of_a_published_recipe_do_not_change() -> None:
    paper = draw(PRESETS["paper"], 3, 0, "layer4.2", 7).matrices
    small = draw(PRESETS["small"], 3, 0, "layer4.2", 7).matrices
    expected = [
        [[0.9742727, 0.0510595, 0.9489405], [-0.0510595, 0.9742727, -16.9742736]],
        [[0.9742727, -0.0510595, 6.0522447], [0.0510595, 0.9742727, -12.3578110]],
        [[1.0500674, -0.0734279, -13.9299183], [0.0734279, 1.0500674, -19.3704853]],
    ]
    np.testing.assert_allclose(paper, expected, atol=1e-6)
    np.testing.assert_allclose(small[:, :, :2], paper[:, :, :2], atol=1e-6)
    np.testing.assert_allclose(small[:, :, 2], [[0, -4], [1.0003951, -3.1278462], [-3.9766395, -5.1234951]], atol=1e-6)


def test_draws_stay_within_their_bounds_and_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shifts = draw(Transforms(translate=(3, 0)), 2000, "bounds").matrices[:, :, 2]
    assert {int(value) for value in shifts.flatten()} == set(range(-3, 4))
    angles = draw(Transforms(rotate=(-90, 0, 30)), 500, "bounds").matrices[:, 0, 1].rad2deg().sin()
    assert len({round(float(angle), 4) for angle in angles}) == 3
    factors = 1 / draw(Transforms(scale=(0.5, 1, 2)), 500, "bounds").matrices[:, 0, 0]
    assert {round(float(factor), 4) for factor in factors} == {0.5, 1, 2}
    # the last number before 1: times a whole number it must not round up to that number
    monkeypatch.setattr(torch, "rand", lambda shape, generator: torch.full(shape, 1 - 2**-24))
    shift = draw(Transforms(translate=(5, 0)), 1, 0).matrices[0, :, 2]
    assert shift.tolist() == [-5, -5]
    assert draw(Transforms(scale=(4.0,) * 10 + (2.0,)), 1, 0).matrices[0, 0, 0] == 0.5


def test_transforms_of_a_larger_picture_are_larger() -> None:
    assert PRESETS["paper"].scaled(0.5) == replace(PRESETS["paper"], pad=8, translate=(8, 4), trim=8)
    assert EVERYTHING.scaled(1.5) == replace(EVERYTHING, pad=5, translate=(3, 2), trim=2, blur=2.25)
    assert EVERYTHING.scaled(1) == EVERYTHING


def test_presets_and_settings_are_transforms_and_unknown_ones_are_named() -> None:
    assert resolve({"pad": 2, "translate": [3, 1], "flip": True}) == Transforms(pad=2, translate=(3, 1), flip=True)
    with pytest.raises(InputError, match=r"no jitter: they have pad, translate"):
        resolve({"jitter": 3})
    with pytest.raises(InputError, match=r"'papr'.*paper, small, lucid"):
        resolve("papr")
    assert resolve("lucid") is PRESETS["lucid"]


def test_what_does_not_fit_is_refused() -> None:
    wrong = [{"pad": -1}, {"translate": (0, -1)}, {"scale": ()}, {"scale": (1, 0)}, {"rotate": ()}, {"crop": (0, 1)}]
    wrong += [{"crop": (0.9, 0.5)}, {"crop": (0.5, 1.5)}, {"blur": -0.1}, {"fill": "mirror"}, {"fill": 2}]
    for fields in wrong:
        with pytest.raises(InputError, match=next(iter(fields))):
            Transforms(**fields)
    small, pictures = PRESETS["small"], torch.rand(2, 3, 8, 8)
    draws = [draw(small, 4, i) for i in range(2)]
    with pytest.raises(InputError, match="2 pictures need as many draws"):
        apply(pictures, small, at(draws[:1], [0]))
    with pytest.raises(InputError, match="nothing is left"):
        frame((8, 20), Transforms(trim=4))
    with pytest.raises(InputError, match="above 0"):
        small.scaled(0)
