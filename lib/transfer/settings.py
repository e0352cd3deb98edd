"""What a user may set for a fine-tuning; no torch here, the workflow reads it while it builds its graph."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from feature_vis.errors import InputError

__all__ = ["CHOICES", "TRAINING_VERSION", "TrainingSettings", "training_key"]

# Raise it when a change to the training changes weights: every network is then trained again.
TRAINING_VERSION = 2

# What the settings that are words may be.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "frozen_statistics": ("held", "moving"),
    "rotation_interpolation": ("bilinear", "nearest"),
}


@dataclass(frozen=True)
class TrainingSettings:
    """The settings that decide a fine-tuning.

    `train_from`: dotted name of the first module that is trained; all before it is frozen, batch-norm statistics
    included; everything is trained where None. `epochs`: passes over the training pictures. `learning_rate`:
    Adam's, multiplied by `learning_rate_decay` after each epoch. `size`: pixels of the square crop. `resize`:
    pixels of the shorter side before the crop (as it is where None). `rotation`: largest angle in degrees, and
    `flip`: mirror half of the pictures; both for training pictures only. `mixed_precision`: bfloat16 on CUDA.
    `workers`: processes that load pictures. `seed`: of the head, the order of the pictures and their augmentation.

    Three settings are there to be what the original was (docs/reference/original.md). `frozen_statistics`: `held`, or
    `moving` with the training pictures, of the batch norms before `train_from`. `augment_validation`: validation
    pictures are cropped, mirrored and rotated as training pictures are. `rotation_interpolation`: between pixels.
    """

    epochs: int
    train_from: str | None = None
    learning_rate: float = 1e-3
    learning_rate_decay: float = 1.0
    batch_size: int = 64
    size: int = 224
    resize: int | None = None
    rotation: float = 0.0
    flip: bool = True
    frozen_statistics: str = "held"
    augment_validation: bool = False
    rotation_interpolation: str = "bilinear"
    mixed_precision: bool = True
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        checks = [
            ("epochs", self.epochs >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("learning_rate_decay", self.learning_rate_decay > 0, "above 0"),
            ("batch_size", self.batch_size >= 2, "at least 2"),
            ("size", self.size >= 16, "at least 16 pixels"),
            ("workers", self.workers >= 0, "0 or above"),
            *[(name, getattr(self, name) in known, " or ".join(known)) for name, known in CHOICES.items()],
        ]
        problems = [f"{name} must be {what}, not {getattr(self, name)!r}" for name, fine, what in checks if not fine]
        if problems:
            raise InputError("the training settings cannot be followed: " + "; ".join(problems))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "TrainingSettings":
        """From the keys of a config; an unknown or missing key is an error."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise InputError(f"a training has no {', '.join(unknown)}: it has {', '.join(sorted(known))}")
        if "epochs" not in settings:
            raise InputError("a training needs its number of epochs")
        return cls(**settings)


def training_key(settings: TrainingSettings, model: str, start_digest: str, split_digest: str) -> str:
    """Digest of all that decides the weights after an epoch: not the number of epochs, nor the loader's workers.

    `start_digest` is of the weights that training starts from, `split_digest` of the table of pictures.
    """
    deciding = {name: value for name, value in asdict(settings).items() if name not in ("epochs", "workers")}
    parts = [TRAINING_VERSION, deciding, model, start_digest, split_digest]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
