"""The split of a data set into photographs for training, validation and test, and the split's file."""

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd

from feature_vis.errors import InputError
from feature_vis.files import write_text
from feature_vis.seeding import derive_seed
from featurediff.data.decode import faults
from featurediff.data.formats import read_samples
from featurediff.data.listing import Found, Problem, Sample, shown
from featurediff.runtime.tables import as_written, harmless, whole_lines

__all__ = ["make_split", "read_split", "write_split"]

_COLUMNS = ["path", "label", "class_index", "split"]

SMALL_CLASS = "in a class with too few photographs"


def make_split(
    format: str,
    root: str | Path,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    validation: Literal["seeded", "unstratified", "official"] = "seeded",
    on_bad_image: Literal["error", "skip"] = "error",
    verify: bool = True,
    threads: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a data set. With `verify`, each photograph is decoded once, by `threads` threads, to see that it is intact.

    Returns two tables. The split, sorted by path: path, label, class_index (a number in the order of the class names)
    and split (`train`, `val` or `test`). What was left out: path, reason.

    `validation` decides which photographs are `val`:

    - `seeded`: the share `val_fraction` (above 0, below 1) of each class's training photographs, rounded half up, at
      least one, but not all of them. The data set's own test part, if any, is `test`.
    - `unstratified`: this share of all training photographs, whatever their classes; a class may lose all of them.
    - `official`: the data set's own test part; `val_fraction` is not used.

    Photographs in the format `unlabelled` are all `val`, with an empty label, as nothing can be learned from them. The
    split depends on paths, labels and seed alone, not on the order in which a folder lists its files.

    Raises:
        InputError: the data set has problems and `on_bad_image` is `error` (all are named, with their files); a value
            is out of range; there is no test part for `official`; nothing is left.
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
        broken = faults(root, [sample.path for sample in samples], threads)
        problems += [Problem(fault.kind, path, fault.detail) for path, fault in broken.items()]
        samples = [sample for sample in samples if sample.path not in broken]
    needed = 2 if validation == "seeded" else 1
    if format == "unlabelled":
        validation, needed = "official", 0  # all of them are the test part
    samples, small = _large_enough(samples, needed)
    problems += small
    if problems and (on_bad_image == "error" or not samples):
        raise InputError(_describe_problems(root, format, problems, nothing_left=not samples))
    if not samples:
        raise InputError(f"{root} holds no photographs in the layout of {format}: is it the data set's root?")
    skipped = [(shown(path), f"{kind}: {detail}" if detail else kind) for kind, path, detail in problems]
    skipped.sort()
    table = _assigned(samples, validation, val_fraction, int(seed))
    return table, pd.DataFrame(skipped, columns=["path", "reason"])


def write_split(path: str | Path, table: pd.DataFrame) -> None:
    """Write a split as CSV, whole or not at all; every text is quoted, so that any class name can be read back."""
    write_text(path, harmless(table[_COLUMNS]).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"))


def read_split(path: str | Path) -> pd.DataFrame:
    """Read a split; a class called `NA` or `007` keeps its name.

    Raises:
        InputError: the file is missing, or `write_split` did not write it.
    """
    try:
        table = pd.read_csv(whole_lines(path), dtype=str, keep_default_na=False, encoding="utf-8")
        if list(table.columns) != _COLUMNS:
            raise ValueError(f"its columns are {', '.join(map(str, table.columns))}")
        table["class_index"] = table["class_index"].astype("int64")
        if strange := sorted(set(table["split"]) - {"train", "val", "test"}):
            raise ValueError(f"a split is train, val or test, not {', '.join(map(repr, strange))}")
        table = as_written(table)
        if leaving := [path for path in table["path"] if path.startswith("/") or ".." in path.split("/")]:
            raise ValueError(f"{leaving[0]} leaves the data set's root")
    except (OSError, ValueError) as error:  # pandas' and Unicode's errors are ValueErrors
        columns = ", ".join(_COLUMNS)
        raise InputError(
            f"{path} is not a split with the columns {columns} ({error}): delete it and run again"
        ) from None
    return table


def _check_choices(val_fraction: float, validation: str, on_bad_image: str) -> None:
    if validation not in ("seeded", "unstratified", "official"):
        raise InputError(f"validation is seeded, unstratified or official, not {validation!r}")
    if on_bad_image not in ("error", "skip"):
        raise InputError(f"on_bad_image is error or skip, not {on_bad_image!r}")
    if validation != "official" and not 0 < val_fraction < 1:
        raise InputError(f"val_fraction is above 0 and below 1, not {val_fraction}")


def _large_enough(samples: list[Sample], needed: int) -> Found:
    """Leave out the photographs of classes that have fewer training photographs than needed."""
    counts = Counter(sample.label for sample in samples if sample.part == "train")
    problems = [
        Problem(SMALL_CLASS, path, f"{shown(label)} has {counts[label]} usable to train, {needed} needed")
        for path, label, _ in samples
        if counts[label] < needed
    ]
    return [sample for sample in samples if counts[sample.label] >= needed], problems


def _assigned(samples: list[Sample], validation: str, val_fraction: float, seed: int) -> pd.DataFrame:
    index = {label: number for number, label in enumerate(sorted({sample.label for sample in samples}))}
    hold_out = {"seeded": _held_out, "unstratified": _held_out_of_all}.get(validation)
    held_out = set(hold_out(samples, val_fraction, seed)) if hold_out else set()
    test = "test" if hold_out else "val"
    rows = [
        (path, label, index[label], test if part == "test" else "val" if path in held_out else "train")
        for path, label, part in sorted(samples)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _held_out(samples: list[Sample], fraction: float, seed: int) -> Iterator[str]:
    """The validation paths of each class: those with the smallest random numbers.

    Each photograph has a number of its own. A shuffle of the class would move many others when one is added or removed.
    """
    by_class: dict[str, list[str]] = defaultdict(list)
    for path, label, part in samples:
        if part == "train":
            by_class[label].append(path)
    for paths in by_class.values():
        count = min(max(1, math.floor(fraction * len(paths) + 0.5)), len(paths) - 1)
        yield from sorted(paths, key=lambda path: (derive_seed(seed, "split", path), path))[:count]


def _held_out_of_all(samples: list[Sample], fraction: float, seed: int) -> list[str]:
    """As `_held_out`, over all classes; the number for training, a share of 1 - fraction, is rounded down."""
    paths = [path for path, _, part in samples if part == "train"]
    order = sorted(paths, key=lambda path: (derive_seed(seed, "split", path), path))
    return order[: len(paths) - int((1 - fraction) * len(paths))]


def _describe_problems(root: Path, format: str, problems: list[Problem], *, nothing_left: bool) -> str:
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    lines = [f"{root} ({format}): {len(problems)} problems"]
    for kind, group in sorted(by_kind.items()):
        lines.append(f"{kind} ({len(group)}):")
        lines += [f"  {shown(path)}" + (f" ({shown(detail)})" if detail else "") for _, path, detail in sorted(group)]
    if nothing_left:
        lines.append("Nothing else is left: repair these, or check that the format and the root belong together.")
    else:
        lines.append(
            "Repair or remove them, or set `on_bad_image: skip` for this data set to leave them out and list them."
        )
    return "\n".join(lines)
