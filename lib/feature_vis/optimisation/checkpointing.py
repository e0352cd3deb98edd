"""Unfinished pictures on disk, so that an interrupted render goes on where it was."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from feature_vis.networks.models import save_file, state_digest
from feature_vis.objectives import reads
from feature_vis.optimisation.image_state import ImageState
from feature_vis.recipe import Recipe, content_key

__all__ = ["Checkpointer"]

_INTERVAL = 60.0  # seconds of work that an interruption may lose
_SAVED = ("parameters", "memory", "trajectory", "stage", "stopped")  # of an `ImageState`


class Checkpointer:
    """A folder with one file for each unfinished picture.

    A file's name is a digest of everything that decides the picture, the networks' weights included, so a file is
    never taken for another picture's. A file that cannot be read is ignored: the picture starts anew.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe
        self._weights: dict[int, str] = {}  # a model's id -> its digest
        self._last_save = time.monotonic()
        self._changed: dict[ImageState, None] = {}  # since then, in order

    def restore(self, states: Sequence[ImageState]) -> None:
        """Bring every picture that has a file to where the file says it was."""
        for state in states:
            try:
                saved = torch.load(self._path(state), map_location=state.parameters.device, weights_only=True)
                values = {name: saved[name] for name in _SAVED}
            except Exception:  # no file, or a broken one, for which torch raises many kinds
                continue
            for name, value in values.items():
                setattr(state, name, value)

    def save_if_due(self, states: Sequence[ImageState], write_back: Callable[[], None]) -> None:
        """Once a minute, save all pictures that changed since the last time, those that have ended included.

        `write_back` brings the states up to date.
        """
        self._changed.update(dict.fromkeys(states))
        if time.monotonic() - self._last_save >= _INTERVAL:
            write_back()
            self.save(list(self._changed))
            self._changed.clear()
            self._last_save = time.monotonic()

    def save(self, states: Sequence[ImageState]) -> None:
        """Write a file for each picture."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for state in states:
            save_file(self._path(state), {name: getattr(state, name) for name in _SAVED})

    def remove(self, states: Sequence[ImageState]) -> None:
        """Remove the files of finished pictures, and the folder with the last of them."""
        for state in states:
            self._path(state).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or never made
            self.folder.rmdir()

    def _path(self, state: ImageState) -> Path:
        weights = []
        for source, _layer in reads(state.objective):
            weights += [self._digest(source.model), *map(str, (*source.mean, *source.std))]
        key = content_key(self.recipe, str(state.objective), 0, " ".join(weights))
        return self.folder / f"{hashlib.sha256(json.dumps([key, state.seed]).encode()).hexdigest()[:32]}.state"

    def _digest(self, model: torch.nn.Module) -> str:
        if id(model) not in self._weights:
            self._weights[id(model)] = state_digest(model.state_dict())
        return self._weights[id(model)]
