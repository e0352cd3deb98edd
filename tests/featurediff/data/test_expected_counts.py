"""How much of a published data set is there."""

import pandas as pd
import pytest

from featurediff.data.expected_counts import PUBLISHED, compare_with_published
from featurediff.data.formats import FORMATS

KAGGLE = "Kaggle's dog-breed-identification"
DOGS = "found 8,579 of 8,580 test photographs, 119 of 120 classes of Stanford Dogs"
CARS = "all 8,144 training photographs, 8,041 test photographs, 196 classes of Stanford Cars"


def split_of(format: str, official: bool, *, train: int = 0, test: int = 0, classes: int = 0) -> pd.DataFrame:
    """A split with so many pictures, or classes, fewer than there should be."""
    whole = PUBLISHED[format]
    train, test, classes = whole.train - train, whole.test - test, whole.classes - classes
    held_out = 0 if official else train // 5
    parts = ["train"] * (train - held_out) + ["val"] * held_out + ["val" if official else "test"] * test
    return pd.DataFrame({"split": parts, "label": [str(number % classes) for number in range(len(parts))]})


@pytest.mark.parametrize(
    ("format", "validation", "missing", "line"),
    [
        ("kaggle_dogs", "seeded", {}, f"all 10,222 training photographs, 120 classes of {KAGGLE}"),
        ("stanford_cars", "seeded", {"test": 8041}, CARS.replace("8,041 test photographs, ", "")),
        ("stanford_cars", "unstratified", {}, CARS),
        ("stanford_cars", "official", {}, CARS),
        ("kaggle_dogs", "seeded", {"train": 422}, f"found 9,800 of 10,222 training photographs of {KAGGLE}"),
        ("stanford_dogs", "official", {"test": 1, "classes": 1}, DOGS),
    ],
)
def test_numbers_are_compared(format: str, validation: str, missing: dict[str, int], line: str) -> None:
    table = split_of(format, validation == "official", **missing)
    assert compare_with_published(format, table, validation) == [line]


def test_nothing_is_said_of_other_formats() -> None:
    for format in set(FORMATS) - set(PUBLISHED):
        assert compare_with_published(format, pd.DataFrame({"split": ["train"], "label": ["a"]}), "seeded") == []
