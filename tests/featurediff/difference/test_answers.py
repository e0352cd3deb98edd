"""What two networks say of pictures: against NumPy and SciPy, and when they cannot be compared."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from colour_networks import NAMES, Colours, drawn_colours, networks, outputs_by_hand
from scipy import special, stats
from torch import Tensor, nn

from featurediff.difference.answers import (
    Classifier,
    both_answers,
    class_count,
    class_name,
    load_classifier,
    named_classes,
    why_not_comparable,
)
from featurediff.networks import Network, save_network


def pictures(count: int = 40) -> tuple[np.ndarray, Tensor]:
    """Colours in [0, 1], (N, 3), and pictures of them, (N, 3, 16, 16) uint8."""
    colours = drawn_colours(count)
    return colours / 255, torch.from_numpy(colours)[:, :, None, None].expand(-1, -1, 16, 16)


def test_answers_are_those_of_both_networks() -> None:
    colours, shown = pictures()
    found, (base, tuned) = both_answers(*networks(), shown), outputs_by_hand(colours)
    np.testing.assert_allclose(found.base, base, atol=1e-5)
    np.testing.assert_allclose(found.tuned, tuned, atol=1e-5)
    np.testing.assert_array_equal(found.tuned_class, tuned.argmax(1))
    np.testing.assert_array_equal(named_classes(*networks(), shown), [base.argmax(1), tuned.argmax(1)])
    probabilities = special.softmax(np.stack([base, tuned]), axis=2)
    np.testing.assert_allclose(found.base_probability, probabilities[0], atol=1e-5)
    np.testing.assert_allclose(found.divergence, stats.entropy(probabilities[1], probabilities[0], axis=1), atol=1e-5)
    centred = (tuned - tuned.mean(1, keepdims=True)) - (base - base.mean(1, keepdims=True))
    np.testing.assert_allclose(found.rise, centred, atol=1e-5)
    assert (found.divergence >= 0).all()
    np.testing.assert_allclose(found.rise.sum(1), 0, atol=1e-9)


def test_bytes_and_floats_of_a_picture_get_the_same_answer() -> None:
    _, shown = pictures(5)
    found, again = both_answers(*networks(), shown), both_answers(*networks(), shown.float() / 255)
    np.testing.assert_array_equal(found.tuned, again.tuned)


def test_classes_are_named_where_a_network_knows_them() -> None:
    base, tuned = networks()
    unnamed = Classifier(tuned.model)
    assert class_name(5, base, tuned) == class_name(5, base, unnamed) == class_name(5, unnamed, tuned) == "magenta"
    assert class_name(5, unnamed, unnamed) == ""
    assert class_count(base) == 6


def test_networks_on_disk_bring_their_names(tmp_path: Path, small_weights: Path) -> None:
    assert load_classifier(small_weights).class_names is None
    stored = load_classifier(small_weights).model.state_dict()
    save_network(tmp_path / "named.pth", Network("resnet18", stored, ["ant", "bee"]))
    named = load_classifier(tmp_path / "named.pth")
    assert named.class_names == ["ant", "bee"]
    assert not named.model.training
    assert why_not_comparable(load_classifier(small_weights), named) is None


class Pair(nn.Module):
    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return pictures, pictures


@pytest.mark.parametrize(
    ("tuned", "why"),
    [
        (Classifier(Colours(1.0), NAMES), None),
        (Classifier(Colours(1.0)), None),
        (Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())), "the base has 6 classes and the tuned .* 3"),
        (
            Classifier(Colours(1.0), [*NAMES[:4], "amber", "pink"]),
            "class 4 is 'yellow' in the base and 'amber' .* 1 more",
        ),
        (
            Classifier(nn.Conv2d(3, 2, 3)),
            r"the tuned network is no classifier: it puts out a tensor of 1 × 2 × \d+ × \d+",
        ),
        (
            Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))),
            "a tensor of 1 × 1 for one",
        ),
        (Classifier(Pair()), "the tuned network is no classifier: it puts out no tensor"),
    ],
)
def test_why_two_networks_cannot_be_compared(tuned: Classifier, why: str | None) -> None:
    reason = why_not_comparable(networks()[0], tuned)
    assert reason is None if why is None else re.search(why, str(reason)), reason
