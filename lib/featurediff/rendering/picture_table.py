"""The table of a layer's pictures, `pictures/<layer>.csv`: which pictures there are, and what each one reached.

The table stands for the pictures that it lists; they lie in the folder of the layer's name beside it. A rule that needs
them has the table as its input. The table has the digest of each picture, so it changes if one of them changes.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from feature_vis.errors import InputError
from feature_vis.files import file_digest
from feature_vis.images.png import read_picture, seed_of
from featurediff.rendering.failed_pictures import contrast, grey_score
from featurediff.rendering.paths import picture_paths
from featurediff.runtime.tables import read_table

__all__ = ["first_seed", "listed_pictures", "measure_pictures"]

_MEASURED = ("channel", "activation_start", "activation_reached")
_COLUMNS = [
    "network",
    "layer",
    "channel",
    "seed",
    "score",
    "contrast",
    "activation_start",
    "activation_reached",
    "sha256",
]


def measure_pictures(paths: Iterable[str | Path], network: str, layer: str) -> pd.DataFrame:
    """A row for each picture of a layer, in the order of channels, then seeds.

    `score`, `contrast`: see `featurediff.rendering.failed_pictures`. `activation_start`, `activation_reached`: the
    channel's activation for the noise that the picture started from, and for the picture. `sha256`: of the file, 64
    hex digits.

    Raises:
        InputError: a picture that is not whole, or has no notes of its channel and activations.
    """
    rows = []
    for path in paths:
        picture, notes = read_picture(path)
        if missing := [name for name in _MEASURED if name not in notes]:
            raise InputError(f"{path} does not say its {missing[0]}: delete it and run again")
        measured = {name: notes[name] for name in _MEASURED}
        grey = {"score": grey_score(picture), "contrast": contrast(picture)}
        digest = file_digest(path)
        rows.append({"network": network, "layer": layer, "seed": seed_of(path), **measured, **grey, "sha256": digest})
    return pd.DataFrame(rows, columns=_COLUMNS).sort_values(["channel", "seed"], ignore_index=True)


def listed_pictures(table: str | Path) -> list[str]:
    """The pictures that the table at this path lists, in the order of channels, then seeds."""
    folder, rows = Path(table).with_suffix(""), read_table(table)
    pairs = zip(rows["channel"], rows["seed"], strict=True)
    return [path for channel, seed in pairs for path in picture_paths(folder, [channel], [seed])]


def first_seed(paths: Iterable[str]) -> list[str]:
    """The pictures of the first seed, in the given order: one for each channel."""
    return [path for path in paths if seed_of(path) == 0]
