"""How differently two networks answer on photographs: the divergence of their classes, and the answers that flipped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from featurediff.data.split import read_split
from featurediff.data.torch_dataset import PictureDataset, val_transform
from featurediff.difference.answers import BothAnswers, Classifier, both_answers, class_name
from featurediff.runtime.progress import progress
from featurediff.runtime.tables import write_table
from featurediff.statistics.multiple_testing import bootstrap_interval, share_interval

__all__ = ["COLUMNS", "FLIP_COLUMNS", "MOST", "Photographs", "measure_photographs", "read_photographs"]

MOST = 1000  # photographs that are read unless the caller wants another number

# name -> (unit, meaning), of photographs.csv
COLUMNS: Mapping[str, tuple[str, str]] = {
    "photographs": ("count", "photographs shown to both networks"),
    "divergence": ("nats", "KL(tuned‖base) of the networks' classes, mean over the photographs"),
    "divergence_low": ("nats", "95 % interval of divergence, bootstrap over photographs, lower end"),
    "divergence_high": ("nats", "95 % interval of divergence, upper end"),
    "flipped": ("0 to 1", "share of the photographs for which the two networks name different classes"),
    "flipped_low": ("0 to 1", "95 % interval of flipped (Wilson), lower end"),
    "flipped_high": ("0 to 1", "95 % interval of flipped, upper end"),
}

# name -> (unit, meaning), of flips.csv: a row for each pair of classes, most photographs first
FLIP_COLUMNS: Mapping[str, tuple[str, str]] = {
    "from_class": ("", "number of the class that the base names, from 0"),
    "from_name": ("", "its name; empty where it is not known"),
    "to_class": ("", "number of the class that the tuned network names for the same photographs"),
    "to_name": ("", "its name; empty where it is not known"),
    "photographs": ("count", "photographs that went from the one class to the other"),
}

_BATCH = 32


@dataclass(frozen=True)
class Photographs:
    """Photographs of one size, in memory."""

    names: tuple[str, ...]  # of N photographs: data set and path below its root
    pixels: Tensor  # (N, 3, H, W) uint8

    def __len__(self) -> int:
        return len(self.names)

    def some(self, most: int) -> "Photographs":
        """At most so many of them, evenly spread."""
        places = _spread(len(self), most)
        return Photographs(tuple(self.names[place] for place in places), self.pixels[torch.from_numpy(places)])

    def to(self, device: torch.device) -> "Photographs":
        return Photographs(self.names, self.pixels.to(device))


def read_photographs(
    splits: Sequence[str | Path], roots: Mapping[str, str], size: int, resize: int | None, most: int = MOST
) -> Photographs:
    """The validation photographs of data sets, at most `most` of them, evenly spread; none if there are no data sets.

    `splits`: the files of the splits, in the order of `roots`, which has each data set's folder. `size`, `resize`: see
    `featurediff.data.torch_dataset.val_transform`.

    Raises:
        InputError: a split or a photograph that cannot be read.
    """
    parts = [
        read_split(file).query("split == 'val'").assign(data=data) for file, data in zip(splits, roots, strict=True)
    ]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["path", "data"])
    rows = rows.iloc[_spread(len(rows), most)]
    pictures = []
    with progress(len(rows), "photographs", "img") as advance:
        for data, of_set in rows.groupby("data", sort=False):
            photographs = PictureDataset(roots[str(data)], of_set, "val", val_transform(size, resize=resize))
            for index in range(len(photographs)):
                pictures.append(photographs[index][0])
                advance(1)
    pixels = torch.stack(pictures) if pictures else torch.zeros(0, 3, size, size, dtype=torch.uint8)
    return Photographs(tuple(f"{data}/{path}" for data, path in rows[["data", "path"]].values), pixels)


def _spread(count: int, most: int) -> np.ndarray:
    """At most `most` numbers from 0 to `count` - 1, evenly spread."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def measure_photographs(
    base: Classifier, tuned: Classifier, photographs: Photographs, folder: Path, *, seed: int, device: torch.device
) -> None:
    """Write `photographs.csv` and `flips.csv` (see `COLUMNS` and `FLIP_COLUMNS`) into the folder.

    Without photographs both have no rows. `seed`: of the bootstrap.
    """
    table, flips = pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(FLIP_COLUMNS))
    if len(photographs):
        found = _shown(base.to(device), tuned.to(device), photographs)
        table = pd.DataFrame([_differences(found, seed)], columns=list(COLUMNS))
        flips = _flips(found, base, tuned)
    write_table(table, folder / "photographs.csv")
    write_table(flips, folder / "flips.csv")


def _shown(base: Classifier, tuned: Classifier, photographs: Photographs) -> BothAnswers:
    parts = []
    with progress(len(photographs), "answers on photographs", "img") as advance:
        for some in photographs.pixels.split(_BATCH):
            parts.append(both_answers(base, tuned, some))
            advance(len(some))
    return BothAnswers(np.concatenate([part.base for part in parts]), np.concatenate([part.tuned for part in parts]))


def _differences(found: BothAnswers, seed: int) -> dict[str, float]:
    """The row of photographs.csv."""
    divergence, flipped = found.divergence, found.base_class != found.tuned_class
    count = len(flipped)
    ends = bootstrap_interval(np.mean, (divergence,), seed, "divergence") if count > 1 else (np.nan, np.nan)
    wilson = share_interval(int(flipped.sum()), count)
    return dict(zip(COLUMNS, (count, divergence.mean(), *ends, flipped.mean(), *wilson), strict=True))


def _flips(found: BothAnswers, base: Classifier, tuned: Classifier) -> pd.DataFrame:
    pairs = pd.DataFrame({"from_class": found.base_class, "to_class": found.tuned_class})
    pairs = pairs[pairs["from_class"] != pairs["to_class"]]
    counts = pairs.value_counts().rename("photographs").reset_index()
    counts = counts.sort_values(["photographs", "from_class", "to_class"], ascending=[False, True, True])
    for end in ("from", "to"):
        counts[f"{end}_name"] = [class_name(number, base, tuned) for number in counts[f"{end}_class"]]
    return counts[list(FLIP_COLUMNS)]
