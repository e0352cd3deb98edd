"""What two networks disagree about, made up: the files that the workflow leaves, whose numbers need no truth."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feature_vis.files import write_text
from feature_vis.images.png import write_picture
from featurediff.difference import effects, photographs, pictures, search
from featurediff.runtime.tables import write_table

SENTENCE = "The networks disagree most about class 1 (beagle): 6 of 8 pictures name it."
REASON = "The heads have different classes: 4 and 3"

_COLUMNS = {
    "candidates": search.CANDIDATE_COLUMNS,
    "starts": pictures.COLUMNS,
    "classes": pictures.CLASS_COLUMNS,
    "effects": effects.COLUMNS,
    "effect": effects.CLASS_COLUMNS,
    "photographs": photographs.COLUMNS,
    "flips": photographs.FLIP_COLUMNS,
}


def write_difference(folder: Path, draw: Callable[[int], np.ndarray], odd_name: str = "=1") -> None:
    """Six of eight pictures name class 1, of which the last does nothing to photographs. Class 3 has no name; its
    picture does the same in the base.

    `draw`: the number of a picture -> (H, W, 3) uint8. `odd_name`: of class 2.
    """
    rows: dict[str, list[list[Any]]] = {name: [] for name in _COLUMNS}
    said = [(1, "beagle")] * 6 + [(2, odd_name), (3, None)]
    shown = [(f"output/start{start}.png", "start", *said[start]) for start in range(8)]
    for number, (picture, kind, index, name) in enumerate([*shown, ("classes/class1.png", "class", *said[0])]):
        write_picture(folder / picture, draw(number), {"key": "k"})
        answers = [0, "pug", 0.4 + 0.05 * number, index, name, 0.9 - 0.05 * number, 1, "beagle", 6.5, "steps"]
        rows["starts"].append([picture, kind, index, name, 5.0 - 0.1 * number, *answers])
        for way, share in (("blended", 0.4), ("pasted", 0.2)):
            share = share if number != 5 else 0.02
            of_tuned = [share, max(share - 0.05, 0), share + 0.05]
            effect = [*of_tuned, *(of_tuned if number == 7 else [0, 0, 0.02])]
            rows["effects"].append([picture, kind, way, index, name, 200, *effect, 0.03, 0.01])
    rows["candidates"] = [[1, "beagle", 42.5, 6], [2, odd_name, 12.25, 1], [3, None, 11, 1], [0, "pug", 3.5, 0]]
    rows["classes"] = [[1, "beagle", 6, 8, 0.0004, True], [2, odd_name, 1, 8, 1, False], [3, None, 1, 8, 1, False]]
    for way, share, clear in (("blended", 0.45, True), ("pasted", 0.1, False)):
        tuned, others = (share, share - 0.05, share + 0.05), (0.07, 0.05, 0.09)
        rows["effect"].append([1, "beagle", way, 6, 200, *tuned, 0, 0, 0.02, *others, 0.03, 0, clear])
    rows["photographs"] = [[200, 0.31, 0.24, 0.39, 0.125, 0.086, 0.178]]
    flips = [[0, "pug", 1, "beagle", max(9 - number, 1)] for number in range(1, 12)]
    rows["flips"] = [[2, odd_name, 3, None, 12], *flips]
    _write(folder, rows, {"comparable": True, "reason": None, "sentence": SENTENCE})


def write_no_difference(folder: Path) -> None:
    """Both heads tell other classes apart: tables without rows."""
    sentence = f"The networks cannot be compared: {REASON}."
    _write(folder, {}, {"comparable": False, "reason": REASON, "sentence": sentence})


def _write(folder: Path, rows: dict[str, list[list[Any]]], summary: dict[str, Any]) -> None:
    for name, columns in _COLUMNS.items():
        write_table(pd.DataFrame(rows.get(name, []), columns=list(columns)), folder / f"{name}.csv")
    write_text(folder / "summary.json", json.dumps(summary))
