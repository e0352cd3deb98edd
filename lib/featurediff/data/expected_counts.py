"""What published data sets hold when they are whole, to be told of missing pictures before a training.

Sources: the labels.csv of Kaggle's dog-breed-identification; Khosla et al. 2011, "Novel Dataset for Fine-Grained Image
Categorization: Stanford Dogs"; Krause et al. 2013, "3D Object Representations for Fine-Grained Categorization".
"""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

__all__ = ["PUBLISHED", "Published", "compare_with_published"]


class Published(NamedTuple):
    """Labelled pictures of the training part and, where it has one, of the test part; classes."""

    name: str
    train: int
    test: int
    classes: int


# By the format that its layout has here.
PUBLISHED: Mapping[str, Published] = {
    "kaggle_dogs": Published("Kaggle's dog-breed-identification", train=10_222, test=0, classes=120),
    "stanford_dogs": Published("Stanford Dogs", train=12_000, test=8_580, classes=120),
    "stanford_cars": Published("Stanford Cars", train=8_144, test=8_041, classes=196),
}


def compare_with_published(format: str, split: pd.DataFrame, validation: str) -> list[str]:
    """In words, how much of a published data set a split of `featurediff.data.split.make_split` has; of others nothing.

    Data of one's own in such a layout are fine: these are no faults. A test part that is absent altogether is not
    missed. `validation`: as the split was made.
    """
    if format not in PUBLISHED:
        return []
    whole = PUBLISHED[format]
    of_test = split["split"] == ("val" if validation == "official" else "test")
    parts = [("training pictures", int((~of_test).sum()), whole.train)]
    if of_test.any():
        parts.append(("test pictures", int(of_test.sum()), whole.test))
    parts.append(("classes", split["label"].nunique(), whole.classes))
    short = [f"{found:,} of {count:,} {what}" for what, found, count in parts if found != count]
    if short:
        return [f"found {', '.join(short)} of {whole.name}"]
    return [f"all {', '.join(f'{count:,} {what}' for what, _, count in parts)} of {whole.name}"]
