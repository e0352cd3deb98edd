"""Every kind of picture becomes the right RGB; broken ones are named."""

import io
from unittest.mock import Mock

import numpy as np
import pytest
from fuzzing import bounded, edits, mutated, with_checksums
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from written_pictures import gradient, save

from feature_vis.errors import InputError
from feature_vis.images import image_files
from featurediff.data.decode import faults, load_rgb

ORIENTATION = 0x0112


def test_opaque_modes_and_the_first_frame(tmp_path) -> None:
    for mode in ("RGB", "L", "1", "P"):
        image = gradient().convert(mode)
        np.testing.assert_array_equal(save(image, tmp_path / "a.png"), np.asarray(image.convert("RGB")))
    plain = Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK")
    assert np.abs(save(plain, tmp_path / "a.jpg", quality=100, subsampling=0).astype(int) - [200, 40, 90]).max() <= 4
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    assert save(red, tmp_path / "a.gif", save_all=True, append_images=[blue])[0, 0].tolist() == [255, 0, 0]


def test_16_bit_grey_is_scaled_not_clipped_and_no_undefined_range_is_accepted(tmp_path) -> None:
    values = np.array([[0, 128, 129, 257, 30000, 65535]], dtype=np.uint16)
    big_endian = Image.frombytes("I;16B", (6, 1), values.astype(">u2").tobytes())
    (tmp_path / "a.pgm").write_bytes(b"P5 6 1 65535\n" + values.astype(">u2").tobytes())
    read = [save(Image.fromarray(values), tmp_path / name) for name in ("a.png", "a.tif")]
    for got in (*read, save(big_endian, tmp_path / "b.tif"), np.asarray(load_rgb(tmp_path / "a.pgm"))):
        assert got.tolist() == [[[value] * 3 for value in (0, 0, 1, 1, 117, 255)]]
    for mode, value in (("F", 0.5), ("I", 70000), ("I", -1)):
        Image.new(mode, (4, 4), value).save(tmp_path / "a.tif")
        with pytest.raises(InputError, match="no defined range"):
            load_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_or_a_transparent_colour_lies_on_white(tmp_path, mode) -> None:
    for alpha in (0, 51, 255):
        got = save(Image.new("RGBA", (4, 4), (100, 100, 100, alpha)).convert(mode), tmp_path / "a.png")
        assert np.abs(got - (255 + (100.0 - 255) * alpha / 255)).max() <= 1
    image = Image.fromarray(np.uint8([[0, 1]])).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert save(image, tmp_path / "a.png", transparency=0).tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert save(image, tmp_path / "a.gif", transparency=1).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    image = Image.fromarray(np.uint8([[[1, 2, 3], [4, 5, 6]]]))
    assert save(image, tmp_path / "a.png", transparency=(1, 2, 3)).tolist() == [[[255, 255, 255], [4, 5, 6]]]
    grey = Image.fromarray(np.array([[7, 257]], dtype=np.uint16))
    assert save(grey, tmp_path / "b.png", transparency=7)[0, :, 0].tolist() == [255, 1]


# How a camera stores what whoever looks at it has to see upright, by orientation.
TURNS = [None, "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270"]


@pytest.mark.parametrize(("orientation", "turn"), [*enumerate(TURNS, 1)])
@pytest.mark.parametrize("mode", ["RGB", "16-bit", "RGBA"])
def test_exif_orientation_stands_upright(tmp_path, orientation, turn, mode) -> None:
    stored, expected = gradient(), np.asarray(gradient())
    if turn is not None:
        stored = stored.transpose(Image.Transpose[turn])
    if mode == "RGBA":
        stored = stored.convert("RGBA")
    if mode == "16-bit":
        stored = Image.fromarray(np.asarray(stored)[..., 0].astype(np.uint16) * 257)
        expected = np.repeat(expected[..., :1], 3, axis=-1)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    np.testing.assert_array_equal(save(stored, tmp_path / "a.png", exif=exif), expected)


def test_broken_files_are_named_with_their_reason(tmp_path, recwarn) -> None:
    expected = {"text.jpg": "not a picture", "absent.jpg": "no such file", "large.png": "too large"}
    (tmp_path / "text.jpg").write_text("not a picture\n")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")
    for kind in ("jpg", "png"):
        gradient(64, 64).save(tmp_path / f"whole.{kind}")
        data = (tmp_path / f"whole.{kind}").read_bytes()
        (tmp_path / f"cut.{kind}").write_bytes(data[: len(data) * 3 // 5])
        expected[f"cut.{kind}"] = "damaged"
    for name, words in expected.items():
        with pytest.raises(InputError, match=rf"{name}.*{words}"):
            load_rgb(tmp_path / name)
    recwarn.clear()
    assert set(faults(tmp_path, [*expected, "whole.jpg", "whole.png"])) == set(expected)
    assert len(recwarn) == 0  # an error is said once, not also as a warning


@given(edits=edits, kind=st.sampled_from(["RGB", "LA", "P", "I;16"]), orientation=st.sampled_from([1, 6]))
@bounded(200)
@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it makes of the faults
def test_what_is_checked_can_be_read_and_what_cannot_is_named(tmp_path_factory, edits, kind, orientation) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed-pictures"
    folder.mkdir(exist_ok=True)
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    pixels = np.asarray(gradient())[..., 0].astype(np.uint16)
    image = Image.fromarray(pixels) if kind == "I;16" else gradient().convert(kind)
    image.save(file, "PNG", exif=exif)
    (folder / "a.png").write_bytes(with_checksums(mutated(file.getvalue(), edits)))
    try:
        picture = load_rgb(folder / "a.png")
    except InputError:
        picture = None
    assert (picture is None) == (set(faults(folder, ["a.png"])) == {"a.png"})
    assert picture is None or picture.mode == "RGB"


def test_every_picture_is_opened_once(tmp_path, monkeypatch) -> None:
    names = [f"{number}.png" for number in range(150)]
    for name in names:
        gradient().save(tmp_path / name)
    opened = Mock(wraps=Image.open)
    monkeypatch.setattr(image_files.Image, "open", opened)
    assert faults(tmp_path, names) == {}
    assert sorted(call.args[0] for call in opened.mock_calls) == sorted(f"{tmp_path}/{name}" for name in names)


def test_a_lack_of_memory_is_not_taken_for_a_broken_picture(tmp_path, monkeypatch) -> None:
    gradient().save(tmp_path / "a.png")
    for step in ("convert", "load"):
        monkeypatch.setattr(Image.Image, step, Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        load_rgb(tmp_path / "a.png")
