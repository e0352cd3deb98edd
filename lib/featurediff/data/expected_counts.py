"""How many photographs the published data sets have, to notice before a training that some are missing.

Sources: the labels.csv of Kaggle's dog-breed-identification; Khosla et al. 2011, "Novel Dataset for Fine-Grained Image
Categorization: Stanford Dogs"; Krause et al. 2013, "3D Object Representations for Fine-Grained Categorization".
"""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

__all__ = ["PUBLISHED", "Published", "compare_with_published"]


class Published(NamedTuple):
    """Numbers of labelled training photographs, of test photographs (0 without a test part), and of classes."""

    name: str
    train: int
    test: int
    classes: int


# By the name of the format.
PUBLISHED: Mapping[str, Published] = {
    "kaggle_dogs": Published("Kaggle's dog-breed-identification", train=10_222, test=0, classes=120),
    "stanford_dogs": Published("Stanford Dogs", train=12_000, test=8_580, classes=120),
    "stanford_cars": Published("Stanford Cars", train=8_144, test=8_041, classes=196),
}


def compare_with_published(format: str, split: pd.DataFrame, validation: str) -> list[str]:
    """A line on how much of a published data set is in a split of `make_split`; none for other formats.

    It is no error if numbers differ: users may have data of their own in such a layout. A test part that is absent is
    not mentioned. `validation`: the setting that the split was made with.
    """
    if format not in PUBLISHED:
        return []
    whole = PUBLISHED[format]
    of_test = split["split"] == ("val" if validation == "official" else "test")
    parts = [("training photographs", int((~of_test).sum()), whole.train)]
    if of_test.any():
        parts.append(("test photographs", int(of_test.sum()), whole.test))
    parts.append(("classes", split["label"].nunique(), whole.classes))
    short = [f"{found:,} of {count:,} {what}" for what, found, count in parts if found != count]
    if short:
        return [f"found {', '.join(short)} of {whole.name}"]
    return [f"all {', '.join(f'{count:,} {what}' for what, _, count in parts)} of {whole.name}"]
