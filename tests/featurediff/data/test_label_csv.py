"""The list of a data set as a CSV."""

import pytest
from fuzzing import bounded, edits, mutated
from hypothesis import given
from made_data import csv_format, message, picture, split

from feature_vis.errors import InputError
from featurediff.data import label_csv
from featurediff.data.formats import read_samples


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column path, label"),
        (b"path;label\na;b\n", "no column path, label: it has path;label"),
        (b"path,label\n\xff\xfe,x\n", "UTF-8"),
        (b'path,label\n"a,b\n', "cannot be read as a CSV"),
        (b"path,label\n" + b"a.png,b\n" * 200, "labels.csv has 1,611 bytes, a list has 1,000 at most"),
    ],
)
def test_a_wrong_csv(tmp_path, monkeypatch, content, words) -> None:
    monkeypatch.setattr(label_csv, "_LARGEST", 1000)
    (tmp_path / "labels.csv").write_bytes(content)
    assert words in message("csv", tmp_path)


def test_a_csv_from_a_spreadsheet(tmp_path) -> None:
    for number in range(4):
        picture(tmp_path / f"Bild {number}, groß.png")
    rows = "".join(f'"Bild {number}, groß.png", NA ,7\r\n' for number in range(4))
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + f"path, label,note\r\n{rows}\r\n".encode())
    got, skipped = split("csv", tmp_path)
    assert skipped.empty
    assert set(got["label"]) == {"NA"}


@given(edits=edits)
@bounded(150)
def test_whatever_a_list_holds_there_are_pictures_of_the_folder_or_a_message(tmp_path_factory, edits) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzzed-csv"
    if not root.exists():
        csv_format(root)
    whole = "path,label\n" + "".join(f"{x}s/deep/{n}.png,{x}\n" for x in ("cup", "jug") for n in range(3))
    whole += '"../out.png",cup\n/etc/passwd,cup\n"a,b\nc.png","=1+1"\n'
    (root / "labels.csv").write_bytes(mutated(whole.encode(), edits))
    before = sorted(root.rglob("*"))
    try:
        samples, problems = read_samples("csv", root)
    except InputError:
        return
    files = {path.relative_to(root).as_posix() for path in before if path.suffix == ".png"}
    assert {sample.path for sample in samples} <= files
    assert all(problem.kind for problem in problems)
    assert sorted(root.rglob("*")) == before
