"""How much of a published data set is there."""

import pandas as pd
import pytest

from featurediff.data.expected_counts import PUBLISHED, compare_with_published
from featurediff.data.formats import FORMATS


def split_of(format: str, *, train: int = 0, test: int = 0, classes: int = 0, official: bool = False) -> pd.DataFrame:
    """A split with so many pictures, or classes, fewer than there should be."""
    whole = PUBLISHED[format]
    train, test, classes = whole.train - train, whole.test - test, whole.classes - classes
    held_out = 0 if official else train // 5
    parts = ["train"] * (train - held_out) + ["val"] * held_out + ["val" if official else "test"] * test
    return pd.DataFrame({"split": parts, "label": [str(number % classes) for number in range(len(parts))]})


def test_whole_ones() -> None:
    assert compare_with_published("kaggle_dogs", split_of("kaggle_dogs"), "seeded") == [
        "all 10,222 training pictures, 120 classes of Kaggle's dog-breed-identification"
    ]
    without_test = split_of("stanford_cars", test=8041)
    assert compare_with_published("stanford_cars", without_test, "seeded") == [
        "all 8,144 training pictures, 196 classes of Stanford Cars"
    ]
    for official in (False, True):
        table = split_of("stanford_cars", official=official)
        validation = "official" if official else "unstratified"
        assert compare_with_published("stanford_cars", table, validation) == [
            "all 8,144 training pictures, 8,041 test pictures, 196 classes of Stanford Cars"
        ]


def test_what_is_missing_is_counted() -> None:
    assert compare_with_published("kaggle_dogs", split_of("kaggle_dogs", train=422), "seeded") == [
        "found 9,800 of 10,222 training pictures of Kaggle's dog-breed-identification"
    ]
    table = split_of("stanford_dogs", test=1, classes=1, official=True)
    assert compare_with_published("stanford_dogs", table, "official") == [
        "found 8,579 of 8,580 test pictures, 119 of 120 classes of Stanford Dogs"
    ]


@pytest.mark.parametrize("format", sorted(set(FORMATS) - set(PUBLISHED)))
def test_nothing_is_said_of_other_formats(format: str) -> None:
    assert compare_with_published(format, pd.DataFrame({"split": ["train"], "label": ["a"]}), "seeded") == []


def test_published_formats_are_formats() -> None:
    assert set(PUBLISHED) <= set(FORMATS)
