"""How a data set is split into pictures to train on, to validate on and to test with, and the split's file."""

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

SMALL_CLASS = "in a class with too few pictures"


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
    """Split a data set's pictures; with `verify` each is decoded once to see that it is whole, by so many threads.

    Returns the split (path, label, class_index, split: `train`, `val` or `test`; sorted by path; the index counts
    the sorted class names) and what was left out (path, reason).
    `seeded`: a share `val_fraction` (above 0, below 1) of each class's training pictures validates, rounded half
    up, at least one, and at least one is left to train; the data set's own test part, if any, is `test`.
    `unstratified`: the same share of all training pictures, whatever their class; a class may come to train nothing.
    `official`: the test part validates, and `val_fraction` is not used.
    Of `unlabelled` pictures all are `val`: nothing can learn from them, and their label is empty.
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
        broken = faults(root, [sample.path for sample in samples], threads)
        problems += [Problem(fault.kind, path, fault.detail) for path, fault in broken.items()]
        samples = [sample for sample in samples if sample.path not in broken]
    needed = 2 if validation == "seeded" else 1
    if format == "unlabelled":
        validation, needed = "official", 0  # they all are the test part
    samples, small = _large_enough(samples, needed)
    problems += small
    if problems and (on_bad_image == "error" or not samples):
        raise InputError(_describe_problems(root, format, problems, nothing_left=not samples))
    if not samples:
        raise InputError(f"{root} holds no pictures in the layout of {format}: is it the data set's root?")
    skipped = [(shown(path), f"{kind}: {detail}" if detail else kind) for kind, path, detail in problems]
    skipped.sort()
    table = _assigned(samples, validation, val_fraction, int(seed))
    return table, pd.DataFrame(skipped, columns=["path", "reason"])


def write_split(path: str | Path, table: pd.DataFrame) -> None:
    """Write a split as CSV, whole or not at all; every text is quoted, so that any class name comes back."""
    write_text(path, harmless(table[_COLUMNS]).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"))


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
    """Leave out the pictures of classes that have fewer training pictures than needed."""
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


def _held_out_of_all(samples: list[Sample], fraction: float, seed: int) -> list[str]:
    """As `_held_out`, from all classes in one; as many as are left when a share of 1 - fraction, cut off, trains."""
    paths = [path for path, _, part in samples if part == "train"]
    order = sorted(paths, key=lambda path: (derive_seed(seed, "split", path), path))
    return order[: len(paths) - int((1 - fraction) * len(paths))]


def _describe_problems(root: Path, format: str, problems: list[Problem], *, nothing_left: bool) -> str:
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem)
    lines = [f"{root} ({format}): {len(problems)} things cannot be used"]
    for kind, group in sorted(by_kind.items()):
        lines.append(f"{kind} ({len(group)}):")
        lines += [f"  {shown(path)}" + (f" ({shown(detail)})" if detail else "") for _, path, detail in sorted(group)]
    if nothing_left:
        lines.append("No picture is left without them: mend them, or check that format and root fit each other.")
    else:
        lines.append(
            "Mend or remove them, or set `on_bad_image: skip` for this data set: they are then left out and listed."
        )
    return "\n".join(lines)
