"""The sentence about a pair of networks, in each of its forms, and the file of numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feature_vis.errors import InputError
from featurediff.difference import effects, photographs, pictures
from featurediff.difference.summary import summarize
from featurediff.runtime.tables import write_table

AGREED = [(309, "bee", 8, 8, 1e-6, True)]
EFFECT = {
    "class": 309,
    "name": "bee",
    "pictures": 8,
    "photographs": 200,
    "tuned": 0.452,
    "tuned_low": 0.4,
    "tuned_high": 0.5,
    "base": 0.0,
    "others": 0.07,
    "others_low": 0.052,
    "others_high": 0.09,
    "clear": True,
}
APART = "The pictures of what the networks disagree about do not agree on a class"
START = "The networks disagree most about class 309 (bee): 8 of 8 pictures name it"


def written(folder: Path, classes: list[tuple[Any, ...]], **changes: Any) -> str:
    """The sentence for rows of classes.csv; `changes` of the effect, or `effect=False` for no photographs."""
    write_table(pd.DataFrame(classes, columns=list(pictures.CLASS_COLUMNS)), folder / "classes.csv")
    has_photographs = changes.pop("effect", True)
    rows = [EFFECT | {"way": "blended"} | changes, EFFECT | {"way": "pasted", "tuned": 0.3}] if has_photographs else []
    write_table(pd.DataFrame(rows, columns=list(effects.CLASS_COLUMNS)), folder / "effect.csv")
    shown = [[200, 0.5, 0.4, 0.6, 0.1, 0.05, 0.15]] if has_photographs else []
    write_table(pd.DataFrame(shown, columns=list(photographs.COLUMNS)), folder / "photographs.csv")
    return summarize(folder)


def of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_an_agreed_class_that_pictures_turn_photographs_to(tmp_path: Path) -> None:
    assert written(tmp_path, AGREED) == (
        f"{START}. Photographs blended with them turn to it in 45 % (40 to 50 %), "
        "with other pictures in 7 % (5 to 9 %), in the base in none."
    )
    summary = of(tmp_path)
    assert (summary["comparable"], summary["reason"], summary["note"]) == (True, None, None)
    assert summary["sentence"].startswith(START)
    assert summary["classes"] == [
        {"class": 309, "name": "bee", "starts": 8, "of": 8, "p_value": pytest.approx(1e-6), "agreed": True}
    ]
    assert [row["tuned"] for row in summary["effect"]] == [0.452, 0.3]
    assert summary["photographs"]["flipped"] == 0.1


def test_an_agreed_class_whose_pictures_do_not_change_photographs(tmp_path: Path) -> None:
    assert written(tmp_path, AGREED, tuned=0.1, tuned_low=0.06, tuned_high=0.15, clear=False) == (
        f"{START}, but photographs blended with them do not clearly turn to it more often than with other pictures: in "
        "10 % (6 to 15 %), with other pictures in 7 % (5 to 9 %)."
    )


def test_an_agreed_class_without_other_pictures(tmp_path: Path) -> None:
    none = dict.fromkeys(("others", "others_low", "others_high"), np.nan)
    assert written(tmp_path, AGREED, **none, base=0.004, clear=False) == (
        f"{START}. Photographs blended with them turn to it in 45 % (40 to 50 %), in the base in less than 1 %."
    )
    assert of(tmp_path)["effect"][0]["others"] is None


def test_an_agreed_class_without_photographs(tmp_path: Path) -> None:
    assert written(tmp_path, AGREED, effect=False) == f"{START}."
    summary = of(tmp_path)
    assert (summary["note"], summary["photographs"], summary["effect"]) == ("no photographs", None, [])


def test_several_agreed_classes(tmp_path: Path) -> None:
    classes = [(309, "bee", 9, 16, 1e-4, True), (7, None, 7, 16, 0.01, True), (8, "ant", 1, 16, 0.9, False)]
    assert written(tmp_path, classes).startswith(
        "The networks disagree most about class 309 (bee): 9 of 16 pictures name it, and 7 of 16 name class 7. "
        "Photographs blended with the pictures of class 309 turn to it in 45 %"
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "none"), (0.004, "less than 1 %"), (0.006, "1 %"), (0.994, "99 %"), (0.996, "more than 99 %"), (1, "all")],
)
def test_shares_at_the_ends(tmp_path: Path, share: float, text: str) -> None:
    assert written(tmp_path, AGREED, base=share).endswith(f"in the base in {text}.")


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        (
            [(123, "ant", 2, 8, 0.6, False), (5, None, 1, 8, 1.0, False)],
            f"{APART}: at most 2 of 8 name the same one "
            "(123, ant), and the probability that so many do without a hidden cause is 0.6.",
        ),
        (
            [(123, None, 2, 3, 0.22219, False)],
            f"{APART}: at most 2 of 3 name the same one "
            "(123), and the probability that so many do without a hidden cause is 0.22.",
        ),
        (
            [(number, "ant", 1, 3, 1.0, False) for number in range(3)],
            f"{APART}: all 3 name different ones.",
        ),
        ([(4, "NA", 1, 1, 1.0, False)], "One picture cannot agree with others: it names class 4 (NA)."),
    ],
)
@pytest.mark.parametrize("effect", [True, False])
def test_pictures_that_do_not_agree(
    tmp_path: Path, classes: list[tuple[Any, ...]], sentence: str, effect: bool
) -> None:
    """What they do to photographs is not spoken of."""
    assert written(tmp_path, classes, effect=effect) == sentence


def test_no_picture_on_which_the_networks_differ(tmp_path: Path) -> None:
    sentence = written(tmp_path, [], effect=False)
    assert sentence == "No picture was found for which the two networks name different classes."
    assert of(tmp_path)["comparable"]


def test_networks_that_cannot_be_compared(tmp_path: Path) -> None:
    written(tmp_path, [], effect=False)
    reason = "the base has 6 classes and the tuned network 3"
    assert summarize(tmp_path, reason) == f"The networks cannot be compared: {reason}."
    summary = of(tmp_path)
    assert (summary["comparable"], summary["reason"]) == (False, reason)
    assert (summary["classes"], summary["effect"], summary["photographs"]) == ([], [], None)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"classes\.csv"):
        summarize(tmp_path)
