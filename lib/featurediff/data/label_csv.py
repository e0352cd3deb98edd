"""The labels of a data set in a CSV file."""

import csv
from pathlib import Path

from feature_vis.errors import InputError
from featurediff.data.listing import LabelRow, needed_file

__all__ = ["read_labels"]

# The largest file that is read, bytes; a list of a million photographs has a tenth of it.
_LARGEST = 1 << 30


def read_labels(root: Path, path_column: str, label_column: str) -> list[LabelRow]:
    """The rows of `labels.csv`, UTF-8 with a header; other columns are not used."""
    columns = (path_column, label_column)
    file = needed_file(root, "labels.csv", f", with the columns {', '.join(columns)}")
    if (size := file.stat().st_size) > _LARGEST:
        raise InputError(f"{file} has {size:,} bytes, a list has {_LARGEST:,} at most: is it the list of the pictures?")
    rows = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if missing := [name for name in columns if name not in header]:
                raise InputError(f"{file} has no column {', '.join(missing)}: it has {', '.join(header) or 'none'}")
            at = [header.index(name) for name in columns]
            for fields in reader:
                if not fields:
                    continue  # a blank line
                path, label = (fields[i].strip() if i < len(fields) else "" for i in at)
                fault = f"{len(fields)} fields under {len(header)} columns" if len(fields) != len(header) else ""
                rows.append(LabelRow(path, label, "train", f"labels.csv line {reader.line_num}", fault))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read as a CSV in UTF-8: {error}") from None
    return rows
