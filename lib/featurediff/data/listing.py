"""The files in a data set's folders, matched with the labels in its lists: samples, and a problem for every mismatch.

In a folder of photographs, names in `_IGNORED`, names that end with one of `_IGNORED_SUFFIXES`, and names that start
with a dot are ignored. Everything else must be a labelled photograph, or it is a problem.
"""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from feature_vis.errors import InputError

__all__ = [
    "BAD_NAME",
    "BAD_ROW",
    "EMPTY_CLASS",
    "MISSING",
    "NOT_A_PICTURE",
    "OUTSIDE",
    "TWICE",
    "UNLABELLED",
    "Found",
    "LabelRow",
    "Listing",
    "Part",
    "Problem",
    "Sample",
    "inside",
    "list_folder",
    "match",
    "needed_file",
    "needed_folder",
    "nested",
    "shown",
]

Part = Literal["train", "test"]

# What operating systems and authors leave beside photographs (lower case).
_IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_IGNORED_SUFFIXES = (".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".mat")
# In a name these would break a line of a table or a message, or they cannot be written as UTF-8.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

MISSING = "a label without a file"
UNLABELLED = "a file without a label"
OUTSIDE = "leaves the data set's root"
TWICE = "labelled more than once"
EMPTY_CLASS = "an empty class"
BAD_ROW = "a label that cannot be used"
BAD_NAME = "a name with control characters or broken encoding"
NOT_A_PICTURE = "not a picture file"


class Sample(NamedTuple):
    """A labelled photograph: its path below the root, with forward slashes, and the part of the data set it is in."""

    path: str
    label: str
    part: Part = "train"


class Problem(NamedTuple):
    """Something that cannot be used. The kind becomes a heading of the message; the detail may be empty."""

    kind: str
    path: str
    detail: str = ""


class LabelRow(NamedTuple):
    """A row of a data set's list of labels; `where` it is, and the `fault` because of which it cannot be used."""

    path: str
    label: str
    part: Part
    where: str
    fault: str = ""


class Listing(NamedTuple):
    """The content of a folder, as sorted paths below the root; what cannot be used is among the problems."""

    files: list[str]
    folders: list[str]
    problems: list[Problem]


Found = tuple[list[Sample], list[Problem]]


def list_folder(root: Path, folder: str = "") -> Listing:
    """List a folder without asking for the status of each file: only links are followed, to see where they lead."""
    listing = Listing([], [], [])
    try:
        with os.scandir(root / folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot list {root / folder}: {error.strerror}") from None
    for entry in entries:
        name = entry.name.lower()
        if name.startswith(".") or name in _IGNORED or (name.endswith(_IGNORED_SUFFIXES) and not _is_folder(entry)):
            continue
        path = posixpath.join(folder, entry.name)
        if _UNUSABLE.search(entry.name):
            listing.problems.append(Problem(BAD_NAME, path))
        elif entry.is_symlink() and not inside(root, path):
            listing.problems.append(Problem(OUTSIDE, path, f"a link to {os.path.realpath(entry.path)}"))
        elif _is_folder(entry):
            listing.folders.append(path)
        elif entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path):  # noqa: PTH113
            listing.files.append(path)
        else:
            detail = "a link to nothing" if entry.is_symlink() else "not a regular file"
            listing.problems.append(Problem(NOT_A_PICTURE, path, detail))
    return listing


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether it is a folder, or a link to one; `entry.is_dir()` would raise for a link that leads to itself."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112


def needed_folder(root: Path, folder: str) -> Listing:
    """The listing of a folder that the format requires."""
    if not (root / folder).is_dir():
        raise InputError(f"there is no folder {root / folder}: is {root} the data set's root?")
    if not inside(root, folder):
        raise InputError(f"{root / folder} is a link out of the data set's root: put the folder itself there")
    return list_folder(root, folder)


def needed_file(root: Path, name: str, what: str = "") -> Path:
    """The path of a file that the format requires; `what` ends the message if it is missing."""
    file = root / name
    if not os.path.isfile(file):  # noqa: PTH113 (False, not an error, for a name that is too long)
        raise InputError(f"there is no {file}: this format needs it{what}")
    if not inside(root, name):
        raise InputError(f"{file} is a link out of the data set's root: put the file itself there")
    return file


def nested(folders: Sequence[str]) -> list[Problem]:
    return [Problem(NOT_A_PICTURE, folder, "a folder among the pictures") for folder in folders]


def inside(root: Path, path: str) -> bool:
    """Whether a path below the root stays there when its links are followed."""
    return Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root))


def match(root: Path, rows: Sequence[LabelRow], listings: Sequence[Listing], problems: Sequence[Problem] = ()) -> Found:
    """Bring what the lists say and what lies in the folders together: samples, and a problem for all else."""
    found = [*problems, *(problem for listing in listings for problem in listing.problems)]
    files = {path for listing in listings for path in listing.files}
    named_already = {problem.path for problem in found}
    by_path: dict[str, list[LabelRow]] = defaultdict(list)
    for row in rows:
        by_path[posixpath.normpath(row.path) if row.path else f"({row.where})"].append(row)
    samples = []
    for path, same in by_path.items():
        if path in named_already:
            continue
        problem = _row_problem(root, path, same, files)
        if problem is None:
            samples.append(Sample(path, same[0].label, same[0].part))
        else:
            found.append(problem)
    return samples, found + [Problem(UNLABELLED, path) for path in files if path not in by_path]


def _row_problem(root: Path, path: str, same: Sequence[LabelRow], files: set[str]) -> Problem | None:
    """What is wrong with a path that these rows name, if anything."""
    row, where = same[0], ", ".join(row.where for row in same)
    if not row.path:
        return Problem(BAD_ROW, path, row.fault or "it names no file")
    if _UNUSABLE.search(path + row.label):
        return Problem(BAD_NAME, path, where)
    if row.path.startswith("/") or path.startswith("../") or path == "..":
        return Problem(OUTSIDE, row.path, where)
    if len(same) > 1:
        return Problem(TWICE, path, "; ".join(f"{row.where}: {row.label or '(empty)'}" for row in same))
    if row.fault:
        return Problem(BAD_ROW, path, f"{row.where}: {row.fault}")
    if not row.label:
        return Problem(UNLABELLED, path, f"{row.where} leaves it empty")
    if path in files:
        return None
    # Not among what was listed: a hidden name, a folder that is a link, or not there.
    if not inside(root, path):
        return Problem(OUTSIDE, path, f"{row.where}; a link to {os.path.realpath(root / path)}")
    full = root / path
    if os.path.isfile(full):  # noqa: PTH113 (False, not an error, for a name that is too long)
        return None
    return Problem(NOT_A_PICTURE, path, row.where) if os.path.exists(full) else Problem(MISSING, path, row.where)  # noqa: PTH110


def shown(name: str) -> str:
    """A name as it can stand in a message or a table."""
    return repr(name) if _UNUSABLE.search(name) else name
