"""How a picture is made, in full, and the key that says whether a picture on disk is still current.

No torch here: the workflow reads this module while it builds its graph.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from feature_vis.errors import InputError

__all__ = ["RECIPE_VERSION", "Recipe", "content_key"]

# Raise it when a change to the renderer changes pictures: every picture is then made again.
RECIPE_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """The settings that decide a picture.

    `size`: height and width in pixels. `steps`: of Adam. `learning_rate`: Adam's, in spectrum units.
    `objective`: `pre_relu` reads what enters the target's last ReLU, `post_relu` the target's output, as the
    original does. `transforms`: a preset of `feature_vis.transforms`. `decay_power`: of the spectrum's 1/f.
    `seed`: of the start and of the transforms.
    """

    size: int = 128
    steps: int = 256
    learning_rate: float = 0.05
    objective: str = "pre_relu"
    transforms: str = "small"
    decay_power: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be {what}, not {value!r}"
            for name, value, fine, what in [
                ("size", self.size, self.size >= 16, "at least 16 pixels"),
                ("steps", self.steps, self.steps >= 1, "at least 1"),
                ("learning_rate", self.learning_rate, self.learning_rate > 0, "above 0"),
                ("decay_power", self.decay_power, self.decay_power >= 0, "0 or above"),
                ("objective", self.objective, self.objective in ("pre_relu", "post_relu"), "pre_relu or post_relu"),
            ]
            if not fine
        ]
        if problems:
            raise InputError("the recipe cannot be followed: " + "; ".join(problems))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "Recipe":
        """From the keys of a config; an unknown key is an error."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise InputError(f"a recipe has no {', '.join(unknown)}: it has {', '.join(sorted(known))}")
        return cls(**settings)

    def settings(self) -> dict[str, Any]:
        """All settings by name, for a table or a PNG's text."""
        return asdict(self)


def content_key(recipe: Recipe, layer: str, channel: int, weights_digest: str) -> str:
    """Digest, 64 hex digits, of all that decides the picture of one channel.

    `weights_digest` is `feature_vis.models.weights_digest` of the network up to the layer. Not in it, because
    they change no more than the rounding: the batch a channel is rendered in, the device, the versions of the
    libraries.
    """
    parts = [RECIPE_VERSION, recipe.settings(), layer, channel, weights_digest]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
