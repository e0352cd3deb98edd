"""The layouts of data sets: which photographs they have, and with which labels.

Each reader takes a root folder and returns samples and problems; nothing is dropped silently.
Formats: Kaggle dog-breed-identification (https://www.kaggle.com/c/dog-breed-identification), Stanford Dogs
(http://vision.stanford.edu/aditya86/ImageNetDogs), Stanford Cars (Krause et al. 2013), a folder for each class, a
CSV file, and photographs without classes, in a folder and its subfolders.

A data set's unlabelled part is ignored: Kaggle's `test/`, and Stanford Cars' `cars_test/` without its labels.
"""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_vis.errors import InputError
from featurediff.data.label_csv import read_labels
from featurediff.data.listing import (
    EMPTY_CLASS,
    UNLABELLED,
    Found,
    LabelRow,
    Listing,
    Part,
    Problem,
    Sample,
    list_folder,
    match,
    needed_file,
    needed_folder,
    nested,
)
from featurediff.data.mat_file import read_mat

__all__ = ["FORMATS", "read_samples"]


def read_samples(format: str, root: str | Path) -> Found:
    """The labelled photographs of a data set and its problems, both sorted by path; no photograph is opened.

    Raises:
        InputError: the format is unknown, or the root lacks files that the format requires.
    """
    if format not in FORMATS:
        raise InputError(f"there is no data format {format!r}: choose one of {', '.join(FORMATS)}")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: set the data set's root to where its files lie")
    samples, problems = FORMATS[format](root)
    return sorted(samples), sorted(problems, key=lambda problem: (problem.path, problem.kind))


def _image_folder(root: Path) -> Found:
    top = list_folder(root)
    samples: list[Sample] = []
    problems = top.problems + [Problem(UNLABELLED, path, "it lies in no class's folder") for path in top.files]
    for folder in top.folders:
        inside = list_folder(root, folder)
        samples += [Sample(path, folder) for path in inside.files]
        problems += inside.problems + nested(inside.folders)
        if not inside.files:
            problems.append(Problem(EMPTY_CLASS, folder, "no photographs in its folder"))
    return samples, problems


def _kaggle_dogs(root: Path) -> Found:
    pairs, listing = _all_of(lambda: read_labels(root, "id", "breed"), lambda: needed_folder(root, "train"))
    rows = [row._replace(path=_below("train", row.path, ".jpg")) for row in pairs]
    return match(root, rows, [listing], nested(listing.folders))


def _csv(root: Path) -> Found:
    return match(root, read_labels(root, "path", "label"), _listings(root))


def _unlabelled(root: Path) -> Found:
    listings = _listings(root)
    samples = [Sample(path, "", "test") for listing in listings for path in listing.files]
    return samples, [problem for listing in listings for problem in listing.problems]


def _listings(root: Path) -> list[Listing]:
    """Every folder below the root, without links to folders, which could lead in a circle."""
    listings, folders = [], [""]
    while folders:
        listings.append(list_folder(root, folders.pop()))
        folders += [folder for folder in listings[-1].folders if not (root / folder).is_symlink()]
    return listings


def _stanford_dogs(root: Path) -> Found:
    train, test, top = _all_of(
        lambda: _dog_rows(root, "train"),
        lambda: _dog_rows(root, "test"),
        lambda: needed_folder(root, "Images"),
    )
    rows = _with_agreeing_numbers([*train, *test])
    listings = [list_folder(root, folder) for folder in top.folders]
    problems = top.problems + [Problem(UNLABELLED, path, "it lies in no breed's folder") for path in top.files]
    for folder, inside in zip(top.folders, listings, strict=True):
        problems += nested(inside.folders)
        if not inside.files:
            problems.append(Problem(EMPTY_CLASS, folder, "no photographs in its folder"))
    return match(root, rows, listings, problems)


