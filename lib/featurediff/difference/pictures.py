"""Pictures of what two networks disagree about.

A folder gets, for S starts and O others:

- `output/start<s>.png`: pictures that let one class rise as far as it can from the base to the tuned network, each the
  class that its own search ended at (`featurediff.difference.search`);
- `output/other<i>.png`: pictures of O channels of one layer of the tuned network, drawn by seed and made by the same
  recipe: what any picture made for the tuned network does;
- `classes/class<c>.png`: for the classes on which the starts agree, another picture that lets the class rise.

A picture is current if the content key in its PNG is that of its objective, its recipe and both networks' weights.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import torch

from feature_vis.differences import rise
from feature_vis.errors import InputError
from feature_vis.images.png import read_picture
from feature_vis.networks.models import weights_digest
from feature_vis.networks.structure import channel_counts
from feature_vis.objectives import Objective, Objectives
from feature_vis.recipe import Recipe, content_key
from feature_vis.seeding import generator
from featurediff.difference.answers import Classifier, both_answers, class_count, class_name, why_not_comparable
from featurediff.difference.search import CANDIDATE_COLUMNS, Search
from featurediff.rendering.batch import Target, make_current
from featurediff.runtime.tables import write_table
from featurediff.statistics.class_agreement import ALPHA, LEVEL, agreement_p_value

__all__ = ["CLASS_COLUMNS", "COLUMNS", "DifferenceSettings", "render_difference"]

_MOST_CLASSES = 3  # that get a picture of their own

# name -> (unit, meaning), of starts.csv: a row a picture
COLUMNS: Mapping[str, tuple[str, str]] = {
    "picture": ("", "the picture's file, below the folder of the pair"),
    "kind": ("", "`start`: from a start's own search; `class`: of a class on which the starts agree"),
    "asked_class": ("", "number of the class that the picture lets rise, from 0"),
    "asked_name": ("", "its name; empty where it is not known"),
    "divergence": ("nats", "KL(tuned‖base) of the networks' classes for the finished picture"),
    "base_class": ("", "number of the class that the base names, from 0"),
    "base_name": ("", "its name; empty where it is not known"),
    "base_probability": ("0 to 1", "that the base gives it"),
    "tuned_class": ("", "number of the class that the tuned network names"),
    "tuned_name": ("", "its name; empty where it is not known"),
    "tuned_probability": ("0 to 1", "that the tuned network gives it"),
    "rose_class": ("", "number of the class whose output rose most, relative to the mean of all outputs"),
    "rose_name": ("", "its name; empty where it is not known"),
    "rise": ("outputs", "by how much it rose from the base to the tuned network, relative to the mean of all outputs"),
    "stopped": ("", "`steps` (all were made), `plateau`, or `not finite` (the gradient was not)"),
}

# name -> (unit, meaning), of classes.csv: a row for each class that the tuned network, and not the base, names for a
# start, most starts first
CLASS_COLUMNS: Mapping[str, tuple[str, str]] = {
    "class": ("", "number of the class, from 0"),
    "name": ("", "its name; empty where it is not known"),
    "starts": ("count", "starts for which the tuned network names it and the base another class"),
    "of": ("count", "all starts"),
    "p_value": ("probability", "that, without a hidden cause, any class is named by so many starts"),
    "agreed": ("", f"whether p_value is at most {LEVEL:g}"),
}


@dataclass(frozen=True)
class DifferenceSettings:
    """What is rendered of a pair of networks.

    Raises:
        InputError: no starts, or fewer than no others.
    """

    starts: int = 8  # S, at least 1; start s is the same picture whatever S is
    others: int = 8  # O, at least 0, at most as many as the layer has channels
    recipe: Recipe = field(default_factory=Recipe)  # of all pictures; start s has s added to its seed
    seed: int = 0  # of the draw of the others' channels

    def __post_init__(self) -> None:
        if self.starts < 1 or self.others < 0:
            raise InputError(f"at least 1 start and 0 others are rendered, not {self.starts} and {self.others}")


def render_difference(
    base: Classifier,
    tuned: Classifier,
    folder: Path,
    settings: DifferenceSettings,
    other_layer: str,
    device: torch.device,
    *,
    staging: Path | None = None,
    alpha: float = ALPHA,
) -> str | None:
    """Bring the pictures of a pair up to date, and write their tables.

    The tables are `candidates.csv` (`featurediff.difference.search.CANDIDATE_COLUMNS`), `starts.csv` (`COLUMNS`) and
    `classes.csv` (`CLASS_COLUMNS`). What the search found is kept in `.search.json`.

    Current pictures are left alone, pictures that are no longer wanted are removed. `other_layer`: the layer of the
    tuned network whose channels the `other` pictures show. `staging`: where finished pictures wait for the rest and
    unfinished ones for the next run, by default `.staging` in the folder. `alpha`: see
    `featurediff.statistics.class_agreement`.

    Returns why the networks cannot be compared, None if they can. If they cannot, the tables have no rows and the
    folders `output` and `classes` are empty.

    Raises:
        InputError: a recipe or a layer that is not possible, or pictures that the networks do not take.
    """
    for name in ("output", "classes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pictures: list[Path] = []
    candidates = pd.DataFrame(columns=list(CANDIDATE_COLUMNS))
    starts, classes = pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(CLASS_COLUMNS))
    reason = why_not_comparable(base, tuned)
    if reason is None:
        render = _Renderer(base.to(device), tuned.to(device), folder, settings, staging or folder / ".staging", device)
        candidates = render.search()
        of_starts = render.starts(other_layer)
        starts = render.table(of_starts, "start")
        classes = _classes(starts, base, tuned, alpha)
        of_classes = render.classes(_pictured(classes))
        starts = pd.concat([starts, render.table(of_classes, "class")], ignore_index=True)
        pictures = [folder / path for path in [*of_starts, *render.others, *of_classes]]
    for stale in {*folder.glob("output/*.png"), *folder.glob("classes/*.png")} - {*pictures}:
        stale.unlink()
    write_table(candidates, folder / "candidates.csv")
    write_table(starts, folder / "starts.csv")
    write_table(classes, folder / "classes.csv")
    return reason


class _Renderer:
    """Renders and reads the pictures of one pair; they are named by their paths below the folder."""

    def __init__(
        self,
        base: Classifier,
        tuned: Classifier,
        folder: Path,
        settings: DifferenceSettings,
        staging: Path,
        device: torch.device,
    ) -> None:
        self.base, self.tuned = base, tuned
        self.folder, self.settings, self.staging, self.device = folder, settings, staging, device
        self.sides = Objectives(tuned.model), Objectives(base.model)
        self.digest = " ".join(weights_digest(each.model, "") for each in (tuned, base))
        self.others: list[str] = []
        self.asked: dict[str, int] = {}  # the class that a picture lets rise

    def search(self) -> pd.DataFrame:
        """Find the class that each start asks for; returns the rows of candidates.csv."""
        unfinished = self.staging / "search"
        store = self.folder / ".search.json"
        search = Search(self.base, self.tuned, self.settings.recipe, self.digest, store, unfinished, self.device)
        chosen, table = search.classes(self.settings.starts)
        self.asked |= {f"output/start{start}.png": number for start, number in enumerate(chosen)}
        shutil.rmtree(unfinished, ignore_errors=True)
        return table

    def starts(self, other_layer: str) -> list[str]:
        """Render the starts, and the others with them."""
        recipe = self.settings.recipe
        wanted = {
            path: (rise(*self.sides, number), replace(recipe, seed=recipe.seed + start))
            for start, (path, number) in enumerate(self.asked.items())
        }
        starts = [self._target(path, *each) for path, each in wanted.items()]
        channels = self._other_channels(other_layer)
        weights = weights_digest(self.tuned.model, other_layer) if channels else ""
        others = [
            Target(
                recipe,
                content_key(recipe, other_layer, channel, weights),
                self.folder / f"output/other{number}.png",
                {"layer": other_layer, "channel": channel},
            )
            for number, channel in enumerate(channels)
        ]
        objectives: dict[Path, Objective] = {self.folder / path: objective for path, (objective, _) in wanted.items()}
        objectives |= {target.path: self.sides[0](other_layer, int(target.subject["channel"])) for target in others}
        self._render([*starts, *others], objectives)
        self.others = [str(target.path.relative_to(self.folder)) for target in others]
        return list(wanted)

    def classes(self, numbers: Sequence[int]) -> list[str]:
        """Render the pictures of classes."""
        asked = {f"classes/class{number}.png": number for number in numbers}
        self.asked |= asked
        wanted = {path: rise(*self.sides, number) for path, number in asked.items()}
        recipe = replace(self.settings.recipe, seed=self.settings.recipe.seed - 1)  # no start has it
        targets = [self._target(path, objective, recipe) for path, objective in wanted.items()]
        self._render(targets, {self.folder / path: objective for path, objective in wanted.items()})
        return list(wanted)

    def _target(self, path: str, objective: Objective, recipe: Recipe) -> Target:
        key = content_key(recipe, str(objective), 0, self.digest)
        return Target(recipe, key, self.folder / path, {"objective": str(objective)})

    def _other_channels(self, layer: str) -> list[int]:
        """Drawn without replacement; more others begin with the same channels."""
        if not self.settings.others:
            return []
        count = channel_counts(self.tuned.model, [layer], self.settings.recipe.shape)[layer]
        order = torch.randperm(count, generator=generator(self.settings.seed, "others", layer))
        return order[: self.settings.others].tolist()

    def _render(self, targets: list[Target], objectives: Mapping[Path, Objective]) -> None:
        def of(wanted: Sequence[Target]) -> list[Objective]:
            return [objectives[target.path] for target in wanted]

        make_current(targets, of, "pictures of the difference", self.staging, self.device)

    def table(self, paths: Sequence[str], kind: str) -> pd.DataFrame:
        """The rows of starts.csv."""
        rows = []
        for path in paths:
            picture, notes = read_picture(self.folder / path)  # (H, W, 3)
            found = both_answers(self.base, self.tuned, torch.from_numpy(picture.copy()).permute(2, 0, 1).unsqueeze(0))
            base_class, tuned_class = int(found.base_class[0]), int(found.tuned_class[0])
            rose_class = int(found.rise[0].argmax())
            numbers = (self.asked[path], base_class, tuned_class, rose_class)
            names = [class_name(number, self.base, self.tuned) for number in numbers]
            of_base, of_tuned = found.base_probability[0, base_class], found.tuned_probability[0, tuned_class]
            row = [path, kind, numbers[0], names[0], found.divergence[0], base_class, names[1], of_base]
            row += [tuned_class, names[2], of_tuned, rose_class, names[3], found.rise[0, rose_class]]
            rows.append([*row, notes["stopped"]])
        return pd.DataFrame(rows, columns=list(COLUMNS))


def _classes(starts: pd.DataFrame, base: Classifier, tuned: Classifier, alpha: float) -> pd.DataFrame:
    """The rows of classes.csv, from those of the starts.

    A class that both networks name for a picture is nothing that they disagree about: networks that hardly differ call
    all pictures alike.
    """
    counts = (
        starts.loc[starts["tuned_class"] != starts["base_class"], "tuned_class"]
        .value_counts()
        .rename("starts")
        .rename_axis("class")
        .reset_index()
    )
    counts = counts.sort_values(["starts", "class"], ascending=[False, True], ignore_index=True)
    of, classes = len(starts), class_count(tuned)
    p_values = [agreement_p_value(count, of, classes, alpha) for count in counts["starts"]]
    names = [class_name(number, base, tuned) for number in counts["class"]]
    agreed = [p_value <= LEVEL for p_value in p_values]
    return counts.assign(name=names, of=of, p_value=p_values, agreed=agreed)[list(CLASS_COLUMNS)]


def _pictured(classes: pd.DataFrame) -> list[int]:
    """The classes that get a picture: those on which the starts agree, or the most named one."""
    agreed = classes.loc[classes["agreed"], "class"].tolist()
    return agreed[:_MOST_CLASSES] or classes["class"].tolist()[:1]
