"""MATLAB files, whole, broken, and made to do harm."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from fuzzing import mutated
from made_data import car_annotations, cell, stanford_dogs
from places import python

from feature_vis.errors import InputError
from featurediff.data import mat_file
from featurediff.data.mat_file import read_mat, variables_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    car_annotations(tmp_path / "annotations.mat", [("00001.jpg", 2), ("00002.jpg", 1)])
    return tmp_path / "annotations.mat"


def test_fields_of_a_struct_array_as_lists(file: Path) -> None:
    expected = {"annotations.fname": ["00001.jpg", "00002.jpg"], "annotations.class": [2.0, 1.0]}
    assert variables_of(file, list(expected)) == expected
    assert read_mat(file, *expected) == expected  # by way of a process


def test_texts_and_numbers_of_every_type_and_none_for_the_rest(tmp_path: Path) -> None:
    cells = cell(["ä", "b", 3.5, np.uint8(4), np.array([1, 2]), np.array([])])
    content = {
        "texts": (cells, ["ä", "b", 3.5, 4, None, None]),
        "numbers": (np.array([[1, 2]], dtype=np.uint16), [1, 2]),
        "one": ("text", ["text"]),
        "single": (2.5, [2.5]),
        "complex": (np.array([1j, 2]), [None, None]),
    }
    scipy.io.savemat(tmp_path / "a.mat", {name: value for name, (value, _) in content.items()})
    assert read_mat(tmp_path / "a.mat", *content) == {name: read for name, (_, read) in content.items()}


UNREADABLE = "cannot be read as a MATLAB file"
TRUNCATED = [b"", b"words", b"MATLAB 5.0 MAT-file" + bytes(200), b"\x89HDF\r\n\x1a\n" + bytes(600), 300]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *[(content, UNREADABLE) for content in TRUNCATED],
        ({"annotations": np.array([("x",)], dtype=[("fname", object)])}, "without the field class"),
        ({"annotations": np.zeros(3)}, "without the field fname"),
        ({"x": np.zeros(3)}, "has no variable annotations (it has x)"),
    ],
)
def test_a_wrong_file(file: Path, content: bytes | int | dict, words: str) -> None:
    if isinstance(content, dict):
        scipy.io.savemat(file, content)
    else:
        file.write_bytes(file.read_bytes()[:content] if isinstance(content, int) else content)
    with pytest.raises(InputError, match=re.escape(words)):
        variables_of(file, ["annotations.fname", "annotations.class"])


def test_a_message_of_the_process_names_the_file(file: Path) -> None:
    for there, words in ((file, "has no variable x (it has annotations)"), (file.with_name("none.mat"), UNREADABLE)):
        with pytest.raises(InputError, match="^" + re.escape(f"{there} {words}")):
            read_mat(there, "x")


def test_any_cut_is_an_input_error(tmp_path: Path) -> None:
    stanford_dogs(tmp_path)
    data = (tmp_path / "lists" / "train_list.mat").read_bytes()
    for end in range(0, len(data), 41):
        with pytest.raises(InputError):
            variables_of(io.BytesIO(data[:end]), ["file_list", "labels"])


# Files that are made by hand, element by element: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
CELLS, NUMBERS = 1, 6


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind: int, columns: int, content: bytes, name: bytes = b"x") -> bytes:
    flags, size = element(6, struct.pack("<II", kind, 0)), element(5, struct.pack("<2i", 1, columns))
    return element(14, flags + size + element(1, name) + content)


def nested(depth: int) -> bytes:
    """Cells in cells: SciPy goes down by recursion in C, which ends with a full stack."""
    inner = matrix(NUMBERS, 1, element(9, struct.pack("<d", 1.0)), b"")
    heads, size = [], len(inner)
    for level in range(depth):
        body = matrix(CELLS, 1, b"", b"x" if level == depth - 1 else b"")[8:]
        heads.append(struct.pack("<II", 14, len(body) + size) + body)
        size += len(heads[-1])
    return b"".join(reversed(heads)) + inner


def bomb() -> bytes:
    """160 MB in 0.2."""
    packed = zlib.compress(matrix(NUMBERS, 20_000_000, element(9, bytes(20_000_000 * 8))), 9)
    return struct.pack("<II", 15, len(packed)) + packed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of a process's memory and time")
@pytest.mark.parametrize(
    ("content", "limits", "words"),
    [
        (lambda: matrix(CELLS, 2_000_000_000, b""), None, UNREADABLE),  # it claims 16 GB
        (lambda: nested(60_000), None, UNREADABLE),
        (bomb, "m._BYTES = 100 << 20", "claims more than"),
        (bytes, "m._SECONDS, m.variables_of = 1, lambda *_: max(iter(int, 1))", "takes more than 60 s or 1 GiB"),
    ],
    ids=["claim", "full stack", "bomb", "no end"],
)
def test_a_harmful_file_ends_its_reader_and_nothing_else(content, limits, words, tmp_path, monkeypatch) -> None:
    (tmp_path / "x.mat").write_bytes(HEADER + content())
    if limits is not None:
        code = f"import featurediff.data.mat_file as m; {limits}; m.main()"
        command, run = [sys.executable, "-P", "-c", code, str(tmp_path / "x.mat"), "x"], subprocess.run
        monkeypatch.setattr(mat_file.subprocess, "run", lambda _, **given: run(command, **given))
    with pytest.raises(InputError, match=rf"x\.mat .*{words}"):
        read_mat(tmp_path / "x.mat", "x")


# Reads each file in a process of its own, as `read_mat` does, but without starting Python anew for each.
READ_ALL = """
import os, sys
from featurediff.data import mat_file
for file in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        sys.argv[1:] = [file, "annotations.fname", "annotations.class"]
        try:
            code = mat_file.main() or 0
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        os._exit(code)
    print("", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes by fork")
def test_whatever_a_file_holds_its_reader_answers_or_is_ended(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    car_annotations(tmp_path / "plain", [(f"{number:05}.jpg", number) for number in range(20)])
    content = {"annotations": scipy.io.loadmat(tmp_path / "plain", appendmat=False)["annotations"]}
    scipy.io.savemat(tmp_path / "packed", content, do_compression=True, appendmat=False)
    seeds = [(tmp_path / name).read_bytes() for name in ("plain", "packed")]
    files = [tmp_path / f"{number}.mat" for number in range(250)]
    for number, file in enumerate(files):
        places, kinds = random.integers(128, 1 << 16, 3).tolist(), random.choice([0, 0, 0, 1, 2, 3], 3).tolist()
        edits = [(place, kind, random.bytes(2)) for place, kind in zip(places, kinds, strict=True)]
        file.write_bytes(mutated(seeds[number % 2], edits[: 1 + number % 3]))
    said, _ = python(READ_ALL, *files, stdout=subprocess.PIPE).communicate()
    answers = [line.rpartition(" ")[::2] for line in said.splitlines()]
    for file, (text, code) in zip(files, answers, strict=True):
        assert int(code) in (0, mat_file._WRONG) or int(code) < 0, file
        if int(code) >= 0:
            assert isinstance(json.loads(text), dict if int(code) == 0 else str), file
    assert any(code == "0" for _, code in answers)  # some faults are none
    assert set(tmp_path.iterdir()) == {*files, tmp_path / "packed", tmp_path / "plain"}
