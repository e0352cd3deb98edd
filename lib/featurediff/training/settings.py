"""What a user may set for a fine-tuning; no torch here, the workflow reads it while it builds its graph."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from feature_vis.errors import InputError

__all__ = ["CHOICES", "PACE", "TRAINING_VERSION", "TrainingSettings", "training_key", "training_problems"]

# Raise it when a change to the training changes weights: every network is then trained again.
TRAINING_VERSION = 2

# What the settings that are words may be.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "frozen_statistics": ("held", "moving"),
    "rotation_interpolation": ("bilinear", "nearest"),
    "schedule": ("step", "linear", "cosine"),
    "optimizer": ("adam", "adamw", "sgd"),
    "class_weights": ("equal", "balanced"),
}

# How quick a training is, not what it learns. `threads` are the job's: `featurediff.config.plan.Plan.training_threads`.
PACE = ("threads", "workers", "cache_mb")

# The key of a training holds these always, settings that came later only where they are not at their default: so a
# new setting trains no network again.
_FIRST = {
    *("train_from", "learning_rate", "learning_rate_decay", "batch_size", "mixed_precision", "seed"),
    *("size", "resize", "rotation", "flip", "frozen_statistics", "augment_validation", "rotation_interpolation"),
}


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a fine-tuning.

    `train_from`: dotted name of the first module that is trained; all before it is frozen, batch-norm statistics
    included; everything is trained where None. `epochs`: passes over the training pictures; `patience`: epochs without
    a better one after which it stops before (never where None).

    `optimizer`: `adam`, `adamw` or `sgd`, with `weight_decay` and, for `sgd`, `momentum`. `learning_rate`: its rate at
    first. `schedule`: `step` multiplies it by `learning_rate_decay` after every `step_epochs` epochs, `linear` and
    `cosine` take it to 0 over all epochs; over the first `warmup_epochs` (may be a fraction) it rises from 0.
    `batch_size`: pictures whose gradient is computed at a time; a step takes that of `accumulate_batches` batches.
    `label_smoothing`: share of the target that is spread over all classes. `class_weights`: `balanced` weighs each
    picture by the inverse of its class's number of training pictures.

    `size`: pixels of the square crop. `resize`: pixels of the shorter side before the crop (as it is where None).
    Training pictures only: `rotation`, the largest angle in degrees; `flip`, mirror half of them; `randaugment`,
    operations of RandAugment on each, of `randaugment_magnitude` (0 to 30); `mixup` and `cutmix`, the parameter of the
    Beta distribution from which the shares are drawn in which two pictures are mixed (0 for never).

    `mixed_precision`: bfloat16 on CUDA. `channels_last`: the order of values in memory in which convolutions are
    quicker. `workers`: processes that load pictures (None: see `featurediff.training.loading.loading_processes`).
    `cache_mb`: 10^6 bytes of memory for decoded pictures. `seed`: of the head, the order of the pictures and their
    augmentation.

    Three settings are there to be what the original was (docs/reference/original.md). `frozen_statistics`: `held`, or
    `moving` with the training pictures, of the batch norms before `train_from`. `augment_validation`: validation
    pictures are cropped, mirrored and rotated as training pictures are. `rotation_interpolation`: between pixels.
    """

    epochs: int
    train_from: str | None = None
    learning_rate: float = 1e-3
    learning_rate_decay: float = 1.0
    schedule: str = "step"
    step_epochs: int = 1
    warmup_epochs: float = 0.0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.9
    batch_size: int = 64
    accumulate_batches: int = 1
    label_smoothing: float = 0.0
    class_weights: str = "equal"
    patience: int | None = None
    size: int = 224
    resize: int | None = None
    rotation: float = 0.0
    flip: bool = True
    frozen_statistics: str = "held"
    augment_validation: bool = False
    rotation_interpolation: str = "bilinear"
    randaugment: int = 0
    randaugment_magnitude: int = 9
    mixup: float = 0.0
    cutmix: float = 0.0
    mixed_precision: bool = True
    channels_last: bool = True
    workers: int | None = None
    cache_mb: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        checks = [
            ("epochs", self.epochs >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("learning_rate_decay", self.learning_rate_decay > 0, "above 0"),
            ("step_epochs", self.step_epochs >= 1, "at least 1"),
            ("momentum", 0 <= self.momentum < 1, "0 or above and below 1"),
            ("batch_size", self.batch_size >= 2, "at least 2"),
            ("accumulate_batches", self.accumulate_batches >= 1, "at least 1"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 or above and below 1"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1"),
            ("size", self.size >= 16, "at least 16 pixels"),
            ("randaugment_magnitude", 0 <= self.randaugment_magnitude <= 30, "0 to 30"),
            *[
                (name, (getattr(self, name) or 0) >= 0, "0 or above")
                for name in ("warmup_epochs", "weight_decay", "randaugment", "mixup", "cutmix", "workers", "cache_mb")
            ],
            *[(name, getattr(self, name) in known, " or ".join(known)) for name, known in CHOICES.items()],
        ]
        problems = [f"{name} must be {what}, not {getattr(self, name)!r}" for name, fine, what in checks if not fine]
        if problems:
            raise InputError("the training settings cannot be followed: " + "; ".join(problems))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "TrainingSettings":
        """From the keys of a config, without its `threads`; an unknown or missing key is an error."""
        known = {field.name for field in fields(cls)}
        settings = {name: value for name, value in settings.items() if name != "threads"}
        if unknown := sorted(set(settings) - known):
            raise InputError(f"a training has no {', '.join(unknown)}: it has {', '.join(sorted(known))}")
        if "epochs" not in settings:
            raise InputError("a training needs its number of epochs")
        return cls(**settings)


def training_key(settings: TrainingSettings, model: str, start_digest: str, split_digest: str) -> str:
    """Digest of all that decides the weights after an epoch: not how many epochs there are, nor how they are loaded.

    Only where the learning rate falls over all epochs does their number decide. `start_digest` is of the weights that
    training starts from, `split_digest` of the table of pictures.
    """
    usual = {field.name: field.default for field in fields(TrainingSettings)}
    passed_over = {*PACE, "patience"} if settings.schedule != "step" else {*PACE, "patience", "epochs"}
    deciding = {
        name: value
        for name, value in asdict(settings).items()
        if name in _FIRST or (name not in passed_over and value != usual[name])
    }
    parts = [TRAINING_VERSION, deciding, model, start_digest, split_digest]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def training_problems(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of a training in a config whose every value is allowed by itself: the key, and why it goes with no other."""
    warmup, epochs = training.get("warmup_epochs", 0), training.get("epochs")
    if epochs is not None and warmup >= epochs:
        yield "warmup_epochs", f"the learning rate rises over {warmup} epochs, and {epochs} are trained: make it less"
