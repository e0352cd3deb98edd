"""PNGs that carry notes."""

import re

import numpy as np
import pytest

from feature_vis.errors import InputError
from feature_vis.png import channel_of, layer_of, read_notes, read_picture, refuse_cut_off, seed_of, write_picture

PICTURE = np.random.default_rng(0).integers(0, 256, size=(9, 9, 3), dtype=np.uint8)


def test_round_trip(tmp_path) -> None:
    write_picture(tmp_path / "a.png", PICTURE, {"key": "k", "näme": 1.5})
    picture, notes = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture, PICTURE)
    assert notes == {"key": "k", "näme": 1.5}


def test_equal_pictures_are_equal_files(tmp_path) -> None:
    write_picture(tmp_path / "a.png", PICTURE, {"a": 1, "b": 2})
    write_picture(tmp_path / "b.png", PICTURE, {"b": 2, "a": 1})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_prefix_of_a_file_is_taken_for_a_whole_one(tmp_path) -> None:
    write_picture(tmp_path / "a.png", PICTURE, {"key": "k"})
    whole = (tmp_path / "a.png").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "b.png").write_bytes(whole[:length])
        assert read_notes(tmp_path / "b.png") is None, length


def test_every_picture_that_is_cut_off_is_named(tmp_path) -> None:
    write_picture(tmp_path / "whole.png", PICTURE, {"key": "k"})
    whole = (tmp_path / "whole.png").read_bytes()
    for length in (0, 5, len(whole) - 1):
        (tmp_path / f"{length}.png").write_bytes(whole[:length])
    refuse_cut_off([tmp_path / "whole.png", tmp_path / "not there.png"])
    with pytest.raises(InputError, match="3 pictures") as error:
        refuse_cut_off(sorted(tmp_path.iterdir()))
    assert re.findall(r"\d+\.png", str(error.value)) == sorted(f"{length}.png" for length in (0, 5, len(whole) - 1))


def test_a_foreign_png_is_no_picture_of_ours(tmp_path) -> None:
    from PIL import Image

    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    assert read_notes(tmp_path / "a.png") is None
    with pytest.raises(InputError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")


def test_layer_seed_and_channel_are_read_from_the_path() -> None:
    for path, found in {
        "base/features/layer3.1/channel0.png": ("layer3.1", 0, 0),
        "base/features/layer3.1/seed1/channel12.png": ("layer3.1", 1, 12),
        "base/features/fc/channel7.png": ("fc", 0, 7),
    }.items():
        assert (layer_of(path), seed_of(path), channel_of(path)) == found
