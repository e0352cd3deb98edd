"""torchvision's augmentations draw from the given seeds alone and leave the global generator as it was."""

import numpy as np
import pytest
import torch
from PIL import Image

from feature_vis.seeding import generator
from featurediff.data.torch_dataset import normalised, train_transform, val_transform
from featurediff.training.augmentation import make_mixing, with_randaugment
from featurediff.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((48, 48))


def test_randaugment_depends_on_the_given_generator_alone(picture) -> None:
    augment = with_randaugment(train_transform(32, rotation=10), 2, 9)
    state = torch.get_rng_state()
    first = augment(picture, generator("a"))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    assert torch.equal(augment(picture, generator("a")), first)
    assert not any(torch.equal(first, augment(picture, generator("b", number))) for number in range(6))
    torch.set_rng_state(state)


def test_randaugment_changes_a_picture_after_the_crop_and_keeps_its_kind(picture) -> None:
    plain, crop = val_transform(32), train_transform(32, rotation=10)
    made = [with_randaugment(plain, 1, 15)(picture, generator(number)) for number in range(12)]
    assert {(one.shape, one.dtype) for one in made} == {((3, 32, 32), torch.uint8)}
    assert sum(not torch.equal(one, plain(picture, generator(0))) for one in made) >= 8  # one of the 14 is none
    assert torch.equal(with_randaugment(crop, 0, 9)(picture, generator("x")), crop(picture, generator("x")))


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(epochs=1, **changes)


PIXELS = torch.randint(0, 256, (6, 3, 16, 16), generator=generator("pixels"), dtype=torch.uint8)
PICTURES, LABELS = normalised(PIXELS), torch.tensor([0, 1, 2, 0, 1, 2])


def test_mixup_is_one_share_of_two_pictures_and_of_their_labels() -> None:
    assert make_mixing(settings(), 3) is None
    mixed, targets = make_mixing(settings(mixup=1.0), 3)(PICTURES, LABELS, 0, 0)
    share = float(targets[0, 0])
    assert 0 < share < 1
    torch.testing.assert_close(mixed, share * PICTURES + (1 - share) * PICTURES.roll(1, 0))
    torch.testing.assert_close(targets.sum(1), torch.ones(6))


def test_cutmix_is_a_box_of_the_other_picture_and_its_area_of_the_label() -> None:
    mix = make_mixing(settings(cutmix=1.0), 3)
    for number in range(8):
        mixed, targets = mix(PICTURES, LABELS, 0, number)
        own, other = ((mixed == of).all(1).float().mean((1, 2)) for of in (PICTURES, PICTURES.roll(1, 0)))
        torch.testing.assert_close(own + other, torch.ones(6))
        torch.testing.assert_close(targets[0, 0], own[0])


def test_with_both_each_batch_has_one_of_them() -> None:
    mix = make_mixing(settings(mixup=1.0, cutmix=1.0), 3)
    same = [(mix(PICTURES, LABELS, 0, number)[0] == PICTURES).float().mean() > 0.05 for number in range(12)]
    assert 0 < sum(same) < 12  # a box leaves many pixels as they were, a share of every pixel hardly one


def test_mixing_depends_on_seed_epoch_and_batch_alone() -> None:
    def made(seed: int, epoch: int, number: int) -> torch.Tensor:
        return make_mixing(settings(mixup=0.4, seed=seed), 3)(PICTURES, LABELS, epoch, number)[1]

    state = torch.get_rng_state()
    first = made(0, 1, 2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(9)
    assert torch.equal(made(0, 1, 2), first)
    assert not any(torch.equal(made(*parts), first) for parts in [(1, 1, 2), (0, 2, 2), (0, 1, 3)])
    torch.set_rng_state(state)
