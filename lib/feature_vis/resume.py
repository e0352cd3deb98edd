"""Unfinished pictures on disk: an interrupted render goes on where it was."""

import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from feature_vis.files import atomic_path
from feature_vis.models import state_digest
from feature_vis.objectives import terms
from feature_vis.optimisation import Climber
from feature_vis.recipe import RECIPE_VERSION, Recipe

__all__ = ["Notebook"]

_EVERY = 60.0  # seconds of work that an interruption may lose


class Notebook:
    """A folder with one file a picture under way.

    A file's name is a digest of all that decides the picture, the networks' weights included, so a file is never
    taken for another's. What cannot be read is as if it were not there: the picture starts anew.
    """

    def __init__(self, folder: Path, recipe: Recipe, every: float = _EVERY) -> None:
        self.folder = folder
        self.recipe = recipe
        self.every = every
        self._weights: dict[int, str] = {}
        self._noted = time.monotonic()

    def recall(self, climbers: Sequence[Climber]) -> None:
        """Put each climber where its file says it was."""
        for climber in climbers:
            try:
                state = torch.load(self._path(climber), map_location=climber.parameters.device, weights_only=True)
            except (OSError, RuntimeError, EOFError, ValueError):
                continue
            climber.parameters = state["parameters"]
            climber.memory = state["memory"]
            climber.trajectory = state["trajectory"]
            climber.stage = state["stage"]
            climber.stopped = state["stopped"]

    def note_now_and_then(self, climbers: Sequence[Climber]) -> None:
        """Write the climbers down where the last time is long enough ago."""
        if time.monotonic() - self._noted >= self.every:
            self.note(climbers)
            self._noted = time.monotonic()

    def note(self, climbers: Sequence[Climber]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for climber in climbers:
            state = {
                "parameters": climber.parameters.detach(),
                "memory": climber.memory,
                "trajectory": climber.trajectory,
                "stage": climber.stage,
                "stopped": climber.stopped,
            }
            with atomic_path(self._path(climber)) as temporary:
                torch.save(state, temporary)

    def forget(self, climbers: Sequence[Climber]) -> None:
        """Remove the files of finished pictures, and the folder with the last of them."""
        for climber in climbers:
            self._path(climber).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or never made
            self.folder.rmdir()

    def _path(self, climber: Climber) -> Path:
        weights = [self._digest(term.source.model) for term in terms(climber.objective)]
        parts = [RECIPE_VERSION, self.recipe.settings(), climber.seed, str(climber.objective), weights]
        return self.folder / f"{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]}.state"

    def _digest(self, model: torch.nn.Module) -> str:
        if id(model) not in self._weights:
            self._weights[id(model)] = state_digest(model.state_dict())
        return self._weights[id(model)]
