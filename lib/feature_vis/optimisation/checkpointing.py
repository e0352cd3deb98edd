"""Unfinished pictures on disk: an interrupted render goes on where it was."""

import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from feature_vis.networks.models import save_file, state_digest
from feature_vis.objectives import terms
from feature_vis.optimisation.ascent import Climber
from feature_vis.recipe import Recipe, content_key

__all__ = ["Notebook"]

_EVERY = 60.0  # seconds of work that an interruption may lose
_NOTED = ("parameters", "memory", "trajectory", "stage", "stopped")  # of a climber


class Notebook:
    """A folder with one file a picture under way.

    A file's name is a digest of all that decides the picture, the networks' weights included, so a file is never
    taken for another's. What cannot be read is as if it were not there: the picture starts anew.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe
        self._weights: dict[int, str] = {}
        self._noted = time.monotonic()
        self._moved: dict[Climber, None] = {}  # since then

    def recall(self, climbers: Sequence[Climber]) -> None:
        """Put each climber where its file says it was."""
        for climber in climbers:
            file = self._path(climber)
            try:
                state = torch.load(file, map_location=climber.parameters.device, weights_only=True)
                noted = {name: state[name] for name in _NOTED}
            except Exception:  # none there; or a broken one, for which torch raises many kinds
                continue
            for name, value in noted.items():
                setattr(climber, name, value)

    def note_now_and_then(self, climbers: Sequence[Climber]) -> None:
        """Where the last time is long enough ago, write down all that moved since, those that have ended too."""
        self._moved.update(dict.fromkeys(climbers))
        if time.monotonic() - self._noted >= _EVERY:
            self.note(list(self._moved))
            self._moved.clear()
            self._noted = time.monotonic()

    def note(self, climbers: Sequence[Climber]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for climber in climbers:
            state = {name: getattr(climber, name) for name in _NOTED}
            state["parameters"] = climber.parameters.detach()
            save_file(self._path(climber), state)

    def forget(self, climbers: Sequence[Climber]) -> None:
        """Remove the files of finished pictures, and the folder with the last of them."""
        for climber in climbers:
            self._path(climber).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or never made
            self.folder.rmdir()

    def _path(self, climber: Climber) -> Path:
        weights = []
        for term in terms(climber.objective):
            weights += [self._digest(term.source.model), *map(str, (*term.source.mean, *term.source.std))]
        key = content_key(self.recipe, str(climber.objective), 0, " ".join(weights))
        return self.folder / f"{hashlib.sha256(json.dumps([key, climber.seed]).encode()).hexdigest()[:32]}.state"

    def _digest(self, model: torch.nn.Module) -> str:
        if id(model) not in self._weights:
            self._weights[id(model)] = state_digest(model.state_dict())
        return self._weights[id(model)]
