"""What both networks say of pictures: their classes and probabilities, and how far the one is from the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.colors import normalize
from feature_vis.networks.activations import device_of
from feature_vis.networks.structure import picture_size
from featurediff.data.torch_dataset import normalised
from featurediff.networks import Network, load_network

__all__ = [
    "BothAnswers",
    "Classifier",
    "both_answers",
    "class_count",
    "class_name",
    "load_classifier",
    "named_classes",
    "why_not_comparable",
]

_BATCH = 32


@dataclass(frozen=True)
class Classifier:
    """A network that puts out one number for each class, in `eval` mode, and the names of the classes if known."""

    model: nn.Module  # (B, 3, H, W) normalised as ImageNet's -> (B, K)
    class_names: Sequence[str] | None = None  # K names

    @classmethod
    def of(cls, network: Network) -> "Classifier":
        return cls(network.module(), network.class_names)

    def to(self, device: torch.device) -> "Classifier":
        """On a device; the model itself is moved."""
        return Classifier(self.model.to(device).eval(), self.class_names)


def load_classifier(path: str | Path) -> Classifier:
    """Read what `featurediff.networks.save_network` wrote.

    Raises:
        InputError: a file that is missing, cut off, or something else.
    """
    return Classifier.of(load_network(path))


@dataclass(frozen=True)
class BothAnswers:
    """The outputs of both networks for N pictures, before the softmax; `divergence` and `rise` compare them."""

    base: np.ndarray  # (N, K) float64
    tuned: np.ndarray  # (N, K)

    @property
    def base_class(self) -> np.ndarray:
        """(N,) the number of the largest output."""
        return self.base.argmax(1)

    @property
    def tuned_class(self) -> np.ndarray:
        """(N,) the number of the largest output."""
        return self.tuned.argmax(1)

    @cached_property
    def base_probability(self) -> np.ndarray:
        """(N, K) in [0, 1], each row adds up to 1."""
        return special.softmax(self.base, axis=1)

    @cached_property
    def tuned_probability(self) -> np.ndarray:
        """(N, K) in [0, 1], each row adds up to 1."""
        return special.softmax(self.tuned, axis=1)

    @cached_property
    def divergence(self) -> np.ndarray:
        """(N,) Kullback-Leibler divergence of the tuned network's classes from the base's, KL(tuned‖base), in nats."""
        surprise = special.log_softmax(self.tuned, axis=1) - special.log_softmax(self.base, axis=1)
        return (self.tuned_probability * surprise).sum(1)

    @cached_property
    def rise(self) -> np.ndarray:
        """(N, K) by how much each output rose, relative to the mean of all outputs."""
        rise = self.tuned - self.base
        return rise - rise.mean(1, keepdims=True)


def both_answers(base: Classifier, tuned: Classifier, pictures: Tensor) -> BothAnswers:
    """What both networks say of pictures.

    `pictures`: (N, 3, H, W), uint8 or floats in [0, 1], on any device. The networks stay where they are.
    """
    return BothAnswers(*(_logits(each.model, pictures).double().numpy() for each in (base, tuned)))


def named_classes(base: Classifier, tuned: Classifier, pictures: Tensor) -> np.ndarray:
    """The classes that the base and the tuned network name, (2, N) integers; `pictures` as in `both_answers`."""
    return np.stack([_logits(each.model, pictures).argmax(1).numpy() for each in (base, tuned)])


def _logits(model: nn.Module, pictures: Tensor) -> Tensor:
    """(N, K) on the CPU."""
    with torch.inference_mode():
        found = [model(_input(some, device_of(model))).float().cpu() for some in pictures.split(_BATCH)]
    return torch.cat(found)


def _input(pictures: Tensor, device: torch.device) -> Tensor:
    """(B, 3, H, W), uint8 or floats in [0, 1] -> what a network expects, on the device."""
    moved = pictures.to(device)
    return normalised(moved) if moved.dtype == torch.uint8 else normalize(moved)


def class_name(number: int, base: Classifier, tuned: Classifier) -> str:
    """The name of a class in either network; empty where it is not known."""
    return next((str(each.class_names[number]) for each in (tuned, base) if each.class_names), "")


def class_count(network: Classifier) -> int:
    """How many classes it tells apart, K.

    Raises:
        InputError: it is no classifier of two or more classes.
    """
    shape = _output_shape(network.model)
    if shape is not None and len(shape) == 2 and shape[1] >= 2:
        return shape[1]
    found = "no tensor" if shape is None else f"a tensor of {' × '.join(map(str, shape))} for one picture"
    raise InputError(f"it puts out {found}, not one number for each of two or more classes")


def why_not_comparable(base: Classifier, tuned: Classifier) -> str | None:
    """Why the answers of two networks cannot be compared class by class; None if they can."""
    counts = []
    for which, network in (("the base", base), ("the tuned network", tuned)):
        try:
            counts.append(class_count(network))
        except InputError as error:
            return f"{which} is no classifier: {error}"
    if counts[0] != counts[1]:
        return f"the base has {counts[0]} classes and the tuned network {counts[1]}"
    pairs = enumerate(zip(base.class_names or (), tuned.class_names or (), strict=False))
    if different := [(number, *names) for number, names in pairs if names[0] != names[1]]:
        number, of_base, of_tuned = different[0]
        others = f", and {len(different) - 1} more differ" if len(different) > 1 else ""
        return f"class {number} is {of_base!r} in the base and {of_tuned!r} in the tuned network{others}"
    return None


def _output_shape(model: nn.Module) -> tuple[int, ...] | None:
    """Of one picture; None if the output is no tensor.

    Raises:
        InputError: the network takes no picture of 16 to 640 px.
    """
    size = picture_size(model)
    with torch.inference_mode():
        output = model.eval()(torch.zeros(1, 3, size, size, device=device_of(model)))
    return tuple(output.shape) if isinstance(output, Tensor) else None
