"""Tables on disk: one reader and one writer, so that text stays text and a file is whole or absent."""

import io
from pathlib import Path

import pandas as pd

from feature_vis.errors import InputError
from feature_vis.files import write_bytes

__all__ = ["read_table", "whole_lines", "write_table"]

# A layer called "1" or a class called "NA" is a name, not a number or a missing value.
_TEXT = ("model", "network", "layer", "task", "class_name", "class_base", "class_tuned", "label", "data")


def write_table(table: pd.DataFrame, *paths: str | Path) -> None:
    """Write a table to each path, as CSV or as Parquet by its suffix; equal tables give equal bytes.

    Parquet keeps the columns' types; CSV is for eyes and for every other tool.
    """
    for path in map(Path, paths):
        buffer = io.BytesIO()
        if path.suffix == ".parquet":
            table.to_parquet(buffer, index=False)
        else:
            table.to_csv(buffer, index=False)
        write_bytes(path, buffer.getvalue())


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV of `write_table`.

    Raises:
        InputError: no such file, or one that is empty or cut off.
    """
    try:
        text = whole_lines(path)
        table = pd.read_csv(text, dtype=dict.fromkeys(_TEXT, "str"), keep_default_na=False, na_values=[""])
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}): delete it and run again") from None
    return table


def whole_lines(path: str | Path) -> io.BytesIO:
    """The bytes of a text file whose every line ends.

    A CSV that was cut off within a line would be read with its last fields empty.

    Raises:
        OSError: no such file.
        ValueError: it is empty, or its last line has no end.
    """
    data = Path(path).read_bytes()
    if not data.endswith(b"\n"):
        raise ValueError("its last line is cut off" if data else "it is empty")
    return io.BytesIO(data)
