"""The settings of a fine-tuning. No torch here: the workflow imports this module while it builds its graph."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from feature_vis.errors import InputError

__all__ = ["CHOICES", "PACE", "TRAINING_VERSION", "TrainingSettings", "training_key", "training_problems"]

# Raise it when a change to the code changes the weights: every network is then trained again.
TRAINING_VERSION = 2

# The values that a setting with a text may have.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "frozen_statistics": ("held", "moving"),
    "rotation_interpolation": ("bilinear", "nearest"),
    "schedule": ("step", "linear", "cosine"),
    "optimizer": ("adam", "adamw", "sgd"),
    "class_weights": ("equal", "balanced"),
}

# These decide how fast a training runs, not what it learns. `threads` are the job's, see `config.plan.Plan`.
PACE = ("threads", "workers", "cache_mb")

# The key of a training always holds these. It holds a setting that was added later only where it differs from its
# default, so that a new setting trains no network again.
_FIRST = {
    *("train_from", "learning_rate", "learning_rate_decay", "batch_size", "mixed_precision", "seed"),
    *("size", "resize", "rotation", "flip", "frozen_statistics", "augment_validation", "rotation_interpolation"),
}


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a fine-tuning. Three of them exist to train as the original did: docs/reference/original.md."""

    # what is trained, and for how long
    epochs: int  # passes over the training photographs
    train_from: str | None = None  # dotted name of the first module that learns, the head aside; None: all learn
    frozen_statistics: str = "held"  # batch-norm statistics before train_from: `held`, or `moving` as in the original
    patience: int | None = None  # stop after this many epochs without a better one; None: never

    # optimizer and learning rate
    optimizer: str = "adam"  # `adam`, `adamw` or `sgd`
    weight_decay: float = 0.0  # for every parameter
    momentum: float = 0.9  # of `sgd` alone
    learning_rate: float = 1e-3  # after the warm-up
    schedule: str = "step"  # `step`; `linear` and `cosine` fall to 0 over all epochs
    step_epochs: int = 1  # with `step`: epochs between two decays
    learning_rate_decay: float = 1.0  # with `step`: factor of each decay
    warmup_epochs: float = 0.0  # epochs over which the rate rises from 0; may be a fraction
    batch_size: int = 64  # photographs in one forward and backward pass
    accumulate_batches: int = 1  # batches whose gradients make one step of the optimizer
    label_smoothing: float = 0.0  # share of the target that is spread over all classes
    class_weights: str = "equal"  # `balanced` weighs a photograph by 1 / (training photographs of its class)

    # photographs; all but size, resize and augment_validation concern those that are trained on
    size: int = 224  # pixels of the square crop's side
    resize: int | None = None  # pixels of the shorter side before the crop; None: as it is
    rotation: float = 0.0  # largest angle either way, degrees
    rotation_interpolation: str = "bilinear"  # between pixels: `bilinear`, or `nearest` as in the original
    flip: bool = True  # mirror half of them
    augment_validation: bool = False  # crop, mirror and rotate validation photographs as well, as the original did
    randaugment: int = 0  # operations of RandAugment on each
    randaugment_magnitude: int = 9  # their strength, 0 to 30
    mixup: float = 0.0  # MixUp: parameter of the Beta distribution of the shares of two photographs; 0: no MixUp
    cutmix: float = 0.0  # CutMix: the same

    # how fast it runs
    mixed_precision: bool = True  # bfloat16 on CUDA
    channels_last: bool = True  # the memory layout in which convolutions are faster
    workers: int | None = None  # processes that load photographs; None: see `loading.loading_processes`
    cache_mb: int = 1000  # memory for decoded photographs, 10^6 bytes

    seed: int = 0  # of the head's weights, the order of the photographs and their augmentation

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
            ("resize", self.resize is None or self.resize >= 16, "at least 16 pixels"),
            ("rotation", 0 <= self.rotation <= 180, "0 to 180 degrees"),
            ("randaugment_magnitude", 0 <= self.randaugment_magnitude <= 30, "0 to 30"),
            *[
                (name, (getattr(self, name) or 0) >= 0, "0 or above")
                for name in ("warmup_epochs", "weight_decay", "randaugment", "mixup", "cutmix", "workers", "cache_mb")
            ],
            *[(name, getattr(self, name) in known, " or ".join(known)) for name, known in CHOICES.items()],
        ]
        problems = [f"{name} must be {what}, not {getattr(self, name)!r}" for name, fine, what in checks if not fine]
        if problems:
            raise InputError("these training settings are not possible: " + "; ".join(problems))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "TrainingSettings":
        """From a config's mapping, whose `threads` are left out.

        Raises:
            InputError: an unknown key, no `epochs`, or a value out of its range.
        """
        known = {field.name for field in fields(cls)}
        settings = {name: value for name, value in settings.items() if name != "threads"}
        if unknown := sorted(set(settings) - known):
            raise InputError(f"unknown training settings: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        if "epochs" not in settings:
            raise InputError("a training needs its number of epochs")
        return cls(**settings)


def training_key(settings: TrainingSettings, model: str, start_digest: str, split_digest: str) -> str:
    """SHA-256 of all that decides the weights after an epoch, 64 hex digits.

    The number of epochs is part of it only where the learning rate depends on it (`linear` and `cosine`). `model`: the
    architecture's name; `start_digest`: of the weights that training starts from; `split_digest`: of the split's file.
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
    """Values of a config's training that are allowed alone but not together: each one's key, and the reason."""
    warmup, epochs = training.get("warmup_epochs", 0), training.get("epochs")
    if epochs is not None and warmup >= epochs:
        yield "warmup_epochs", f"the warm-up takes {warmup} of {epochs} epochs: make it shorter than the training"
