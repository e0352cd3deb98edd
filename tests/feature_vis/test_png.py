"""PNGs that carry notes."""

import numpy as np
import pytest

from feature_vis.errors import InputError
from feature_vis.png import by_layer, read_notes, read_picture, write_picture

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


def test_a_foreign_png_is_no_picture_of_ours(tmp_path) -> None:
    from PIL import Image

    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    assert read_notes(tmp_path / "a.png") is None
    with pytest.raises(InputError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")


def test_pictures_are_grouped_by_layer_whatever_their_seed() -> None:
    base = [
        "base/features/layer3.1/channel0.png",
        "base/features/layer3.1/seed1/channel0.png",
        "base/features/fc/channel7.png",
    ]
    tuned = [path.replace("base", "tuned") for path in base]
    assert by_layer(base, tuned) == {"layer3.1": (base[:2], tuned[:2]), "fc": (base[2:], tuned[2:])}
    assert by_layer(base)["fc"] == (base[2:],)
    with pytest.raises(ValueError, match="zip"):
        by_layer(base, tuned[:2])


def test_a_picture_that_is_gone(tmp_path) -> None:
    with pytest.raises(InputError, match=r"a\.png is gone: run again"):
        read_picture(tmp_path / "a.png")
