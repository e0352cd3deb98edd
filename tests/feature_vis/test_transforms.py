"""The composed warp against SciPy, and where the draws come from."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from feature_vis.errors import InputError
from feature_vis.transforms import PRESETS, Transforms, draw, resolve, warp


@pytest.mark.parametrize("size", [(12, 12), (11, 16)])
def test_warp_agrees_with_scipy(size: tuple[int, int]) -> None:
    height, width = size
    picture = np.random.default_rng(0).normal(size=size)
    matrix = draw(Transforms((2, 1), (0.9, 1.1), 10), 1, "scipy")[0].double().numpy()  # (2, 3), x before y
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    swap = np.array([[0, 1], [1, 0]])
    linear, shift = swap @ matrix[:, :2] @ swap, swap @ matrix[:, 2]  # y before x
    expected = scipy.ndimage.affine_transform(
        picture, linear, offset=centre - linear @ centre + shift, order=1, mode="mirror"
    )
    moved = warp(torch.from_numpy(picture)[None, None], torch.from_numpy(matrix)[None])
    np.testing.assert_allclose(moved[0, 0].numpy(), expected, atol=1e-6)


def test_no_transform_leaves_the_picture_as_it_is() -> None:
    picture = torch.rand(1, 3, 9, 10)
    torch.testing.assert_close(warp(picture, draw(PRESETS["none"], 1, "still")), picture, atol=1e-5, rtol=0)


def test_a_shift_moves_by_whole_pixels() -> None:
    picture = torch.rand(1, 1, 8, 8)
    matrix = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]])  # p_in = p_out + (2, -1)
    moved = warp(picture, matrix)
    torch.testing.assert_close(moved[..., 1:, :6], picture[..., :7, 2:], atol=1e-5, rtol=0)


def test_a_longer_run_begins_with_the_draws_of_a_shorter_one() -> None:
    assert torch.equal(draw(PRESETS["paper"], 10, 0, "layer4", 3), draw(PRESETS["paper"], 50, 0, "layer4", 3)[:10])


def test_draws_stay_within_their_bounds_and_reach_them() -> None:
    transforms = Transforms(translate=(3, 0), scale=(1.0,), rotate=0)
    shifts = draw(transforms, 2000, "bounds")[:, :, 2]
    assert {int(value) for value in shifts.flatten()} == set(range(-3, 4))


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="paper"):
        resolve("papr")
