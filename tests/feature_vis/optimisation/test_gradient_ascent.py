"""Pictures that are optimised together come out as if alone: neither batch, faults nor lack of memory change them."""

import dataclasses
from collections.abc import Callable
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from alike import alike
from torch import Tensor, nn

from feature_vis.networks.models import build
from feature_vis.objectives import Objective, Objectives
from feature_vis.optimisation import image_state
from feature_vis.recipe import Recipe
from feature_vis.render import Rendered, render

TINY = Recipe(size=16, steps=48, transforms="none", schedule="plain", precision="float32")


def tiny() -> nn.Module:
    """Of channel 0 the answer is always the same."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    with torch.no_grad():
        model[2].weight[0] = 0
        model[2].bias[0] = 1
    return model


def rendered(wanted: list[Objective], recipe: Recipe, **options: object) -> list[Rendered]:
    """In the order of what is wanted."""
    return sorted(render(wanted, recipe, **options), key=lambda picture: picture.index)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_picture_is_the_same_to_the_byte_in_any_company(precision: str) -> None:
    torch.manual_seed(0)
    source = Objectives(build("resnet18"))
    wanted = [source("layer4.1", channel) for channel in range(11)]
    recipe = Recipe(size=48, steps=6, precision=precision)
    together = rendered(wanted, recipe)
    for chosen, batch in [([9], None), ([9, 3, 5], None), ([3, 9, 10, 0, 5], 3), ([5, 3], 1)]:
        for index, picture in zip(chosen, rendered([wanted[i] for i in chosen], recipe, batch=batch), strict=True):
            assert alike(picture, together[index])
    assert len({picture.picture.tobytes() for picture in together}) == 11


def counted(seen: list[int], fit: int = 99) -> Callable[[Tensor], Tensor]:
    """A transform of the user's that counts, and has memory for so many pictures."""

    def transform(pictures: Tensor) -> Tensor:
        if len(pictures) > fit:
            raise torch.OutOfMemoryError
        seen.append(len(pictures))
        return pictures

    return transform


def test_a_place_that_becomes_free_goes_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Mock(side_effect=image_state.draw)
    monkeypatch.setattr(image_state, "draw", draw)
    source = Objectives(tiny())
    wanted = [source.logit(channel) for channel in range(3)]
    recipe = dataclasses.replace(TINY, plateau=0.001)
    seen: list[int] = []
    together = rendered(wanted, recipe, batch=2, transform=counted(seen))
    assert [picture.stopped for picture in together] == ["plateau", "steps", "steps"]
    assert [len(picture.trajectory) for picture in together] == [32, 48, 48]
    assert seen == [2] * 80  # the third picks up in step 33, where the first had stood
    assert draw.call_count == 3  # though the second is in two batches
    for objective, picture in zip(wanted, together, strict=True):
        (alone,) = render([objective], recipe)
        assert alike(alone, picture)


class Cliff(nn.Module):
    """Its only answer is the mean, and not a number for pictures brighter than a limit."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3))
        return (mean + 0 * torch.sqrt(0.6 - mean)).unsqueeze(1)


def test_a_gradient_that_is_not_finite_stops_that_picture_alone() -> None:
    source = Objectives(Cliff(), mean=(0.0,) * 3, std=(1.0,) * 3)
    recipe = dataclasses.replace(TINY, steps=30, colors="none")
    darker = -source.logit(0)
    fallen, fine, also = rendered([source.logit(0), darker, -darker - 0], recipe)
    (alone,) = render([darker], recipe)
    assert fallen.stopped == also.stopped == "not finite"
    assert 1 < len(fallen.trajectory) < 30
    assert np.isfinite(fallen.trajectory).all()
    assert fallen.picture.mean() == pytest.approx(0.6 * 255, abs=5)  # as it was when that happened
    assert fine.stopped == "steps"
    assert len(fine.trajectory) == 30
    assert alike(fine, alone)


def test_out_of_memory_halves_the_batch_and_goes_on_where_that_cures() -> None:
    source = Objectives(tiny())
    wanted = [source.logit(channel) for channel in (1, 2, 3, 0, 1)]
    recipe = dataclasses.replace(TINY, steps=5)
    expected = rendered(wanted, recipe, batch=2, transform=counted([]))
    assert all(map(alike, rendered(wanted, recipe, transform=counted([], fit=2)), expected))
    a_set = [source.logit(1) + source.diversity("0")] * 3  # which needs one batch
    for objectives, fit in [([source.logit(1)], 0), (a_set, 2)]:
        with pytest.raises(torch.OutOfMemoryError):
            list(render(objectives, TINY, transform=counted([], fit)))
