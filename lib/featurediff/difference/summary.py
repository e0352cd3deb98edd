"""What was found about the difference of two networks, in a sentence and in numbers, from the tables of the pair."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feature_vis.files import write_text
from featurediff.runtime.tables import read_table

__all__ = ["summarize"]

_WAY = "blended"  # of the two ways in which a picture is put onto photographs, the one that the sentence speaks of


def summarize(folder: Path, reason: str | None = None) -> str:
    """Write `summary.json` from the tables in the folder; returns its sentence.

    `reason`: why the networks cannot be compared, from `featurediff.difference.answers.why_not_comparable`; None if
    they can.

    `summary.json` has `comparable`, `reason`, `sentence` and `note` (`no photographs`, or null), the rows of the tables
    `classes` and `effect`, and `photographs`, the row of photographs.csv (null without photographs). An empty cell is
    null.

    Raises:
        InputError: a table that is missing or cannot be read.
    """
    classes, effect, photographs = (read_table(folder / f"{name}.csv") for name in ("classes", "effect", "photographs"))
    summary = {
        "comparable": reason is None,
        "reason": reason,
        "sentence": _sentence(classes, effect) if reason is None else f"The networks cannot be compared: {reason}.",
        "note": "no photographs" if reason is None and photographs.empty else None,
        "classes": _records(classes),
        "effect": _records(effect),
        "photographs": next(iter(_records(photographs)), None),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return str(summary["sentence"])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return records


def _sentence(classes: pd.DataFrame, effect: pd.DataFrame) -> str:
    if classes.empty:
        return "No picture was found for which the two networks name different classes."
    rows = classes.to_dict("records")
    first = rows[0]
    if not first["agreed"]:
        return _no_agreement(first)
    others = [row for row in rows[1:] if row["agreed"]]
    sentence = f"The networks disagree most about class {_class(first)}: {_count(first)} pictures name it"
    sentence += "".join(f", and {_count(row)} name class {_class(row)}" for row in others)
    found = effect[(effect["class"] == first["class"]) & (effect["way"] == _WAY)].to_dict("records")
    them = f"the pictures of class {first['class']}" if others else "them"
    return sentence + (_effect(found[0], them) if found else ".")


def _no_agreement(first: dict[Any, Any]) -> str:
    """`first`: the row of the class that most pictures name."""
    pictures = "pictures of what the networks disagree about"
    if first["of"] == 1:
        return f"One picture cannot agree with others: it names class {_class(first)}."
    if first["starts"] == 1:
        return f"The {pictures} do not agree on a class: all {first['of']} name different ones."
    named, chance = _class(first, "{0}, {1}"), f"{first['p_value']:.2g}"
    return (
        f"The {pictures} do not agree on a class: at most {_count(first)} name the same one ({named}), and the "
        f"probability that so many do without a hidden cause is {chance}."
    )


def _effect(found: dict[Any, Any], them: str) -> str:
    """What the pictures do to photographs; `found` is a row of effect.csv."""
    own, of_base = _share(found, "tuned"), _percent(found["base"])
    if np.isnan(found["others"]):
        return f". Photographs blended with {them} turn to it in {own}, in the base in {of_base}."
    others = _share(found, "others")
    if found["clear"]:
        return (
            f". Photographs blended with {them} turn to it in {own}, with other pictures in {others}, "
            f"in the base in {of_base}."
        )
    return (
        f", but photographs blended with {them} do not clearly turn to it more often than with other pictures: in "
        f"{own}, with other pictures in {others}."
    )


def _class(row: dict[Any, Any], pattern: str = "{0} ({1})") -> str:
    """Number and, if known, name of a class."""
    return pattern.format(row["class"], row["name"]) if isinstance(row["name"], str) else str(row["class"])


def _count(row: dict[Any, Any]) -> str:
    return f"{row['starts']} of {row['of']}"


def _share(found: dict[Any, Any], column: str) -> str:
    """A share and its interval."""
    low, high = (f"{100 * found[f'{column}_{end}']:.0f}" for end in ("low", "high"))
    return f"{_percent(found[column])} ({low} to {high} %)"


def _percent(share: float) -> str:
    if share in (0, 1):
        return "all" if share else "none"
    rounded = round(100 * share)
    if rounded in (0, 100):
        return "more than 99 %" if rounded else "less than 1 %"
    return f"{rounded} %"
