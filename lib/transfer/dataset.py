"""Data sets in their real formats: which pictures there are, what each shows, and how they are split.

Each reader takes a root folder and returns the samples and the problems it met; nothing is dropped silently.
Formats: Kaggle dog-breed-identification (https://www.kaggle.com/c/dog-breed-identification), Stanford Dogs
(http://vision.stanford.edu/aditya86/ImageNetDogs), Stanford Cars (Krause et al. 2013), a folder a class, and a CSV.

Of what lies in a folder of pictures, `_IGNORED`, `_IGNORED_SUFFIXES` and names that start with a dot are passed
over; anything else must be a labelled picture, or it is a problem. A data set's own unlabelled part (Kaggle's
`test/`, Stanford Cars' `cars_test/` without its labels) is not looked at.
"""

import csv
import math
import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import scipy.io

from feature_vis.errors import InputError
from feature_vis.files import write_text
from feature_vis.seeding import derive_seed
from transfer.pictures import PictureDataset, faults
from transfer.tables import whole_lines

__all__ = ["FORMATS", "PictureDataset", "Problem", "Sample", "make_split", "read_samples", "read_split", "write_split"]

Part = Literal["train", "test"]
T = TypeVar("T")

# What systems and authors leave beside pictures (lower case).
_IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_IGNORED_SUFFIXES = (".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".mat")
_COLUMNS = ["path", "label", "class_index", "split"]
# In a name these would break a line of a table or a message, or cannot be written as UTF-8 at all.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

MISSING = "a label without a file"
UNLABELLED = "a file without a label"
OUTSIDE = "leaves the data set's root"
TWICE = "labelled more than once"
EMPTY_CLASS = "an empty class"
SMALL_CLASS = "in a class with too few pictures"
BAD_ROW = "a label that cannot be used"
BAD_NAME = "a name with control characters or broken encoding"
STRANGER = "not a picture file"


class Sample(NamedTuple):
    """A labelled picture: its path below the root, with forward slashes; `part` is the data set's own."""

    path: str
    label: str
    part: Part = "train"


class Problem(NamedTuple):
    """Something that cannot be used: the kind is a heading of the message, the detail says more, or is empty."""

    kind: str
    path: str
    detail: str = ""


class _Row(NamedTuple):
    """What a data set's list says of one picture, and `where` it says so; `fault`: why it cannot be used."""

    path: str
    label: str
    part: Part
    where: str
    fault: str = ""


class _Listing(NamedTuple):
    """What lies in one folder, as paths below the root, sorted; what cannot be used is in the problems."""

    files: list[str]
    folders: list[str]
    problems: list[Problem]


Found = tuple[list[Sample], list[Problem]]


def read_samples(format: str, root: str | Path) -> Found:
    """The labelled pictures of a data set and all that is wrong with it, both sorted by path; no picture is opened.

    Raises:
        InputError: an unknown format, or a root without the files that the format is made of.
    """
    if format not in FORMATS:
        raise InputError(f"there is no data format {format!r}: choose one of {', '.join(FORMATS)}")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: set the data set's root to where its files lie")
    samples, problems = FORMATS[format](root)
    return sorted(samples), sorted(problems, key=lambda problem: (problem.path, problem.kind))


def make_split(
    format: str,
    root: str | Path,
    *,
    val_fraction: float,
    seed: int,
    validation: Literal["seeded", "official"] = "seeded",
    on_bad_image: Literal["error", "skip"] = "error",
    verify: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a data set's pictures; with `verify` each is decoded once to see that it is whole.

    Returns the split (path, label, class_index, split: `train`, `val` or `test`; sorted by path; the index counts
    the sorted class names) and what was left out (path, reason).
    `seeded`: a share `val_fraction` (above 0, below 1) of each class's training pictures validates, rounded half
    up, at least one, and at least one is left to train; the data set's own test part, if any, is `test`.
    `official`: the test part validates, and `val_fraction` is not used.
    The split depends on paths, labels and seed alone, not on the order in which a folder lists its files.

    Raises:
        InputError: all problems, each with its file, unless `on_bad_image` is `skip`; a value out of range; no test
            part for `official`; nothing left.
    """
    _check_choices(val_fraction, validation, on_bad_image)
    root = Path(root)
    samples, problems = read_samples(format, root)
    if validation == "official" and not any(sample.part == "test" for sample in samples):
        raise InputError(
            f"{root} ({format}) has no labelled test part to validate on: set `validation: seeded` "
            "(stanford_dogs has one; stanford_cars needs cars_test/ and cars_test_annos_withlabels.mat)"
        )
    if verify:
        broken = faults(root, [sample.path for sample in samples])
        problems += [Problem(fault.kind, path, fault.detail) for path, fault in broken.items()]
        samples = [sample for sample in samples if sample.path not in broken]
    samples, small = _large_enough(samples, 2 if validation == "seeded" else 1)
    problems += small
    if problems and (on_bad_image == "error" or not samples):
        raise InputError(_in_words(root, format, problems, nothing_left=not samples))
    if not samples:
        raise InputError(f"{root} holds no pictures in the layout of {format}: is it the data set's root?")
    skipped = [(_shown(path), f"{kind}: {detail}" if detail else kind) for kind, path, detail in problems]
    skipped.sort()
    table = _assigned(samples, validation, val_fraction, int(seed))
    return table, pd.DataFrame(skipped, columns=["path", "reason"])


def write_split(path: str | Path, table: pd.DataFrame) -> None:
    """Write a split as CSV, whole or not at all; every text is quoted, so that any class name comes back."""
    write_text(path, table[_COLUMNS].to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"))


def read_split(path: str | Path) -> pd.DataFrame:
    """Read a split; a class called `NA` or `007` keeps its name.

    Raises:
        InputError: a missing file, or one that `write_split` did not write.
    """
    try:
        table = pd.read_csv(whole_lines(path), dtype=str, keep_default_na=False, encoding="utf-8")
        if list(table.columns) != _COLUMNS:
            raise ValueError(f"its columns are {', '.join(map(str, table.columns))}")
        table["class_index"] = table["class_index"].astype("int64")
        if strange := sorted(set(table["split"]) - {"train", "val", "test"}):
            raise ValueError(f"a split is train, val or test, not {', '.join(map(repr, strange))}")
    except (OSError, ValueError) as error:  # pandas' and Unicode's errors are ValueErrors
        columns = ", ".join(_COLUMNS)
        raise InputError(
            f"{path} is not a split with the columns {columns} ({error}): delete it and run again"
        ) from None
    return table


def _image_folder(root: Path) -> Found:
    top = _listing(root)
    samples: list[Sample] = []
    problems = top.problems + [Problem(UNLABELLED, path, "it lies in no class's folder") for path in top.files]
    for folder in top.folders:
        inside = _listing(root, folder)
        samples += [Sample(path, folder) for path in inside.files]
        problems += inside.problems + _nested(inside.folders)
        if not inside.files:
            problems.append(Problem(EMPTY_CLASS, folder, "no pictures in its folder"))
    return samples, problems


def _kaggle_dogs(root: Path) -> Found:
    pairs, listing = _all_of(lambda: _read_table(root, "id", "breed"), lambda: _needed(root, "train"))
    rows = [row._replace(path=_below("train", row.path, ".jpg")) for row in pairs]
    return _matched(root, rows, [listing], _nested(listing.folders))


def _csv(root: Path) -> Found:
    rows = _read_table(root, "path", "label")
    listings, folders = [], [""]
    while folders:  # every folder below the root; a link to one could lead in a circle
        listings.append(_listing(root, folders.pop()))
        folders += [folder for folder in listings[-1].folders if not (root / folder).is_symlink()]
    return _matched(root, rows, listings)


def _stanford_dogs(root: Path) -> Found:
    lists: dict[Part, Path] = {part: root / "lists" / f"{part}_list.mat" for part in ("train", "test")}
    train, test, top = _all_of(
        lambda: _dog_rows(lists["train"], "train"),
        lambda: _dog_rows(lists["test"], "test"),
        lambda: _needed(root, "Images"),
    )
    rows = _with_agreeing_numbers([*train, *test])
    listings = [_listing(root, folder) for folder in top.folders]
    problems = top.problems + [Problem(UNLABELLED, path, "it lies in no breed's folder") for path in top.files]
    for folder, inside in zip(top.folders, listings, strict=True):
        problems += _nested(inside.folders)
        if not inside.files:
            problems.append(Problem(EMPTY_CLASS, folder, "no pictures in its folder"))
    return _matched(root, rows, listings, problems)


def _dog_rows(file: Path, part: Part) -> list[tuple[_Row, int | None]]:
    """Rows of a list with each one's class number; the breed is what follows `<wnid>-` in the folder's name."""
    content = _read_mat(file, "file_list", "labels")
    names, numbers = content["file_list"], content["labels"]
    if len(names) != len(numbers):
        raise InputError(f"{file}: {len(names)} files but {len(numbers)} labels; it is not the data set's file")
    rows = []
    for index, (cell, number) in enumerate(zip(names, numbers, strict=True)):
        where, name = f"lists/{file.name} row {index + 1}", cell if isinstance(cell, str) else ""
        breed = name.partition("/")[0].partition("-")[2].strip()
        fault = "" if breed else "it is not in a folder named <wnid>-<breed>"
        rows.append((_Row(_below("Images", name), breed, part, where, fault), _whole(number)))
    return rows


def _with_agreeing_numbers(rows: list[tuple[_Row, int | None]]) -> list[_Row]:
    """Name the rows whose class number is not their folder's, which is the one that most of its rows have."""
    votes: dict[str, Counter[int | None]] = defaultdict(Counter)
    for row, number in rows:
        votes[posixpath.dirname(row.path)][number] += 1
    usual = {folder: count.most_common(1)[0][0] for folder, count in votes.items()}
    checked = []
    for row, number in rows:
        expected = usual[posixpath.dirname(row.path)]
        fault = f"its class number is {number}, its folder's is {expected}"
        checked.append(row if row.fault or (number == expected and number is not None) else row._replace(fault=fault))
    return checked


def _stanford_cars(root: Path) -> Found:
    labelled = next((file for file in _car_test_files(root) if file.exists() and (root / "cars_test").is_dir()), None)
    names, train, test, *listings = _all_of(
        lambda: _car_names(root / "devkit" / "cars_meta.mat"),
        lambda: _read_mat(root / "devkit" / "cars_train_annos.mat", "annotations", fields=("fname", "class")),
        lambda: _read_mat(labelled, "annotations", fields=("fname", "class")) if labelled else {},
        lambda: _needed(root, "cars_train"),
        lambda: _needed(root, "cars_test") if labelled else _Listing([], [], []),
    )
    rows = _car_rows(train["annotations"], names, "train", "cars_train_annos.mat")
    if labelled:
        rows += _car_rows(test["annotations"], names, "test", labelled.name)
    used = {row.label for row in rows if row.part == "train"}
    problems = [Problem(EMPTY_CLASS, name, "no training picture has it") for name in names if name not in used]
    return _matched(root, rows, listings, problems + _nested([folder for each in listings for folder in each.folders]))


def _car_test_files(root: Path) -> list[Path]:
    name = "cars_test_annos_withlabels.mat"
    return [root / name, root / "devkit" / name]  # the authors' site gave it apart from the devkit


def _car_names(file: Path) -> list[str]:
    names = [name.strip() if isinstance(name, str) else "" for name in _read_mat(file, "class_names")["class_names"]]
    wrong = [repr(name) for name, count in Counter(names).items() if count > 1 or not name]
    if wrong or not names:
        raise InputError(f"{file}: class names must be different texts: {', '.join(wrong) or 'there are none'}")
    return names


def _car_rows(annotations: np.ndarray, names: list[str], part: Part, file: str) -> list[_Row]:
    rows = []
    for index, (cell, number) in enumerate(zip(annotations["fname"], annotations["class"], strict=True)):
        name, value = cell if isinstance(cell, str) else "", _whole(number)
        known = value is not None and 1 <= value <= len(names)
        label = names[value - 1] if value is not None and known else ""
        fault = "" if known else f"class {number}, but cars_meta.mat has 1 to {len(names)}"
        rows.append(_Row(_below(f"cars_{part}", name), label, part, f"{file} row {index + 1}", fault))
    return rows


FORMATS: dict[str, Callable[[Path], Found]] = {
    "image_folder": _image_folder,
    "kaggle_dogs": _kaggle_dogs,
    "stanford_dogs": _stanford_dogs,
    "stanford_cars": _stanford_cars,
    "csv": _csv,
}


def _listing(root: Path, folder: str = "") -> _Listing:
    """List a folder without a stat a file: only links are followed, to see where they lead."""
    listing = _Listing([], [], [])
    try:
        with os.scandir(root / folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot list {root / folder}: {error.strerror}") from None
    for entry in entries:
        name = entry.name.lower()
        if name.startswith(".") or name in _IGNORED or (name.endswith(_IGNORED_SUFFIXES) and not entry.is_dir()):
            continue
        path = posixpath.join(folder, entry.name)
        if _UNUSABLE.search(entry.name):
            listing.problems.append(Problem(BAD_NAME, path))
        elif entry.is_symlink() and not _inside(root, path):
            listing.problems.append(Problem(OUTSIDE, path, f"a link to {os.path.realpath(entry.path)}"))
        elif entry.is_dir():
            listing.folders.append(path)
        elif entry.is_file():
            listing.files.append(path)
        else:
            detail = "a link to nothing" if entry.is_symlink() else "not a regular file"
            listing.problems.append(Problem(STRANGER, path, detail))
    return listing


def _needed(root: Path, folder: str) -> _Listing:
    """The listing of a folder that the format is made of."""
    if not (root / folder).is_dir():
        raise InputError(f"there is no folder {root / folder}: is {root} the data set's root?")
    if not _inside(root, folder):
        raise InputError(f"{root / folder} is a link out of the data set's root: put the folder itself there")
    return _listing(root, folder)


def _nested(folders: Sequence[str]) -> list[Problem]:
    return [Problem(STRANGER, folder, "a folder among the pictures") for folder in folders]


def _inside(root: Path, path: str) -> bool:
    """Whether a path below the root stays there when its links are followed."""
    return Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root))


def _below(folder: str, name: str, suffix: str = "") -> str:
    """A listed name as a path below the root; one that leads out stays as it is, so that it is seen as such."""
    return name if not name or name.startswith(("/", "../")) else f"{folder}/{name}{suffix}"


def _matched(root: Path, rows: Sequence[_Row], listings: Sequence[_Listing], problems: Sequence[Problem] = ()) -> Found:
    """Bring what the lists say and what lies in the folders together: samples, and a problem for all else."""
    found = [*problems, *(problem for listing in listings for problem in listing.problems)]
    files = {path for listing in listings for path in listing.files}
    named_already = {problem.path for problem in found}
    by_path: dict[str, list[_Row]] = defaultdict(list)
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


def _row_problem(root: Path, path: str, same: Sequence[_Row], files: set[str]) -> Problem | None:
    """What is wrong with a path that these rows name, if anything."""
    row, where = same[0], ", ".join(row.where for row in same)
    if not row.path:
        return Problem(BAD_ROW, path, row.fault or "it names no picture")
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
    if not _inside(root, path):
        return Problem(OUTSIDE, path, f"{row.where}; a link to {os.path.realpath(root / path)}")
    full = root / path
    if os.path.isfile(full):  # noqa: PTH113 (False, not an error, for a name that is too long)
        return None
    return Problem(STRANGER, path, row.where) if os.path.exists(full) else Problem(MISSING, path, row.where)  # noqa: PTH110


def _read_table(root: Path, path_column: str, label_column: str) -> list[_Row]:
    """The rows of `labels.csv`, UTF-8 with a header; other columns are not used."""
    file = root / "labels.csv"
    columns = (path_column, label_column)
    if not file.is_file():
        raise InputError(f"there is no {file}: this format needs it, with the columns {', '.join(columns)}")
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
                rows.append(_Row(path, label, "train", f"labels.csv line {reader.line_num}", fault))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read as a CSV in UTF-8: {error}") from None
    return rows


def _read_mat(file: Path, *variables: str, fields: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Variables of a MATLAB file (version 5 to 7.2) as flat arrays; `fields`: of a struct array."""
    if not file.is_file():
        raise InputError(f"there is no {file}: this format needs it")
    try:
        content: dict[str, Any] = scipy.io.loadmat(file, squeeze_me=True, appendmat=False)
    except MemoryError:
        raise
    except Exception as error:  # broken files make SciPy raise nearly anything
        raise InputError(f"{file} cannot be read as a MATLAB file: {error or type(error).__name__}") from None
    if missing := [name for name in variables if name not in content]:
        there = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise InputError(f"{file} has no variable {', '.join(missing)} (it has {there}): it is not the data set's file")
    arrays = {name: np.atleast_1d(content[name]).ravel() for name in variables}
    for name, array in arrays.items():
        if absent := [field for field in fields if field not in (array.dtype.names or ())]:
            raise InputError(f"{file}: {name} has no field {', '.join(absent)}: it is not the data set's file")
    return arrays


def _whole(value: Any) -> int | None:
    """A MATLAB number, often a double, as an int; None for anything else."""
    if isinstance(value, (int, float, np.integer, np.floating)) and float(value).is_integer():
        return int(value)
    return None


def _all_of(*reads: Callable[[], Any]) -> list[Any]:
    """The results of all; where some raise, one InputError with all their messages."""
    results, messages = [], []
    for read in reads:
        try:
            results.append(read())
        except InputError as error:
            messages.append(str(error))
    if messages:
        raise InputError("\n".join(messages))
    return results


def _check_choices(val_fraction: float, validation: str, on_bad_image: str) -> None:
    if validation not in ("seeded", "official"):
        raise InputError(f"validation is seeded or official, not {validation!r}")
    if on_bad_image not in ("error", "skip"):
        raise InputError(f"on_bad_image is error or skip, not {on_bad_image!r}")
    if validation == "seeded" and not 0 < val_fraction < 1:
        raise InputError(f"val_fraction is above 0 and below 1, not {val_fraction}")


def _large_enough(samples: list[Sample], needed: int) -> Found:
    """Leave out the pictures of classes that have fewer training pictures than needed."""
    counts = Counter(sample.label for sample in samples if sample.part == "train")
    problems = [
        Problem(SMALL_CLASS, path, f"{_shown(label)} has {counts[label]} usable to train, {needed} needed")
        for path, label, _ in samples
        if counts[label] < needed
    ]
    return [sample for sample in samples if counts[sample.label] >= needed], problems


def _assigned(samples: list[Sample], validation: str, val_fraction: float, seed: int) -> pd.DataFrame:
    index = {label: number for number, label in enumerate(sorted({sample.label for sample in samples}))}
    held_out = set(_held_out(samples, val_fraction, seed)) if validation == "seeded" else set()
    test = "test" if validation == "seeded" else "val"
    rows = [
        (path, label, index[label], test if part == "test" else "val" if path in held_out else "train")
        for path, label, part in sorted(samples)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _held_out(samples: list[Sample], fraction: float, seed: int) -> Iterator[str]:
    """The paths that validate, of each class those whose own drawn number is smallest.

    A number a picture, rather than a shuffle a class: a picture more or less hardly moves the others.
    """
    by_class: dict[str, list[str]] = defaultdict(list)
    for path, label, part in samples:
        if part == "train":
            by_class[label].append(path)
    for paths in by_class.values():
        count = min(max(1, math.floor(fraction * len(paths) + 0.5)), len(paths) - 1)
        yield from sorted(paths, key=lambda path: (derive_seed(seed, "split", path), path))[:count]


def _shown(name: str) -> str:
    """A name as it can stand in a message or a table."""
    return repr(name) if _UNUSABLE.search(name) else name


def _in_words(root: Path, format: str, problems: list[Problem], *, nothing_left: bool) -> str:
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    lines = [f"{root} ({format}): {len(problems)} things cannot be used"]
    for kind, group in sorted(by_kind.items()):
        lines.append(f"{kind} ({len(group)}):")
        lines += [f"  {_shown(path)}" + (f" ({_shown(detail)})" if detail else "") for _, path, detail in sorted(group)]
    if nothing_left:
        lines.append("No picture is left without them: mend them, or check that format and root fit each other.")
    else:
        lines.append(
            "Mend or remove them, or set `on_bad_image: skip` for this data set: they are then left out and listed."
        )
    return "\n".join(lines)
