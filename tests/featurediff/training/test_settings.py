"""Settings of a training: what is refused, and what makes another training of it."""

from typing import Any

import pytest

from feature_vis.errors import InputError
from featurediff.training.settings import PACE, TrainingSettings, training_key, training_problems

CHANGES = (
    {"train_from": "layer4", "learning_rate": 0.1, "learning_rate_decay": 0.9, "schedule": "cosine", "step_epochs": 2}
    | {"warmup_epochs": 0.5, "optimizer": "sgd", "weight_decay": 0.1, "momentum": 0.5, "batch_size": 8, "size": 48}
    | {"accumulate_batches": 2, "label_smoothing": 0.1, "class_weights": "balanced", "resize": 50, "rotation": 5.0}
    | {"flip": False, "frozen_statistics": "moving", "augment_validation": True, "rotation_interpolation": "nearest"}
    | {"randaugment": 2, "randaugment_magnitude": 5, "mixup": 0.2, "cutmix": 0.2, "mixed_precision": False}
    | {"channels_last": False, "seed": 3}
)
# not what the weights after an epoch are: how many epochs there are, when they end, and how quick they are
FREE = {"epochs": 9, "patience": 2, "workers": 3, "cache_mb": 5}


def key(*parts: str, **changes: Any) -> str:
    return training_key(TrainingSettings(**{"epochs": 2, **changes}), *(parts or ("m", "s", "d")))


def test_the_key_covers_every_setting_that_decides_weights() -> None:
    assert {*CHANGES, *FREE} == set(TrainingSettings.__dataclass_fields__)
    keys = {key(**{name: value}) for name, value in CHANGES.items()}
    keys |= {key(*parts) for parts in [("m", "s", "d"), ("n", "s", "d"), ("m", "t", "d"), ("m", "s", "e")]}
    assert len(keys) == len(CHANGES) + 4
    assert all(key(**{name: value}) == key() for name, value in FREE.items())
    for schedule in ("linear", "cosine"):  # the rate falls over all epochs
        assert key(schedule=schedule, epochs=9) != key(schedule=schedule)
        assert key(schedule=schedule, workers=9, patience=1) == key(schedule=schedule)


def test_a_setting_that_came_later_trains_nothing_again() -> None:
    given = {"epochs": 3, "batch_size": 4, "size": 32, "learning_rate": 1e-3}
    settings = TrainingSettings(**given, learning_rate_decay=0.7, rotation=20, resize=36)
    assert training_key(settings, "m", "a", "b").startswith("472085a84136")  # as when it had 13 settings
    assert training_key(TrainingSettings(**given), "m", "a", "b").startswith("5235c17f361c")


def test_settings_that_cannot_be_are_all_named() -> None:
    with pytest.raises(InputError, match=r"epochs.*batch_size.*schedule must be step or linear or cosine, not 'sine'"):
        TrainingSettings(epochs=0, batch_size=1, schedule="sine")
    with pytest.raises(InputError, match="learning_rat"):
        TrainingSettings.from_settings({"epochs": 1, "learning_rat": 1})
    assert [name for name, _ in training_problems({"epochs": 3, "warmup_epochs": 3})] == ["warmup_epochs"]
    assert not [*training_problems({"epochs": 3, "warmup_epochs": 2.5}), *training_problems({"epochs": 1})]


WRONG = (
    {"learning_rate": 0, "step_epochs": 0, "warmup_epochs": -1, "momentum": 1, "weight_decay": -0.1, "patience": 0}
    | {"accumulate_batches": 0, "label_smoothing": 1, "randaugment": -1, "randaugment_magnitude": 31, "mixup": -1}
    | {"cutmix": -1, "workers": -1, "cache_mb": -1, "optimizer": "lion", "class_weights": "some"}
)


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_each_value_out_of_its_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        TrainingSettings(epochs=1, **{name: value})


def test_a_jobs_threads_are_no_setting_of_the_training() -> None:
    assert TrainingSettings.from_settings({"epochs": 1, "threads": 4}) == TrainingSettings(epochs=1)
    assert set(PACE) - {"threads"} <= set(FREE)
