"""All settings of a picture, and the key that tells whether a picture on disk is still current.

No torch here: the workflow imports this module while it builds its graph.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from feature_vis.errors import InputError
from feature_vis.files import file_digest

__all__ = ["CHOICES", "MODES", "RECIPE_VERSION", "Recipe", "content_key"]

# Raise it when a change to the renderer changes pictures: every picture is then rendered again.
RECIPE_VERSION = 4

# The values that a setting with a text may have.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "objective": ("pre_relu", "post_relu"),
    "parameterization": ("fourier", "pixel", "laplacian", "maco"),
    "colors": ("imagenet", "images", "none"),
    "schedule": ("plain", "growing"),
    "precision": ("auto", "float32", "bfloat16"),
}

# The smaller sizes of the growing schedule: share of the full size, share of all steps after which the next one begins.
_GROWTH = ((3 / 7, 1 / 3), (5 / 7, 7 / 12))
_LEAST_GROWN = 64  # px: the deep layers of common networks shrink a picture 32-fold

# Named sets of settings; a config's own settings beside `mode` override them.
MODES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # those of transfer-visualization, as far as its pictures are concerned
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
    """The settings that decide a picture, together with the network and what is rendered of it.

    Raises:
        InputError: values out of their range, all at once.
    """

    # the picture
    size: int | tuple[int, int] = 128  # height and width in pixels, one number for both or two; at least 16
    parameterization: str = "fourier"  # how the picture is held, see `feature_vis.parameterizations`
    decay_power: float = 1.0  # p of the spectrum's weights 1 / f ** p; 0 or above
    colors: str = "imagenet"  # the basis in which colours are optimised: ImageNet's, that of your own `images`, or none
    statistics: str | None = None  # file of `feature_vis.images.statistics`, for `colors: images` and for `maco`
    start: str | None = None  # start from this picture, or from a saved `.state` of one; None: from noise
    seed: int = 0  # of the noise and of the transforms

    # the objective
    objective: str = "pre_relu"  # read what enters the layer's last ReLU where the objective adds it (see
    # `feature_vis.objectives`), or `post_relu` its output as the original did
    transforms: str | Mapping[str, Any] = "small"  # preset or settings of `feature_vis.transforms`, drawn at each step
    regularizers: Mapping[str, float] = field(default_factory=dict)  # weights of `feature_vis.regularizers`

    # the optimizer
    steps: int = 256  # at most
    learning_rate: float = 0.05  # Adam's, in the parameterization's units; above 0
    momentum: float = 0.5  # Adam's first decay rate, in [0, 1); low, because every step sees other transforms
    schedule: str = "plain"  # `growing` takes the first steps at smaller sizes
    plateau: float | None = None  # stop when the objective rose by less than this share over 32 steps; None: never
    precision: str = "auto"  # the networks' type; `auto`: bfloat16 where faster, see `feature_vis.networks.precision`

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
            raise InputError("this recipe is not possible: " + "; ".join(problems))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def stages(self) -> list[tuple[tuple[int, int], int]]:
        """((height, width), last step) for each size on the way to the full one.

        A picture that starts from another one does not grow: it would lose that picture's detail first.
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
        """From a config's mapping, which may name a `mode`, one of `MODES`.

        Raises:
            InputError: an unknown key or mode, or values out of their range.
        """
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
    """SHA-256, 64 hex digits, of all that decides the picture of one channel.

    `weights_digest`: of the network up to the layer, by `feature_vis.networks.models.weights_digest`. The content of
    the files that the recipe names is part of the key. The batch in which a channel is rendered, the device and the
    versions of libraries are not: they change nothing but the rounding.
    """
    files = [_named_file_digest(path) for path in (recipe.statistics, recipe.start) if path is not None]
    parts = [RECIPE_VERSION, recipe.settings(), layer, channel, weights_digest, files]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _named_file_digest(path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"the recipe names a file that does not exist: {path}")
    return file_digest(path)
