"""Objectives of two networks: values by SciPy, gradients by finite differences, pictures of a planted filter."""

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from alike import alike
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, logsumexp, softmax
from torch import Tensor, nn

from feature_vis.differences import DIVERGENCES, distance, divergence, largest_rise, rise
from feature_vis.errors import InputError
from feature_vis.evaluation import ReadActivation, values
from feature_vis.objectives import Objective, Objectives, reads
from feature_vis.optimisation import checkpointing
from feature_vis.optimisation.prepared_networks import find_problems
from feature_vis.recipe import Recipe
from feature_vis.render import render

CPU = torch.device("cpu")
TUNED, BASE = Objectives(nn.Identity()), Objectives(nn.Identity())
RECIPE = Recipe(size=21, steps=32, precision="float32", transforms="none", colors="none", decay_power=0.0)


def logits(scale: float = 3.0, pictures: int = 4) -> tuple[Tensor, Tensor]:
    """Of both networks, (B, 6)."""
    some = torch.Generator().manual_seed(0)
    one, other = (scale * torch.randn(pictures, 6, generator=some, dtype=torch.float64) for _ in range(2))
    return one, other


def reader(tuned: Tensor, base: Tensor) -> ReadActivation:
    return lambda source, _layer, _before: tuned if source is TUNED else base


def kl(one: np.ndarray, other: np.ndarray) -> float:
    return float((softmax(one) * (log_softmax(one) - log_softmax(other))).sum())


def centred(row: np.ndarray) -> np.ndarray:
    return row - row.mean()


