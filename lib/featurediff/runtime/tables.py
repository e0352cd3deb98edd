"""Tables on disk: one reader and one writer, so that text stays text and files are complete or absent."""

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from feature_vis.errors import InputError
from feature_vis.files import write_bytes
from featurediff.runtime.csv_injection import as_text, original

__all__ = ["as_written", "harmless", "join_reasons", "read_table", "read_tables", "whole_lines", "write_table"]

# A layer called "1" or a class called "NA" is a name, not a number or a missing value.
_TEXT = (
    "network",
    "layer",
    "task",
    "class_name",
    "mistaken_for",
    "class_base",
    "class_tuned",
    "label",
    "data",
    "path",
    "name",
    "base_name",
    "tuned_name",
    "rose_name",
    "from_name",
    "to_name",
)


def write_table(table: pd.DataFrame, *paths: str | Path) -> None:
    """Write a table to each path, as CSV or as Parquet by its suffix; equal tables give equal bytes.

    Parquet keeps the columns' types. CSV is for people and other tools, see `featurediff.runtime.csv_injection`.
    """
    for path in map(Path, paths):
        buffer = io.BytesIO()
        if path.suffix == ".parquet":
            table.to_parquet(buffer, index=False)
        else:
            harmless(table).to_csv(buffer, index=False)
        write_bytes(path, buffer.getvalue())


def harmless(table: pd.DataFrame) -> pd.DataFrame:
    """A copy in which no text can be mistaken for a formula."""
    return _in_texts(table, as_text)


def as_written(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of a table that was read, with the texts as they were before `harmless`."""
    return _in_texts(table, original)


def _in_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Change the texts in the cells and in the column names, as some of these are classes."""

    def changed(value: object) -> object:
        return change(value) if isinstance(value, str) else value

    texts = [column.map(changed) if column.dtype.kind == "O" else column for _, column in table.items()]
    heads = [changed(name) for name in table.columns]
    return pd.concat(texts, axis=1, keys=range(len(texts))).set_axis(heads, axis=1) if texts else table


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV of `write_table`.

    Raises:
        InputError: the file is missing, empty or cut off.
    """
    try:
        text = whole_lines(path)
        table = pd.read_csv(text, dtype=dict.fromkeys(_TEXT, "str"), keep_default_na=False, na_values=[""])
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}): delete it and run again") from None
    return as_written(table)


def read_tables(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read CSVs of `write_table` into one table, one below the other; empty if there are none."""
    return pd.concat([read_table(path) for path in paths] or [pd.DataFrame()], ignore_index=True)


def whole_lines(path: str | Path) -> io.BytesIO:
    """The bytes of a text file, if its last line is complete.

    A CSV that was cut off within a line would be read with empty last fields.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is empty, or its last line is cut off.
    """
    data = Path(path).read_bytes()
    if not data.endswith(b"\n"):
        raise ValueError("its last line is cut off" if data else "it is empty")
    return io.BytesIO(data)


def join_reasons(rows: Mapping[str, np.ndarray | pd.Series]) -> list[str]:
    """A text for each row of a table, in which the reasons that apply to it are joined by "; ".

    `rows`: reason -> whether it applies, (K,) bool.
    """
    table = np.stack(list(rows.values()), axis=1)  # (K, reasons)
    return ["; ".join(reason for reason, applies in zip(rows, row, strict=True) if applies) for row in table]
