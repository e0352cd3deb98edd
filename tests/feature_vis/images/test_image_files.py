"""Picture files that are broken, or meant to do harm."""

import functools
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzzing import bounded, chunk, edits, mutated, with_checksums
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import python

from feature_vis.errors import InputError
from feature_vis.images import image_files
from feature_vis.images.image_files import Fault, decode, read_image


def written(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, size=(20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


jpeg, png = functools.partial(written, "JPEG"), functools.partial(written, "PNG")


def claims(width: int, height: int, *more: bytes) -> bytes:
    """A PNG of a size, and nothing in it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + data + chunk(b"IEND", b"")


def test_a_picture_is_decoded_and_converted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    assert decode(tmp_path / "a.jpg", lambda image: image.size) == (24, 20)
    assert read_image(tmp_path / "a.jpg", np.asarray).shape == (20, 24, 3)
    assert decode(tmp_path / "a.jpg", lambda _: Fault("ugly", "very")) == Fault("ugly", "very")
    with pytest.raises(InputError, match=r"a\.jpg: ugly: very"):
        read_image(tmp_path / "a.jpg", lambda _: Fault("ugly", "very"))


BOMB_OF_TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27)))
FAULTS = {
    "empty": (b"", "not a picture", "empty"),
    "words": (b"words", "not a picture", "none of JPEG, PNG"),
    "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture", "none of JPEG, PNG"),
    "a bomb": (claims(60_000, 60_000), "too large", "limit of 178956970 pixels"),
    "large": (claims(10_000, 10_000), "too large", "claims 10000 x 10000 pixels; 89,478,485 are allowed"),
    "a bomb of text": (claims(8, 8, BOMB_OF_TEXT), "damaged", "Decompressed data too large"),
    "cut off": (jpeg()[:-200], "damaged", "truncated"),
    "absent": (None, "missing", "no such file"),
    "a pipe": (os.mkfifo, "not a picture", "not a regular file"),
}


@pytest.mark.parametrize(("content", "kind", "detail"), FAULTS.values(), ids=FAULTS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_at_fault(tmp_path: Path, content: bytes | Callable | None, kind: str, detail: str) -> None:
    if callable(content):
        content(tmp_path / "a")
    elif content is not None:
        (tmp_path / "a").write_bytes(content)
    found = decode(tmp_path / "a", np.asarray)
    assert isinstance(found, Fault)
    assert kind in found.kind
    assert detail in found.detail


def progressive(scans: int) -> bytes:
    """A grey JPEG of which one scan stands there many times: each goes over all pixels again."""
    data = jpeg("L", progressive=True)
    first = [place for place in range(len(data)) if data.startswith(b"\xff\xda", place)]
    last = data[first[-1] : -2]
    return data[:-2] + last * (scans - len(first)) + data[-2:]


def test_scans_without_end_are_refused(tmp_path: Path) -> None:
    for scans in (image_files._MAX_SCANS, image_files._MAX_SCANS + 1):
        (tmp_path / f"{scans}.jpg").write_bytes(progressive(scans))
    assert decode(tmp_path / "500.jpg", lambda image: image.size) == (24, 20)
    fault = Fault("a picture that takes too long", "501 scans; 500 are allowed")
    assert decode(tmp_path / "501.jpg", np.asarray) == fault


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the unit of ru_maxrss")
def test_the_largest_picture_takes_a_bounded_memory(tmp_path: Path) -> None:
    """A file of some kB that holds 89 megapixels is no bomb: 4 bytes a pixel, and a conversion of it."""
    Image.new("L", (8900, 10_000), 7).save(tmp_path / "a.png")
    code = """
import resource, sys
import numpy
from feature_vis.images.image_files import decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert decode(sys.argv[1], lambda image: image.convert("RGB").size) == (8900, 10000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
    said, _ = python(code, tmp_path / "a.png", stdout=subprocess.PIPE).communicate()
    assert int(said) < 600  # MiB


SEEDS = [jpeg(), jpeg("L", progressive=True), jpeg("CMYK"), png(), png("P"), png("LA", dpi=(72, 72)), png("1")]
SEEDS.append(claims(8, 8, chunk(b"tEXt", b"key\0value")))


@given(seed=st.sampled_from(SEEDS), edits=edits, repaired=st.booleans())
@bounded(300)
def test_whatever_a_picture_file_holds_there_is_a_picture_or_a_fault(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, edits: list, repaired: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    data = mutated(seed, edits)
    (folder / "a").write_bytes(with_checksums(data) if repaired else data)
    found = decode(folder / "a", lambda image: image.convert("RGB").size)
    assert isinstance(found, tuple | Fault)
    assert [file.name for file in folder.iterdir()] == ["a"]
