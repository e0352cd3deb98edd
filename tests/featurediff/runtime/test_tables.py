"""Tables on disk."""

import numpy as np
import pandas as pd
import pytest

from feature_vis.errors import InputError
from featurediff.runtime.tables import join_reasons, read_table, read_tables, write_table

NAMES = {"layer": ["1", "NA", "layer4.2"], "class_base": ["None", "07", "a,b"]}
NUMBERS = {"channel": [0, 1, 2], "excess": [1.5, np.nan, -2.0], "frozen": [True, False, True]}
TABLE = pd.DataFrame({**NAMES, **NUMBERS, "rank": pd.array([1, None, 2], dtype="Int64")})


def test_names_stay_names_and_parquet_keeps_types(tmp_path) -> None:
    write_table(TABLE, tmp_path / "a.csv", tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.csv")
    assert table["layer"].tolist() == ["1", "NA", "layer4.2"]
    assert table["class_base"].tolist() == ["None", "07", "a,b"]
    assert table["frozen"].dtype == bool
    np.testing.assert_array_equal(table["excess"], TABLE["excess"])
    back = pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(back, TABLE, check_dtype=False)
    assert str(back["rank"].dtype) == "Int64"
    write_table(TABLE, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_file_that_is_no_table_is_named_and_no_prefix_of_a_line_is_taken_for_it(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")
    write_table(TABLE, tmp_path / "a.csv")
    whole = (tmp_path / "a.csv").read_bytes()
    cut = [whole[:length] for length in range(len(whole)) if whole[:length][-1:] != b"\n"]
    for content in (b'"a,b\n1', b"a\xff\xfe", *cut):
        (tmp_path / "b.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"b\.csv .*delete it and run again"):
            read_table(tmp_path / "b.csv")


def test_tables_are_read_one_below_the_other(tmp_path) -> None:
    write_table(TABLE, tmp_path / "a.csv")
    both = read_tables([tmp_path / "a.csv"] * 2)
    assert both["layer"].tolist() == 2 * TABLE["layer"].tolist()
    assert both.index.tolist() == list(range(6))
    assert read_tables([]).empty


def test_the_reasons_of_a_row_are_joined() -> None:
    rows = {"grey": np.array([True, False, True]), "one seed": np.array([True, False, False])}
    assert join_reasons(rows) == ["grey; one seed", "", "grey"]
