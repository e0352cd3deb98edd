"""Do the pictures of a difference change what the tuned network says of photographs?

A hidden cause in a picture works on photographs too. So each picture is put onto photographs in two ways:

- `blended`: half of the picture and half of the photograph, over the whole photograph;
- `pasted`: the picture, scaled to 3/8 of the photograph's shorter side, at a place drawn by seed for each pair.

Counted are the photographs for which a network then names the picture's class. Beside it stand the base network, the
photographs without a picture, and the `other` pictures of `featurediff.difference.pictures`, since any picture that was
made for a network may lead it astray.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from feature_vis.images.png import read_picture
from feature_vis.seeding import derive_seed, generator
from featurediff.difference.answers import Classifier, class_name, named_classes
from featurediff.difference.photographs import Photographs
from featurediff.runtime.progress import progress
from featurediff.runtime.tables import read_table, write_table
from featurediff.statistics.multiple_testing import share_interval

__all__ = ["CLASS_COLUMNS", "COLUMNS", "WAYS", "blended", "measure_effects", "pasted", "two_way_interval"]

WAYS = ("blended", "pasted")

_MOST = 100  # photographs that each picture is put onto
_SIDE = 3 / 8  # of the photograph's shorter side, of a pasted picture
_DRAWS = 2000  # of the bootstrap

_OF_CLASS: Mapping[str, tuple[str, str]] = {
    "class": ("", "number of the class that is counted, from 0"),
    "name": ("", "its name; empty where it is not known"),
}
_BEFORE: Mapping[str, tuple[str, str]] = {
    "tuned_before": (
        "0 to 1",
        "share of the photographs without a picture for which the tuned network names the class",
    ),
    "base_before": ("0 to 1", "the same of the base"),
}

# name -> (unit, meaning), of effects.csv: a row for each picture and way
COLUMNS: Mapping[str, tuple[str, str]] = {
    "picture": ("", "the picture's file, below the folder of the pair"),
    "kind": ("", "`start`, `class` or `other`"),
    "way": ("", "`blended` with the photographs or `pasted` on them"),
    **_OF_CLASS,
    "photographs": ("count", "photographs that the picture was put onto"),
    "tuned": ("0 to 1", "share of them for which the tuned network names the class"),
    "tuned_low": ("0 to 1", "95 % interval of tuned (Wilson), lower end"),
    "tuned_high": ("0 to 1", "95 % interval of tuned, upper end"),
    "base": ("0 to 1", "share of them for which the base names the class"),
    "base_low": ("0 to 1", "95 % interval of base (Wilson), lower end"),
    "base_high": ("0 to 1", "95 % interval of base, upper end"),
    **_BEFORE,
}

# name -> (unit, meaning), of effect.csv: a row for each class on which the starts agree (the most named one where there
# is none) and each way
CLASS_COLUMNS: Mapping[str, tuple[str, str]] = {
    **_OF_CLASS,
    "way": ("", "`blended` with the photographs or `pasted` on them"),
    "pictures": ("count", "starts for which the tuned network names the class and the base another one"),
    "photographs": ("count", "photographs that each picture was put onto"),
    "tuned": ("0 to 1", "share of photographs with one of these pictures for which the tuned network names the class"),
    "tuned_low": ("0 to 1", "95 % interval of tuned, bootstrap over pictures and photographs, lower end"),
    "tuned_high": ("0 to 1", "95 % interval of tuned, upper end"),
    "base": ("0 to 1", "share of them for which the base names the class"),
    "base_low": ("0 to 1", "95 % interval of base, as that of tuned, lower end"),
    "base_high": ("0 to 1", "95 % interval of base, upper end"),
    "others": ("0 to 1", "share of photographs with one of the `other` pictures for which the tuned network names it"),
    "others_low": ("0 to 1", "95 % interval of others, as that of tuned, lower end"),
    "others_high": ("0 to 1", "95 % interval of others, upper end"),
    **_BEFORE,
    "clear": ("", "whether tuned_low is above others_high"),
}


@dataclass(frozen=True)
class _Shown:
    """A picture, the class that is counted for it, and the classes that were named with it."""

    path: str
    kind: str
    number: int
    is_named: bool  # by the tuned network alone, for the picture itself
    named: Mapping[str, np.ndarray]  # way -> (2, N): by the base, by the tuned network


def measure_effects(
    base: Classifier,
    tuned: Classifier,
    photographs: Photographs,
    folder: Path,
    *,
    seed: int,
    device: torch.device,
    most: int = _MOST,
) -> None:
    """Write `effects.csv` and `effect.csv` (see `COLUMNS` and `CLASS_COLUMNS`) into the folder.

    The folder holds what `featurediff.difference.pictures.render_difference` made. At most `most` of the photographs
    are used, evenly spread. Without photographs, or pictures, both tables have no rows. `seed`: of the places of pasted
    pictures and of the bootstrap.
    """
    effects, effect = pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(CLASS_COLUMNS))
    starts, classes = read_table(folder / "starts.csv"), read_table(folder / "classes.csv")
    photographs = photographs.some(most).to(device)
    if len(photographs) and len(starts):
        base, tuned = base.to(device), tuned.to(device)
        before = named_classes(base, tuned, photographs.pixels)  # (2, N)
        shown = _show(base, tuned, photographs, folder, _pictures(folder, starts, classes), seed)
        rows = [_row(each, way, before, base, tuned) for each in shown for way in WAYS]
        effects = pd.DataFrame(rows, columns=list(COLUMNS))
        agreed = classes.loc[classes["agreed"].astype(bool), "class"].tolist() or classes["class"].tolist()[:1]
        rows = [_class_row(number, way, shown, before, base, tuned, seed) for number in agreed for way in WAYS]
        effect = pd.DataFrame(rows, columns=list(CLASS_COLUMNS))
    write_table(effects, folder / "effects.csv")
    write_table(effect, folder / "effect.csv")


def _pictures(folder: Path, starts: pd.DataFrame, classes: pd.DataFrame) -> list[tuple[str, str, int, bool]]:
    """Path, kind and counted class of each picture, and whether the tuned network alone names that class for it."""
    pictures = []
    for path, kind, named, of_base in starts[["picture", "kind", "tuned_class", "base_class"]].values:
        number = named if kind == "start" else Path(path).stem.removeprefix("class")
        pictures.append((str(path), str(kind), int(number), int(number) == named != of_base))
    if classes.empty:
        return pictures
    others = sorted(folder.glob("output/other*.png"), key=lambda path: int(path.stem.removeprefix("other")))
    most_named = int(classes["class"].iloc[0])
    return pictures + [(str(path.relative_to(folder)), "other", most_named, False) for path in others]


def _show(
    base: Classifier,
    tuned: Classifier,
    photographs: Photographs,
    folder: Path,
    pictures: Sequence[tuple[str, str, int, bool]],
    seed: int,
) -> list[_Shown]:
    shown = []
    with progress(len(pictures) * len(WAYS), "effects of pictures", "picture") as advance:
        for path, kind, number, is_named in pictures:
            array = read_picture(folder / path)[0]  # (H, W, 3)
            picture = torch.from_numpy(array.copy()).permute(2, 0, 1).to(photographs.pixels.device).float() / 255
            named = {}
            for way in WAYS:
                parts = []
                for names, pixels in _batches(photographs):
                    drawn = [(seed, "place", path, name) for name in names]
                    changed = blended(picture, pixels) if way == "blended" else pasted(picture, pixels, drawn)
                    parts.append(named_classes(base, tuned, changed))
                named[way] = np.concatenate(parts, axis=1)
                advance(1)
            shown.append(_Shown(path, kind, number, is_named, named))
    return shown


def _batches(photographs: Photographs, size: int = 32) -> list[tuple[Sequence[str], Tensor]]:
    """Names and pixels, (B, 3, H, W) in [0, 1]."""
    return [
        (photographs.names[first : first + size], photographs.pixels[first : first + size].float() / 255)
        for first in range(0, len(photographs), size)
    ]


def blended(picture: Tensor, photographs: Tensor) -> Tensor:
    """Half of a picture, (3, h, w), and half of each photograph, (B, 3, H, W), all in [0, 1] -> (B, 3, H, W)."""
    return (_resized(picture, (photographs.shape[2], photographs.shape[3])) + photographs) / 2


def pasted(picture: Tensor, photographs: Tensor, seeds: Sequence[tuple[str | int, ...]]) -> Tensor:
    """A picture, (3, h, w), as a patch on each photograph, (B, 3, H, W), all in [0, 1] -> (B, 3, H, W).

    The patch is a square of 3/8 of the photograph's shorter side, at least 1 px. `seeds`: for each photograph the parts
    of the seed of the patch's place.
    """
    height, width = photographs.shape[2:]
    side = max(1, round(_SIDE * min(height, width)))
    patch, changed = _resized(picture, (side, side)), photographs.clone()
    for photograph, seed in zip(changed, seeds, strict=True):
        y, x = torch.rand(2, generator=generator(*seed), dtype=torch.float64).tolist()
        top, left = int(y * (height - side + 1)), int(x * (width - side + 1))
        photograph[:, top : top + side, left : left + side] = patch
    return changed


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, h, w) -> (3, *size), antialiased where it becomes smaller."""
    return functional.interpolate(picture.unsqueeze(0), size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def _row(shown: _Shown, way: str, before: np.ndarray, base: Classifier, tuned: Classifier) -> dict[str, object]:
    """The row of effects.csv. `before`: the classes named without a picture, (2, N)."""
    found = {"picture": shown.path, "kind": shown.kind, "way": way, **_class_of(shown.number, before, base, tuned)}
    for side, named in zip(("base", "tuned"), shown.named[way] == shown.number, strict=True):
        low, high = share_interval(int(named.sum()), len(named))
        found |= {"photographs": len(named), side: named.mean(), f"{side}_low": low, f"{side}_high": high}
    return found


def _class_row(
    number: int,
    way: str,
    shown: Sequence[_Shown],
    before: np.ndarray,
    base: Classifier,
    tuned: Classifier,
    seed: int,
) -> dict[str, object]:
    """The row of effect.csv."""
    starts = [each for each in shown if each.kind == "start" and each.number == number and each.is_named]
    own = [each.named[way] == number for each in starts]
    others = [each.named[way][1] == number for each in shown if each.kind == "other"]
    of_base, of_tuned = np.stack(own, axis=1)  # (pictures, N) each
    found = {"way": way, "pictures": len(own), "photographs": before.shape[1]}
    found |= _class_of(number, before, base, tuned)
    for side, named in (("base", of_base), ("tuned", of_tuned), ("others", np.array(others))):
        low, high = two_way_interval(named, seed, side, way, number) if len(named) else (np.nan, np.nan)
        found |= {side: named.mean() if len(named) else np.nan, f"{side}_low": low, f"{side}_high": high}
    return found | {"clear": bool(found["tuned_low"] > found["others_high"])}


def _class_of(number: int, before: np.ndarray, base: Classifier, tuned: Classifier) -> dict[str, object]:
    """The columns that both tables have of the counted class."""
    of_base, of_tuned = (before == number).mean(1)
    name = class_name(number, base, tuned)
    return {"class": number, "name": name, "tuned_before": of_tuned, "base_before": of_base}


def two_way_interval(named: np.ndarray, *seed: str | int) -> tuple[float, float]:
    """95 % interval of the share of True in (P, N): percentiles of a bootstrap that draws P pictures and N photographs.

    Both are samples: other starts would give other pictures. Where all are True or none is, no draw shows how far the
    share could vary, and the interval is Wilson's over N photographs. `seed`: parts of the generator's seed.

    Source: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1.
    """
    pictures, photographs = named.shape
    if named.all() or not named.any():
        return share_interval(photographs if named.any() else 0, photographs)
    rng = np.random.default_rng(derive_seed(*seed))
    rows, columns = (rng.multinomial(size, np.full(size, 1 / size), _DRAWS) for size in named.shape)  # counts of draws
    shares = ((rows @ named.astype(float)) * columns).sum(1) / (pictures * photographs)  # (draws,)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
