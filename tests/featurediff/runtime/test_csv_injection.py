"""Texts from data, which a spreadsheet must not run."""

import csv
import io
import re
from pathlib import Path

import pandas as pd
from fuzzing import bounded
from hypothesis import given
from hypothesis import strategies as st

from featurediff.data.split import read_split, write_split
from featurediff.runtime.csv_injection import as_text, original
from featurediff.runtime.tables import read_table, write_table

FORMULAS = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "＝1", "x;=1", 'x;"=1"', 'x";"=1']
FORMULAS += ["'=1", "''=1", "a\r=1", "=a\n=b"]
PLAIN = ["pug", "Shih-Tzu", "a+b", "Ram C/V = 2012", "'", "''x", "x;y", " =1", "007", "NA", 'ä"b']
texts = st.text("=+-@'\";,\tx＝ \\", max_size=8)


def cells(text: str, separator: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) for cell in row]


def test_what_would_run_is_marked_and_all_else_stays() -> None:
    assert all(as_text(text) != text and original(as_text(text)) == text for text in FORMULAS)
    assert all(as_text(text) == original(text) == text for text in PLAIN)


@given(text=texts)
@bounded(1000)
def test_every_text_comes_back(text: str) -> None:
    assert original(as_text(text)) == text
    assert as_text(as_text(text)) != as_text(text) or as_text(text) == text


@given(texts=st.lists(texts | st.sampled_from(FORMULAS), min_size=1, max_size=4), separator=st.sampled_from(",;\t"))
@bounded(1000)
def test_no_cell_is_a_formula_whatever_separates_them(texts: list[str], separator: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow([as_text(text) for text in texts])
    assert not [cell for cell in cells(file.getvalue(), separator) if re.match(r"[\t\r]*[=+\-@＝＋－＠]", cell)]


def harmless(file: Path) -> bool:
    return all(cell[0] not in "=+@＝＋－＠\t\r" for cell in cells(file.read_text(encoding="utf-8"), ","))


def test_tables_and_splits_are_harmless_in_a_spreadsheet_and_the_same_to_us(tmp_path: Path) -> None:
    names = [name for name in [*FORMULAS, *PLAIN] if not re.search("[\r\n]", name)]  # those no picture can have
    table = pd.DataFrame({"class_name": names, "path": [f"{name}.png" for name in names], "gain": -1.5})
    write_table(table, tmp_path / "a.csv", tmp_path / "a.parquet")
    assert harmless(tmp_path / "a.csv")
    assert ",-1.5\n" in (tmp_path / "a.csv").read_text()  # a number is a number
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.csv"), table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), table, check_dtype=False)
    # classes are heads of columns, too
    table = pd.DataFrame([["=1+1", 3, 0], ["class_name", 1, 2]], columns=["class_name", "=1+1", "class_name"])
    write_table(table, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "class_name,'=1+1,class_name\n'=1+1,3,0\nclass_name,1,2\n"
    assert list(read_table(tmp_path / "a.csv").columns)[:2] == ["class_name", "=1+1"]
    rows = [(f"{name}/1.png", name, number, "train") for number, name in enumerate([*FORMULAS, *PLAIN])]
    split = pd.DataFrame(rows, columns=["path", "label", "class_index", "split"])
    write_split(tmp_path / "split.csv", split)
    assert harmless(tmp_path / "split.csv")
    pd.testing.assert_frame_equal(read_split(tmp_path / "split.csv"), split)
