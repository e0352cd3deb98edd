"""Which class of all a picture of the difference asks for.

A hidden cause lets one class rise far more in the tuned network than in the base, but only for pictures that show it.
Two networks also disagree about pictures that show nothing, so an ascent of their divergence from noise mostly ends
there: with patches in the training of a ResNet-18, the Kullback-Leibler divergence led to the patch's class from 3 of
64 starts (benchmarks/RESULTS.md). So the class is searched for first:

1. A few pictures let all classes rise that can, by `largest_rise` at a high temperature.
2. Over these, the classes are ranked by the mean gain of their probability, and by the mean evidence for them that the
   base does not see: the tuned network's centred logit less the base's, where the base's is above 0.
3. Each start tries the best few of either ranking for some steps and asks for the one that rises most.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from feature_vis.differences import largest_rise, rise
from feature_vis.files import write_text
from feature_vis.objectives import Objective, Objectives
from feature_vis.recipe import Recipe, content_key
from feature_vis.render import Rendered, render
from featurediff.difference.answers import BothAnswers, Classifier, both_answers, class_name
from featurediff.runtime.progress import progress

__all__ = ["CANDIDATE_COLUMNS", "Search", "candidate_classes"]

_EXPLORING = 8  # pictures of step 1
_EXPLORING_STEPS = 64
_TEMPERATURE = 10.0  # logits; at 3 the first class that rises is the only one, at 30 none gets far
_CANDIDATES = 4  # of each ranking
_TRYING_STEPS = 32

# name -> (unit, meaning), of candidates.csv: a row for each class that the starts try, most rise first
CANDIDATE_COLUMNS: Mapping[str, tuple[str, str]] = {
    "class": ("", "number of the class, from 0"),
    "name": ("", "its name; empty where it is not known"),
    "rise": ("outputs", f"how far its output rose in {_TRYING_STEPS} steps, relative to all; mean over the starts"),
    "starts": ("count", "starts that ask for it, since it rose most"),
}


def candidate_classes(answers: BothAnswers, count: int = _CANDIDATES) -> list[int]:
    """The best `count` classes of each of both rankings, each class once.

    `answers`: of both networks for the pictures of step 1, in which N pictures have K classes.
    """
    tuned, base = (logits - logits.mean(1, keepdims=True) for logits in (answers.tuned, answers.base))  # (N, K)
    gained = answers.tuned_probability - answers.base_probability
    unseen = tuned - np.maximum(base, 0)
    best = [np.argsort(-ranked.mean(0), kind="stable")[:count].tolist() for ranked in (gained, unseen)]
    return list(dict.fromkeys(best[0] + best[1]))


@dataclass(frozen=True)
class Search:
    """The search for one pair of networks.

    `digest`: of both networks' weights. `store`: a file that keeps what was found, so that further starts try only for
    themselves. `unfinished`: a folder for pictures that were not finished.
    """

    base: Classifier
    tuned: Classifier
    recipe: Recipe  # of start 0; start s has s added to its seed
    digest: str
    store: Path
    unfinished: Path
    device: torch.device

    def classes(self, starts: int) -> tuple[list[int], pd.DataFrame]:
        """The class that each start asks for, and the rows of candidates.csv (`CANDIDATE_COLUMNS`)."""
        found = self._read()
        candidates: list[int] = found.get("candidates", [])
        rises: dict[str, list[float]] = found.get("rises", {})
        if not candidates:
            candidates = self._explore()
            self._write(candidates, rises)  # an interrupted search does not explore again
        if missing := [start for start in range(starts) if str(start) not in rises]:
            rises |= self._try(missing, candidates)
            self._write(candidates, rises)
        risen = np.array([rises[str(start)] for start in range(starts)])  # (starts, candidates)
        chosen = [candidates[place] for place in risen.argmax(1)]
        table = pd.DataFrame(
            {
                "class": candidates,
                "name": [class_name(number, self.base, self.tuned) for number in candidates],
                "rise": risen.mean(0),
                "starts": [chosen.count(number) for number in candidates],
            }
        )
        return chosen, table.sort_values("rise", ascending=False, kind="stable", ignore_index=True)

    def _explore(self) -> list[int]:
        recipe = replace(self.recipe, steps=min(self.recipe.steps, _EXPLORING_STEPS))
        objective = largest_rise(*self._sides(), _TEMPERATURE)
        found = self._render([objective] * _EXPLORING, [recipe] * _EXPLORING, "classes: exploring")
        pictures = torch.stack([torch.from_numpy(one.picture.copy()).permute(2, 0, 1) for one in found])
        return candidate_classes(both_answers(self.base, self.tuned, pictures))

    def _try(self, starts: Sequence[int], candidates: Sequence[int]) -> dict[str, list[float]]:
        """By how much each candidate rises, for each start."""
        recipe = replace(self.recipe, steps=min(self.recipe.steps, _TRYING_STEPS))
        sides = self._sides()
        recipes = [replace(recipe, seed=recipe.seed + start) for start in starts for _ in candidates]
        objectives = [rise(*sides, number) for _ in starts for number in candidates]
        reached = [one.activation_reached for one in self._render(objectives, recipes, "classes: trying")]
        rows = np.array(reached).reshape(len(starts), len(candidates))
        return {str(start): row.tolist() for start, row in zip(starts, rows, strict=True)}

    def _render(self, objectives: Sequence[Objective], recipes: Sequence[Recipe], what: str) -> list[Rendered]:
        with progress(sum(recipe.steps for recipe in recipes), what, "step") as advance:
            found = render(objectives, recipes, device=self.device, progress=advance, resume=self.unfinished)
            return sorted(found, key=lambda one: one.index)

    def _sides(self) -> tuple[Objectives, Objectives]:
        return Objectives(self.tuned.model), Objectives(self.base.model)

    def _key(self) -> str:
        constants = (_EXPLORING, _EXPLORING_STEPS, _TEMPERATURE, _CANDIDATES, _TRYING_STEPS)
        text = f"{content_key(self.recipe, 'classes', 0, self.digest)} {constants}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _write(self, candidates: Sequence[int], rises: Mapping[str, Sequence[float]]) -> None:
        write_text(self.store, json.dumps({"key": self._key(), "candidates": candidates, "rises": rises}))

    def _read(self) -> dict:
        """What was found before for the same networks and recipe; empty if nothing was."""
        try:
            found = json.loads(self.store.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) and found.get("key") == self._key() else {}
