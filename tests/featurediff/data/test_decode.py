"""Every kind of picture becomes the right RGB; broken ones are named; augmentation draws from explicit seeds alone."""

import io
import struct
import threading
import zlib
from pathlib import Path

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


def test_opaque_modes(tmp_path) -> None:
    for mode in ("RGB", "L", "1", "P"):
        image = gradient().convert(mode)
        np.testing.assert_array_equal(save(image, tmp_path / "a.png"), np.asarray(image.convert("RGB")))
    plain = Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK")
    assert np.abs(save(plain, tmp_path / "a.jpg", quality=100, subsampling=0).astype(int) - [200, 40, 90]).max() <= 4


def test_16_bit_grey_is_scaled_not_clipped(tmp_path) -> None:
    values = np.array([[0, 128, 129, 257, 30000, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        got = save(Image.fromarray(values), tmp_path / name)
        assert got[0, :, 0].tolist() == [0, 0, 1, 1, 117, 255]
    big_endian = Image.frombytes("I;16B", (6, 1), values.astype(">u2").tobytes())
    assert save(big_endian, tmp_path / "b.tif")[0, :, 0].tolist() == [0, 0, 1, 1, 117, 255]
    (tmp_path / "a.pgm").write_bytes(b"P5 6 1 65535\n" + values.astype(">u2").tobytes())
    assert np.asarray(load_rgb(tmp_path / "a.pgm"))[0, :, 1].tolist() == [0, 0, 1, 1, 117, 255]


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70000), ("I", -1)])
def test_values_of_no_defined_range_are_refused(tmp_path, mode, value) -> None:
    Image.new(mode, (4, 4), value).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="no defined range"):
        load_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize("alpha", [0, 51, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_on_white(tmp_path, mode, alpha) -> None:
    image = Image.new("RGBA", (4, 4), (100, 100, 100, alpha)).convert(mode)
    got = save(image, tmp_path / "a.png")
    assert np.abs(got - (255 + (100.0 - 255) * alpha / 255)).max() <= 1


def test_transparent_palette_entry_lies_on_white(tmp_path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert save(image, tmp_path / "a.png", transparency=0).tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert save(image, tmp_path / "a.gif", transparency=1).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_transparent_colour_lies_on_white(tmp_path) -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (4, 5, 6))
    assert save(image, tmp_path / "a.png", transparency=(1, 2, 3)).tolist() == [[[255, 255, 255], [4, 5, 6]]]
    grey = Image.fromarray(np.array([[7, 257]], dtype=np.uint16))
    assert save(grey, tmp_path / "b.png", transparency=7)[0, :, 0].tolist() == [255, 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "16-bit", "RGBA"])
def test_exif_orientation_stands_upright(tmp_path, orientation, mode) -> None:
    """A camera stores `stored`; whoever looks at it has to see `upright`."""
    upright = gradient()
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if inverse is None else upright.transpose(inverse)
    expected = np.asarray(upright)
    if mode == "RGBA":
        stored = stored.convert("RGBA")
    if mode == "16-bit":
        stored = Image.fromarray(np.asarray(stored)[..., 0].astype(np.uint16) * 257)
        expected = np.repeat(expected[..., :1], 3, axis=-1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(save(stored, tmp_path / "a.png", exif=exif), expected)


def test_first_frame_of_an_animation(tmp_path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    assert save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])[0, 0].tolist() == [255, 0, 0]


def bomb_png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def broken_files(folder: Path) -> dict[str, str]:
    """Write one broken file of each kind; name -> words of its reason."""
    gradient(64, 64).save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    gradient(64, 64).save(folder / "whole.png")
    data = (folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) * 2 // 3])
    (folder / "text.jpg").write_text("not a picture\n")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (folder / "bomb.png").write_bytes(bomb_png(60_000, 60_000))
    (folder / "large.png").write_bytes(bomb_png(10_000, 10_000))
    return {
        "cut.jpg": "damaged",
        "cut.png": "damaged",
        "text.jpg": "not a picture",
        "empty.jpg": "empty",
        "vector.eps": "not a picture",
        "bomb.png": "too large",
        "large.png": "too large",
        "absent.jpg": "no such file",
    }


def test_broken_files_are_named_with_their_reason(tmp_path, recwarn) -> None:
    expected = broken_files(tmp_path)
    for name, words in expected.items():
        with pytest.raises(InputError, match=words) as caught:
            load_rgb(tmp_path / name)
        assert name in str(caught.value)
    recwarn.clear()
    found = faults(tmp_path, [*expected, "whole.jpg", "whole.png"])
    assert set(found) == set(expected)
    assert len(recwarn) == 0  # an error is said once, not also as a warning


@given(edits=edits, kind=st.sampled_from(["RGB", "LA", "P", "I;16"]), orientation=st.sampled_from([1, 6]))
@bounded(200)
@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it makes of the faults
def test_what_is_checked_can_be_read_and_what_cannot_is_named(
    tmp_path_factory: pytest.TempPathFactory, edits: list, kind: str, orientation: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed-pictures"
    folder.mkdir(exist_ok=True)
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
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
    opened = []
    real = Image.open
    monkeypatch.setattr(image_files.Image, "open", lambda path, **given: opened.append(path) or real(path, **given))
    assert faults(tmp_path, names) == {}
    assert sorted(opened) == sorted(f"{tmp_path}/{name}" for name in names)


def test_a_pipe_is_not_waited_for(tmp_path) -> None:
    import os

    os.mkfifo(tmp_path / "a.jpg")
    thread = threading.Thread(target=faults, args=(tmp_path, ["a.jpg"]), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert faults(tmp_path, ["a.jpg"])["a.jpg"].detail == "not a regular file"


def test_a_lack_of_memory_is_not_taken_for_a_broken_picture(tmp_path, monkeypatch) -> None:
    gradient().save(tmp_path / "a.png")

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", no_memory)
    monkeypatch.setattr(Image.Image, "load", no_memory)
    with pytest.raises(MemoryError):
        load_rgb(tmp_path / "a.png")
