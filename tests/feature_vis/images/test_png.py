"""PNGs that carry notes."""

import io
import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzzing import bounded, chunk, edits, mutated, with_checksums
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.images import png
from feature_vis.images.png import (
    channel_of,
    peek_notes,
    read_notes,
    read_picture,
    refuse_cut_off,
    seed_of,
    write_picture,
)

PICTURE = np.random.default_rng(0).integers(0, 256, size=(9, 9, 3), dtype=np.uint8)


def test_round_trip(tmp_path) -> None:
    write_picture(tmp_path / "a.png", PICTURE, {"key": "k", "näme": 1.5})
    picture, notes = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture, PICTURE)
    assert notes == {"key": "k", "näme": 1.5}
    write_picture(tmp_path / "b.png", PICTURE, {"näme": 1.5, "key": "k"})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_prefix_of_a_file_is_taken_for_a_whole_one(tmp_path) -> None:
    write_picture(tmp_path / "whole.png", PICTURE, {"key": "k"})
    whole = (tmp_path / "whole.png").read_bytes()
    for length in range(len(whole)):
        (tmp_path / f"{length}.png").write_bytes(whole[:length])
        assert read_notes(tmp_path / f"{length}.png") is None, length
    assert peek_notes(tmp_path / f"{len(whole) - 30}.png") == peek_notes(tmp_path / "whole.png") == {"key": "k"}
    refuse_cut_off([tmp_path / "whole.png", tmp_path / "not there.png"])
    names = [f"{length}.png" for length in (0, 5, len(whole) - 1)]
    with pytest.raises(InputError, match="3 pictures") as error:
        refuse_cut_off([tmp_path / name for name in ["whole.png", *names]])
    assert re.findall(r"\d+\.png", str(error.value)) == names


def test_seed_and_channel_are_read_from_the_path() -> None:
    for path, found in {
        "base/pictures/layer3.1/channel0.png": (0, 0),
        "base/pictures/layer3.1/seed1/channel12.png": (1, 12),
        "base/pictures/fc/channel7.png": (0, 7),
    }.items():
        assert (seed_of(path), channel_of(path)) == found
    for name in ("channel.png", "channel1.jpg", "xchannel1.png"):
        with pytest.raises(ValueError, match="channel"):
            channel_of(name)


READERS: list[Callable] = [read_picture, peek_notes]


def with_text(*texts: bytes) -> bytes:
    """A whole PNG with these chunks between its head and its pixels."""
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    return file.getvalue()[:33] + b"".join(texts) + file.getvalue()[33:]


def noted(text: bytes, kind: bytes = b"iTXt") -> bytes:
    head = {b"iTXt": b"featurediff\0\0\0\0\0", b"tEXt": b"featurediff\0", b"zTXt": b"featurediff\0\0"}[kind]
    return chunk(kind, head + (zlib.compress(text) if kind == b"zTXt" else text))


TEXTS = [b"", b"{", b"[]", b"null", b"3", b'"key"', b"\xff\xfe", b"[" * 200_000, b'{"a": ' * 100_000, b"9" * 10_000]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:8].decode("latin-1"))
@pytest.mark.parametrize("kind", [b"iTXt", b"tEXt", b"zTXt"])
def test_what_is_no_note_of_ours(tmp_path: Path, kind: bytes, text: bytes, read: Callable) -> None:
    for foreign in (with_text(noted(text, kind)), with_text()):
        (tmp_path / "a.png").write_bytes(foreign)
        with pytest.raises(InputError, match=r"a\.png .*: delete it and run again"):
            read(tmp_path / "a.png")
        assert read_notes(tmp_path / "a.png") is None
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="a regular file"):
        read(tmp_path / "pipe.png")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused(tmp_path: Path, read: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    unfolding = with_text(noted(b" " * (1 << 24), b"zTXt"))
    huge = struct.pack(">IIBBBBB", 9000, 10_000, 8, 2, 0, 0, 0)
    claim = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + noted(b"{}") + with_text()[33:]
    for data in (unfolding, claim, claim.replace(huge, struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))):
        (tmp_path / "a.png").write_bytes(with_checksums(data))
        with pytest.raises(InputError, match=r"a\.png is not a whole picture"):
            read(tmp_path / "a.png")
    monkeypatch.setattr(png, "_MOST_BYTES", 100)
    (tmp_path / "a.png").write_bytes(with_text(noted(b"{}")))
    with pytest.raises(InputError, match="of at most 100 bytes"):
        read(tmp_path / "a.png")


WHOLE = with_text(noted(json.dumps({"key": "k", "trajectory": [[0, 1.5], [1, 2.5]]}).encode()))


@given(edits=edits, text=st.binary(max_size=40) | st.text(max_size=20).map(str.encode), kind=st.integers(0, 3))
@bounded(300)
def test_whatever_a_png_says_there_are_notes_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, edits: list, text: bytes, kind: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed-png"
    folder.mkdir(exist_ok=True)
    data = WHOLE if kind == 3 else with_text(noted(text, (b"iTXt", b"tEXt", b"zTXt")[kind]))
    (folder / "a.png").write_bytes(with_checksums(mutated(data, edits)))
    for read in READERS:
        try:
            found = read(folder / "a.png")
        except InputError:
            continue
        assert isinstance(found[1] if isinstance(found, tuple) else found, dict)
    assert [file.name for file in folder.iterdir()] == ["a.png"]