def _dog_rows(root: Path, part: Part) -> list[tuple[LabelRow, int | None]]:
    """The rows of a list, each with its class number; the breed follows `<wnid>-` in the folder's name."""
    file = needed_file(root, f"lists/{part}_list.mat")
    content = read_mat(file, "file_list", "labels")
    names, numbers = content["file_list"], content["labels"]
    if len(names) != len(numbers):
        raise InputError(f"{file}: {len(names)} files but {len(numbers)} labels; it is not the data set's file")
    rows = []
    for index, (cell, number) in enumerate(zip(names, numbers, strict=True)):
        where, name = f"lists/{file.name} row {index + 1}", cell if isinstance(cell, str) else ""
        breed = name.partition("/")[0].partition("-")[2].strip()
        fault = "" if breed else "it is not in a folder named <wnid>-<breed>"
        rows.append((LabelRow(_below("Images", name), breed, part, where, fault), _whole(number)))
    return rows


def _with_agreeing_numbers(rows: list[tuple[LabelRow, int | None]]) -> list[LabelRow]:
    """The rows, with a fault where the class number is not the one that most rows of the same folder have."""
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
    labels = next((file for file in _CAR_TEST_FILES if (root / file).exists() and (root / "cars_test").is_dir()), None)
    names, train, test, *listings = _all_of(
        lambda: _car_names(root),
        lambda: _car_cells(root, "devkit/cars_train_annos.mat"),
        lambda: _car_cells(root, labels) if labels else [],
        lambda: needed_folder(root, "cars_train"),
        lambda: needed_folder(root, "cars_test") if labels else Listing([], [], []),
    )
    rows = _car_rows(train, names, "train", "cars_train_annos.mat")
    rows += _car_rows(test, names, "test", posixpath.basename(labels or ""))
    used = {row.label for row in rows if row.part == "train"}
    problems = [Problem(EMPTY_CLASS, name, "no training photograph has it") for name in names if name not in used]
    return match(root, rows, listings, problems + nested([folder for each in listings for folder in each.folders]))


# The authors' site offered this file separately from the devkit.
_CAR_TEST_FILES = ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat")


def _car_names(root: Path) -> list[str]:
    file = needed_file(root, "devkit/cars_meta.mat")
    names = [name.strip() if isinstance(name, str) else "" for name in read_mat(file, "class_names")["class_names"]]
    wrong = [repr(name) for name, count in Counter(names).items() if count > 1 or not name]
    if wrong or not names:
        raise InputError(f"{file}: class names must be different texts: {', '.join(wrong) or 'there are none'}")
    return names


def _car_cells(root: Path, file: str) -> list[tuple[Any, Any]]:
    """The name and the class number of every photograph, as the file has them."""
    content = read_mat(needed_file(root, file), "annotations.fname", "annotations.class")
    return list(zip(content["annotations.fname"], content["annotations.class"], strict=True))


def _car_rows(cells: list[tuple[Any, Any]], names: list[str], part: Part, file: str) -> list[LabelRow]:
    rows = []
    for index, (cell, number) in enumerate(cells):
        name, value = cell if isinstance(cell, str) else "", _whole(number)
        known = value is not None and 1 <= value <= len(names)
        label = names[value - 1] if value is not None and known else ""
        fault = "" if known else f"class {number if value is None else value}, but cars_meta.mat has 1 to {len(names)}"
        rows.append(LabelRow(_below(f"cars_{part}", name), label, part, f"{file} row {index + 1}", fault))
    return rows


FORMATS: dict[str, Callable[[Path], Found]] = {
    "image_folder": _image_folder,
    "kaggle_dogs": _kaggle_dogs,
    "stanford_dogs": _stanford_dogs,
    "stanford_cars": _stanford_cars,
    "csv": _csv,
    "unlabelled": _unlabelled,
}


def _below(folder: str, name: str, suffix: str = "") -> str:
    """A listed name as a path below the root; a name that leads outside is kept, so that it is noticed later."""
    return name if not name or name.startswith(("/", "../")) else f"{folder}/{name}{suffix}"


def _whole(value: Any) -> int | None:
    """A MATLAB number, often a double, as an int; None for anything else."""
    return int(value) if isinstance(value, int | float) and float(value).is_integer() else None


def _all_of(*reads: Callable[[], Any]) -> list[Any]:
    """The results of all reads; where some raise, one InputError with all of their messages."""
    results, messages = [], []
    for read in reads:
        try:
            results.append(read())
        except InputError as error:
            messages.append(str(error))
    if messages:
        raise InputError("\n".join(messages))
    return results
