"""How a picture is made, in full, and the key that says whether a picture on disk is still current.

No torch here: the workflow reads this module while it builds its graph.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from feature_vis.errors import InputError

__all__ = ["CHOICES", "MODES", "RECIPE_VERSION", "Recipe", "content_key"]

# Raise it when a change to the renderer changes pictures: every picture is then made again.
RECIPE_VERSION = 3

# What the settings that are words may be.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "objective": ("pre_relu", "post_relu"),
    "parameterization": ("fourier", "pixel", "laplacian", "maco"),
    "colors": ("imagenet", "images", "none"),
    "schedule": ("plain", "growing"),
    "precision": ("auto", "float32", "bfloat16"),
}

# Of the growing schedule: (share of the full size, share of all steps after which the next size begins).
_GROWTH = ((3 / 7, 1 / 3), (5 / 7, 7 / 12))
_LEAST_GROWN = 64  # px: the deep layers of common networks shrink a picture 32-fold

# Named sets of settings; what stands beside `mode` in a config overrides them.
MODES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # transfer-visualization's, as far as its pictures are concerned
    "paper": {
        "size": 400,
        "steps": 256,
        "learning_rate": 0.05,
        "momentum": 0.9,
        "objective": "post_relu",
        "transforms": "paper",
        "schedule": "plain",
        "precision": "float32",
    },
}


@dataclass(frozen=True)
class Recipe:
    """The settings that decide a picture.

    - `size`: height and width in pixels, one number for both or two.
    - `steps`: of the optimizer, at most.
    - `learning_rate`: Adam's, in the parameterization's units.
    - `momentum`: Adam's first decay rate. Every step sees other transforms: a long memory holds the picture back.
    - `objective`: `pre_relu` reads what enters the target's last ReLU, `post_relu` its output, as the original does.
    - `transforms`: a preset of `feature_vis.transforms`, or settings of one's own.
    - `parameterization`: how the picture is held, see `feature_vis.parameterizations`.
    - `decay_power`: of the spectrum's 1/f.
    - `colors`: the basis in which colours are optimised, ImageNet's, that of the user's images, or none.
    - `statistics`: file of `feature_vis.images.statistics`: the user's colours (`colors: images`) and magnitudes
      (`parameterization: maco`).
    - `start`: a picture to start from, or the state of one (`feature_vis.optimisation.starts.save_state`); noise where
    absent.
    - `regularizers`: weights of `feature_vis.regularizers`.
    - `schedule`: `growing` starts at smaller sizes.
    - `plateau`: stop a picture whose objective rose by less than this share over the last 32 steps.
    - `precision`: of the network meanwhile; `auto` is bfloat16 where that is quicker, see
    `feature_vis.networks.precision`.
    - `seed`: of the start and of the transforms.
    """

    size: int | tuple[int, int] = 128
    steps: int = 256
    learning_rate: float = 0.05
    momentum: float = 0.5
    objective: str = "pre_relu"
    transforms: str | Mapping[str, Any] = "small"
    parameterization: str = "fourier"
    decay_power: float = 1.0
    colors: str = "imagenet"
    statistics: str | None = None
    start: str | None = None
    regularizers: Mapping[str, float] = field(default_factory=dict)
    schedule: str = "plain"
    plateau: float | None = None
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.size, list):
            object.__setattr__(self, "size", tuple(self.size))
        needs_statistics = self.colors == "images" or self.parameterization == "maco"
        checks = [
            ("size", min(self.shape) >= 16, "at least 16 pixels"),
            ("steps", self.steps >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("momentum", 0 <= self.momentum < 1, "at least 0 and below 1"),
            ("decay_power", self.decay_power >= 0, "0 or above"),
            ("plateau", self.plateau is None or 0 < self.plateau < 1, "a share between 0 and 1, or absent"),
            (
                "statistics",
                self.statistics is not None or not needs_statistics,
                "a file made by feature_vis.images.statistics.save_statistics: `colors: images` and "
                "`parameterization: maco` read it",
            ),
            *[(name, getattr(self, name) in known, " or ".join(known)) for name, known in CHOICES.items()],
        ]
        problems = [f"{name} must be {what}, not {getattr(self, name)!r}" for name, fine, what in checks if not fine]
        if problems:
            raise InputError("the recipe cannot be followed: " + "; ".join(problems))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def stages(self) -> list[tuple[tuple[int, int], int]]:
        """((height, width), the step that it ends with) of each size on the way to the full one.

        A picture that starts from another does not grow: it would lose its detail first.
        """
        grows = self.schedule == "growing" and self.start is None
        height, width = self.shape
        stages = []
        for share_of_size, share_of_steps in _GROWTH if grows else ():
            size = (round(share_of_size * height), round(share_of_size * width))
            last_step = round(share_of_steps * self.steps)
            if min(size) >= _LEAST_GROWN and last_step >= 1:
                stages.append((size, last_step))
        return [*stages, (self.shape, self.steps)]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Recipe":
        """From the keys of a config, `mode` among them; an unknown key is an error."""
        settings = dict(settings)
        mode = settings.pop("mode", "default")
        if mode not in MODES:
            raise InputError(f"a recipe has no mode {mode!r}: it has {', '.join(MODES)}")
        known = {known.name for known in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise InputError(f"a recipe has no {', '.join(unknown)}: it has mode, {', '.join(sorted(known))}")
        return cls(**{**MODES[mode], **settings})

    def settings(self) -> dict[str, Any]:
        """All settings by name, for a table or a PNG's text."""
        return asdict(self)


def content_key(recipe: Recipe, layer: str, channel: int, weights_digest: str) -> str:
    """Digest, 64 hex digits, of all that decides the picture of one channel.

    `weights_digest` is `feature_vis.networks.models.weights_digest` of the network up to the layer. The files that the
    recipe names count with their content. Not in it, because they change no more than the rounding: the batch a
    channel is rendered in, the device, the versions of the libraries.
    """
    files = [_file_digest(path) for path in (recipe.statistics, recipe.start) if path is not None]
    parts = [RECIPE_VERSION, recipe.settings(), layer, channel, weights_digest, files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _file_digest(path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"the recipe names a file that is not there: {path}")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
