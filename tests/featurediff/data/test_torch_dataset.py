"""What a network is trained on: crops, mirrors, rotations; a data set of pictures and its cache."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from written_pictures import gradient, pixels_of

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD
from feature_vis.networks.torchvision_import import torchvision
from feature_vis.seeding import generator
from featurediff.data import torch_dataset as picture_tensors
from featurediff.data.cache import PictureCache
from featurediff.data.decode import load_rgb, resized
from featurediff.data.torch_dataset import PictureDataset, photograph_batches, train_transform, val_transform
from featurediff.training.augmentation import with_randaugment


@given(st.integers(1, 70), st.integers(1, 70), st.none() | st.integers(1, 60), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_any_picture_gives_a_square(width, height, resize, size) -> None:
    picture = Image.new("RGB", (width, height), "red")
    for transform in (train_transform(size, resize=resize, rotation=30), val_transform(size, resize=resize)):
        tensor = transform(picture, generator("test"))
        assert tensor.shape == (3, size, size)
        assert tensor.dtype == torch.uint8
        assert type(tensor) is torch.Tensor
    assert resized(Image.new("RGB", (1, 10_000)), 64).size == (64, 1024)  # extreme sides stay bounded


@pytest.mark.parametrize(("width", "height"), [(40, 30), (41, 25), (9, 40), (10, 10)])
def test_validation_is_the_centre_and_draws_nothing(width, height) -> None:
    drawn = generator("test")
    before = drawn.get_state().clone()
    got = pixels_of(val_transform(20)(gradient(width, height), drawn))
    assert torch.equal(drawn.get_state(), before)
    crop = torchvision.transforms.functional.center_crop
    padded = ImageOps.expand(gradient(width, height), 20)
    np.testing.assert_array_equal(got, np.asarray(crop(padded, [20, 20])))
    scaled = gradient(64, 48).resize((32, 24), Image.Resampling.BILINEAR)
    got = pixels_of(val_transform(20, resize=24)(gradient(64, 48), drawn))
    np.testing.assert_array_equal(got, np.asarray(crop(scaled, [20, 20])))


def test_crops_reach_every_place_and_a_small_picture_lies_whole_anywhere_on_black() -> None:
    picture, transform = gradient(8, 7), train_transform(4, flip=False)
    corners = {tuple(transform(picture, generator("crop", i))[:, 0, 0].tolist()) for i in range(400)}
    assert corners == {picture.getpixel((x, y)) for x in range(5) for y in range(4)}
    white, places = Image.new("RGB", (3, 2), "white"), set()
    for number in range(300):
        inside = train_transform(5)(white, generator("place", number))[0] == 255
        assert inside.sum() == 6
        places.add(tuple(inside.nonzero()[0].tolist()))
    assert places == {(y, x) for y in range(4) for x in range(3)}


def test_half_are_mirrored_and_none_without_flip() -> None:
    picture = gradient(16, 16)
    plain, mirrored = np.asarray(picture), np.asarray(ImageOps.mirror(picture))
    got = [pixels_of(train_transform(16)(picture, generator("flip", i))) for i in range(200)]
    assert all((one == plain).all() or (one == mirrored).all() for one in got)
    assert 70 < sum(bool((one == mirrored).all()) for one in got) < 130
    transform = train_transform(16, flip=False)
    assert all((pixels_of(transform(picture, generator("flip", i))) == plain).all() for i in range(20))


def test_rotation_stays_within_its_angle() -> None:
    """The direction from the middle to a bright dot on the right tells the angle."""
    picture = Image.new("RGB", (101, 101))
    picture.paste("white", (88, 48, 93, 53))
    angles = []
    for number in range(120):
        grey = pixels_of(train_transform(101, rotation=30, flip=False)(picture, generator("turn", number)))[..., 0]
        y, x = (np.average(axis, weights=grey) - 50 for axis in np.mgrid[:101, :101])
        angles.append(np.degrees(np.arctan2(y, x)))
    assert np.abs(angles).max() <= 31
    assert min(angles) < -22
    assert max(angles) > 22
    turned = pixels_of(train_transform(101, rotation=1, flip=False)(picture, generator("turn", 0)))
    assert (turned != np.asarray(picture)).any()


def test_rotation_takes_the_nearest_pixel_on_request() -> None:
    picture = Image.fromarray(np.tile(np.uint8([[[0], [255]]]), (31, 16, 3))[:, :31])  # stripes

    def colours(interpolation: str) -> set[int]:
        transform = train_transform(31, rotation=30, interpolation=interpolation, flip=False)
        return {int(v) for number in range(8) for v in np.unique(pixels_of(transform(picture, generator("n", number))))}

    assert colours("nearest") == {0, 255}
    assert len(colours("bilinear")) > 100


@pytest.fixture
def folder(tmp_path) -> Path:
    for number in range(6):
        gradient(40 + number, 33).save(tmp_path / f"{number}.png")
    return tmp_path


SPLIT = pd.DataFrame(
    [(f"{i}.png", "ab"[i % 2], i % 2, "train" if i < 4 else "val") for i in range(6)],
    columns=["path", "label", "class_index", "split"],
)


def test_the_parts_and_their_classes(folder) -> None:
    data = PictureDataset(folder, SPLIT, "val", val_transform(24))
    assert data.paths == ["4.png", "5.png"]
    assert [label for _, label in (data[0], data[1])] == [0, 1]
    assert len(data) == 2
    np.testing.assert_array_equal(pixels_of(data[0][0]), np.asarray(gradient(44, 33).crop((10, 4, 34, 28))))


def epoch_of(data: PictureDataset, epoch: int, order: Sequence[int] = range(4)) -> torch.Tensor:
    """The pictures of an epoch, which are asked for in an order."""
    pictures = {index: data.item(index, epoch)[0] for index in order}
    return torch.stack([pictures[index] for index in sorted(pictures)])


def test_draws_depend_on_seed_epoch_and_path_alone(folder) -> None:
    def data(seed: int = 1, cache: PictureCache | None = None) -> PictureDataset:
        return PictureDataset(folder, SPLIT, "train", train_transform(16, rotation=30), seed=seed, cache=cache)

    one = data()
    state = torch.get_rng_state()
    first = epoch_of(one, 0)
    torch.manual_seed(12345)
    assert torch.equal(first, epoch_of(one, 0, [3, 1, 0, 2]))
    cached = data(cache=PictureCache(6, 1 << 20))
    for _ in range(2):
        assert torch.equal(first, epoch_of(cached, 0))
    assert not torch.equal(first, epoch_of(data(seed=2), 0))
    assert not torch.equal(first, epoch_of(one, 1))
    torch.set_rng_state(state)
    one[0]
    assert torch.equal(torch.get_rng_state(), state)
    cached.transform = with_randaugment(train_transform(16, rotation=5), 1, 9)
    sent = pickle.loads(pickle.dumps(cached))  # to another process
    assert torch.equal(epoch_of(sent, 0), epoch_of(cached, 0))
    for number in range(4):  # equal photographs of different names
        gradient(90, 90).save(folder / f"{number}.png")
    equal = epoch_of(data(), 0)
    assert not any(torch.equal(equal[0], equal[number]) for number in (1, 2, 3))


def test_the_cache_is_bounded_and_spares_decoding(folder, monkeypatch) -> None:
    cache = PictureCache(6, 3 * 33 * (40 + 41))
    data = PictureDataset(folder, SPLIT, "train", val_transform(8), cache=cache)
    load = Mock(wraps=load_rgb)
    monkeypatch.setattr(picture_tensors, "load_rgb", load)
    for _ in range(2):
        [data[i] for i in range(4)]
    assert [call.args[0].name for call in load.mock_calls] == [f"{number}.png" for number in (0, 1, 2, 3, 2, 3)]


@pytest.mark.parametrize("transform", [train_transform(16, resize=20, rotation=30), val_transform(16, resize=20)])
def test_pictures_resized_before_they_are_cached_are_the_same(folder, transform) -> None:
    cache = PictureCache(6, 4 * 3 * 20 * 28)  # of what is resized, four fit; of whole pictures one
    plain = PictureDataset(folder, SPLIT, "train", transform, seed=3)
    cached = PictureDataset(folder, SPLIT, "train", transform, seed=3, resize=20, cache=cache)
    assert torch.equal(epoch_of(plain, 2), epoch_of(cached, 2))
    assert all(cache.get(i) is not None for i in range(4))


def test_batches_are_normalised_photographs_in_their_order(folder) -> None:
    sets = [PictureDataset(folder, SPLIT, part, val_transform(24)) for part in ("train", "val")]
    batches = list(photograph_batches(sets, 4))
    assert [batch.shape for batch in batches] == [(4, 3, 24, 24), (2, 3, 24, 24)]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = torch.stack([data[index][0] for data in sets for index in range(len(data))])
    torch.testing.assert_close((torch.cat(batches) * std + mean) * 255, pixels.float(), atol=1e-3, rtol=0)


def test_pictures_gone_since_the_split_are_all_named(folder) -> None:
    (folder / "1.png").unlink()
    (folder / "3.png").unlink()
    with pytest.raises(InputError, match=r"(?s)2 photographs.*1\.png.*3\.png"):
        PictureDataset(folder, SPLIT, "train", val_transform(8))