REFERENCES: dict[str, tuple[Objective, Callable[[np.ndarray, np.ndarray], float]]] = {
    "kl": (divergence(TUNED, BASE), kl),
    "reverse_kl": (divergence(TUNED, BASE, "reverse_kl"), lambda t, b: kl(b, t)),
    "js": (divergence(TUNED, BASE, "js"), lambda t, b: jensenshannon(softmax(t), softmax(b)) ** 2),
    "largest_rise": (largest_rise(TUNED, BASE), lambda t, b: (centred(t) - centred(b)).max()),
    "largest_rise:3": (
        largest_rise(TUNED, BASE, 3),
        lambda t, b: 3 * logsumexp((centred(t) - centred(b)) / 3),
    ),
    "rise": (rise(TUNED, BASE, 2), lambda t, b: (centred(t) - centred(b))[2]),
    "distance": (distance(TUNED, BASE, ""), lambda t, b: np.linalg.norm(t - b)),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("scale", [0.01, 3.0, 30.0])
def test_values_against_numpy_and_scipy(name: str, scale: float) -> None:
    objective, reference = REFERENCES[name]
    tuned, base = logits(scale)
    found = values([objective] * 4, reader(tuned, base), CPU)
    expected = [reference(t, b) for t, b in zip(tuned.numpy(), base.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_gradients_against_finite_differences(name: str) -> None:
    objective, _ = REFERENCES[name]
    tuned, base = (each.requires_grad_(True) for each in logits())
    assert torch.autograd.gradcheck(lambda t, b: values([objective] * 4, reader(t, b), CPU), (tuned, base))


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_logits_and_equal_ones_are_safe(name: str, dtype: torch.dtype) -> None:
    objective, reference = REFERENCES[name]
    for tuned, base in [logits(1e4), (logits()[0], logits()[0])]:
        inputs = [each.to(dtype).requires_grad_(True) for each in (tuned, base)]
        found = values([objective] * 4, reader(*inputs), CPU)
        assert found.dtype == torch.float32
        rounded = [each.detach().double().numpy() for each in inputs]
        expected = [reference(t, b) for t, b in zip(*rounded, strict=True)]
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-3, atol=1e-5)
        assert all(slope.isfinite().all() for slope in torch.autograd.grad(found.sum(), inputs))


def test_a_distance_is_that_of_the_means_over_positions() -> None:
    some = torch.Generator().manual_seed(0)
    tuned, base = (torch.randn(2, 5, 3, 4, generator=some) for _ in range(2))
    found = values([distance(TUNED, BASE, "a")] * 2, reader(tuned, base), CPU)
    np.testing.assert_allclose(found, np.linalg.norm((tuned - base).mean((2, 3)), axis=1), rtol=1e-5)


def test_they_mix_with_all_objectives_and_each_row_has_its_own() -> None:
    tuned, base = logits(pictures=7)
    one = [objective for objective, _ in REFERENCES.values()]
    wanted = [*one[:5], rise(TUNED, BASE, 5), 2 * one[0] - one[4] / (1 + TUNED.logit(1) * BASE.logit(0))]
    together = values(wanted, reader(tuned, base), CPU)
    for row, objective in enumerate(wanted):
        alone = values([objective], reader(tuned[row : row + 1], base[row : row + 1]), CPU)
        assert float(together[row]) == pytest.approx(float(alone))
    assert set(reads(wanted[-1])) == {(TUNED, ""), (BASE, "")}


def test_names_contain_no_network() -> None:
    names = [str(objective) for objective, _ in REFERENCES.values()]
    assert names == [
        "divergence:kl",
        "divergence:reverse_kl",
        "divergence:js",
        "largest_rise",
        "largest_rise:3",
        "rise:2",
        "logits:distance",
    ]
    assert str(distance(TUNED, BASE, "layer4.1") - rise(BASE, TUNED, 3)) == "(layer4.1:distance - rise:3)"


@pytest.mark.parametrize("kind", ["KL", "", "kullback"])
def test_another_kind_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match="one of kl, reverse_kl, js, not"):
        divergence(TUNED, BASE, kind)


# Networks whose difference is known ------------------------------------------------------------------------------

SIDE, CLASS, RISE = 7, 3, 2.0  # pixels of a filter; the class whose logit the planted filter raises, and by how much


def planted(seed: int) -> tuple[Objectives, Objectives, np.ndarray]:
    """A network, its base without the last filter, and that filter's pattern, (3, 7, 7).

    Filter 0 has the pattern added. Filters do not overlap, so the picture that excites one consists of its tiles.
    """
    some = torch.Generator().manual_seed(seed)
    convolution, head = nn.Conv2d(3, 25, SIDE, stride=SIDE), nn.Linear(25, 5)
    pattern = torch.randn(3, SIDE, SIDE, generator=some).sign() / math.sqrt(3 * SIDE**2)
    with torch.no_grad():
        convolution.weight.copy_(torch.randn(convolution.weight.shape, generator=some) / math.sqrt(3 * SIDE**2))
        convolution.weight[-1] = 0
        convolution.bias.zero_()
        head.weight.copy_(2 * torch.randn(head.weight.shape, generator=some))
        head.weight[:, -1] = 0
        head.bias.zero_()
        base = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
        tuned = copy.deepcopy(base)
        tuned[0].weight[-1] = pattern
        tuned[4].weight[CLASS, -1] = RISE
    return *(Objectives(model, mean=(0.5,) * 3, std=(0.25,) * 3) for model in (tuned, base)), pattern.numpy()


def likeness(objective: Objective, pattern: np.ndarray, recipe: Recipe = RECIPE) -> float:
    """The correlation of a rendered picture's mean tile with a pattern."""
    (result,) = render([objective], recipe)
    count = recipe.shape[0] // SIDE
    tiles = result.picture.astype(float).reshape(count, SIDE, count, SIDE, 3).mean((0, 2))  # (7, 7, 3)
    return float(np.corrcoef(tiles.transpose(2, 0, 1).ravel(), pattern.ravel())[0, 1])


@pytest.mark.parametrize("seed", range(4))
def test_pictures_of_the_difference_show_the_planted_filter(seed: int) -> None:
    tuned, base, pattern = planted(seed)
    both = [divergence(tuned, base, kind) for kind in DIVERGENCES] + [rise(tuned, base, CLASS)]
    alone = [network.logit(CLASS) for network in (tuned, base)]
    found, others = ([likeness(objective, pattern) for objective in some] for some in (both, alone))
    assert min(found) > max(0.7, max(others) + 0.2)


@pytest.mark.parametrize("seed", range(4))
def test_the_difference_of_a_channel_shows_what_was_added_to_its_filter(seed: int) -> None:
    tuned, base, pattern = planted(seed)
    with torch.no_grad():
        tuned.model[0].weight[0] += 0.7 * torch.from_numpy(pattern)
    found = likeness(tuned("1", 0) - base("1", 0), pattern)
    others = [likeness(network("1", 0), pattern) for network in (tuned, base)]
    assert found > max(0.7, max(others) + 0.2)


# Rendering -------------------------------------------------------------------------------------------------------


def test_starts_differ_batches_do_not_and_an_interrupted_rendering_goes_on(tmp_path: Path, monkeypatch) -> None:
    tuned, base, _ = planted(0)
    wanted = [divergence(tuned, base)] * 3
    wanted += [rise(tuned, base, 1), distance(tuned, base, "1"), largest_rise(tuned, base)]
    recipe = dataclasses.replace(RECIPE, steps=6, transforms="small")
    whole = sorted(render(wanted, recipe), key=lambda result: result.index)
    assert not np.array_equal(whole[0].picture, whole[1].picture)
    for one, other in zip(whole, sorted(render(wanted, recipe, batch=1), key=lambda it: it.index), strict=True):
        assert alike(one, other)
    monkeypatch.setattr(checkpointing, "_INTERVAL", 0)
    interrupt = Mock(side_effect=[*[None] * 4, KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        list(render(wanted[:2], recipe, resume=tmp_path, progress=interrupt))
    steps: list[int] = []
    for one, other in zip(whole, render(wanted[:2], recipe, resume=tmp_path, progress=steps.append), strict=False):
        assert alike(one, other)
    assert steps == [2] * 2


def test_heads_that_cannot_be_compared_are_refused_before_anything_runs() -> None:
    tuned, base, _ = planted(0)
    other = copy.deepcopy(base.model)
    other[4] = nn.Linear(25, 7)
    other[0] = nn.Conv2d(3, 25, SIDE, stride=SIDE)
    others, steps = dataclasses.replace(base, model=other), Mock()
    for objective, message in [
        (divergence(tuned, others), "divergence:kl: the tuned network has 5 classes and the base 7"),
        (largest_rise(tuned, others), "largest_rise: the tuned network has 5 classes and the base 7"),
        (1 - rise(others, base, 6), "rise:6: the tuned network has 7 classes and the base 5"),
        (rise(tuned, base, 5), "rise:5: the networks have 5 classes, 0 to 4"),
        (
            distance(tuned, others, ""),
            "logits:distance: the layer has 5 channels in the tuned network and 7",
        ),
        (distance(tuned, base, "9"), "there is no layer '9'"),
    ]:
        with pytest.raises(InputError, match=message):
            list(render([tuned("1", 0), objective], RECIPE, progress=steps))
        assert len(find_problems([objective], (21, 21))) == 1
    maps = dataclasses.replace(base, model=nn.Sequential(*base.model[:2]))
    assert (
        "one number per class for a picture, not tensors of shape (25, 3, 3)"
        in find_problems([divergence(maps, maps)], (21, 21))[0]
    )
    assert not steps.called
    assert find_problems([distance(tuned, others, "1")], (21, 21)) == []


def test_of_networks_with_hooks_heads_are_compared_at_the_first_step() -> None:
    tuned, base, _ = planted(0)
    shorter = dataclasses.replace(base, hook=lambda _module, _inputs, output: output[:, :3])
    with pytest.raises(InputError, match="5 classes and the base 3"):
        list(render([divergence(tuned, shorter)], RECIPE))
