"""What two networks disagree about, without a workflow."""

from dataclasses import dataclass
from pathlib import Path

import torch

from feature_vis.errors import InputError
from feature_vis.networks.structure import picture_size
from feature_vis.recipe import Recipe
from featurediff.cli.diff import load_pair, resize_for
from featurediff.cli.init import blocks
from featurediff.data.split import make_split, write_split
from featurediff.difference.answers import Classifier, why_not_comparable
from featurediff.difference.effects import measure_effects
from featurediff.difference.photographs import Photographs, measure_photographs, read_photographs
from featurediff.difference.pictures import DifferenceSettings, render_difference
from featurediff.difference.summary import summarize
from featurediff.runtime.tables import read_table

__all__ = ["Compared", "show_difference"]

_OWN = ("starts.csv", ".search.json")  # at least one lies beside the pictures from the beginning


@dataclass(frozen=True)
class Compared:
    """What is compared and how."""

    model: str  # the architecture of both
    base: str  # a file of weights, or the library's name of some; so is `tuned`
    tuned: str
    probe: Path | None  # folder of photographs
    starts: int
    size: int | None  # pixels of pictures and photographs; the architecture's own if None
    steps: int  # of the optimizer
    seed: int


def show_difference(compared: Compared, folder: Path, device: torch.device) -> list[str]:
    """Make the pictures and tables of `featurediff.difference` in the folder; returns the lines to print.

    Raises:
        InputError: weights that do not fit, networks whose classes cannot be compared, photographs that cannot be read,
            or pictures in the folder that were not made here.
    """
    _refuse_others_pictures(folder)
    networks = load_pair(compared.model, compared.base, compared.tuned)
    if networks[0].digest() == networks[1].digest():
        return [f"{compared.base} and {compared.tuned} do not differ: there is nothing to show"]
    base, tuned = map(Classifier.of, networks)
    if reason := why_not_comparable(base, tuned):
        raise InputError(f"{compared.base} and {compared.tuned} cannot be compared: {reason}")
    size = compared.size or picture_size(base.model)
    folder.mkdir(parents=True, exist_ok=True)
    photographs = _photographs(compared.probe, folder, size)
    recipe = Recipe(size=size, steps=compared.steps, seed=compared.seed)
    settings = DifferenceSettings(starts=compared.starts, recipe=recipe, seed=compared.seed)
    render_difference(base, tuned, folder, settings, blocks(tuned.model)[-1], device)
    measure_effects(base, tuned, photographs, folder, seed=compared.seed, device=device)
    measure_photographs(base, tuned, photographs, folder, seed=compared.seed, device=device)
    sentence = summarize(folder)
    pictures = [str(folder / path) for path in read_table(folder / "starts.csv")["picture"]]
    return [sentence, *pictures, str(folder / "summary.json")]


def _refuse_others_pictures(folder: Path) -> None:
    """What lies in the folders of pictures and is not wanted any more is removed, so it must be our own."""
    if not any((folder / name).exists() for name in _OWN):
        for picture in (*folder.glob("output/*.png"), *folder.glob("classes/*.png")):
            raise InputError(f"{picture} was not made by this command: name another folder by --out")


def _photographs(probe: Path | None, folder: Path, size: int) -> Photographs:
    """The photographs below a folder, which are listed in `split.csv`; none without a folder."""
    if probe is None:
        return read_photographs([], {}, size, None)
    split = folder / "split.csv"
    write_split(split, make_split("unlabelled", probe, val_fraction=0.5, seed=0, on_bad_image="skip")[0])
    return read_photographs([split], {"photographs": str(probe)}, size, resize_for(size))
