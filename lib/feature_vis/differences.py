"""Objectives of two networks: what they disagree about, and what a network learned that its base did not know.

    base, tuned = Objectives(base_model), Objectives(tuned_model)
    divergence(tuned, base)                     the pictures that both networks classify most differently
    largest_rise(tuned, base)                   the class that rose most, whichever it is
    rise(tuned, base, 309)                      one class
    distance(tuned, base, "layer4.1")           the answers of a layer

Each is an `Objective`: it combines with others by `+ - * /`, and `render([divergence(tuned, base)] * 8, recipe)` gives
eight pictures from different noise. The first three read the networks' outputs, (B, K): the logits of K classes.
Networks with different numbers of classes, or outputs of another shape, are refused with an `InputError` before
anything is rendered. Layers are read after their last ReLU; `feature_vis.objectives` says how.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.objectives import Objective, Objectives, Term, channel_means, precise

__all__ = ["DIVERGENCES", "distance", "divergence", "largest_rise", "rise"]


def divergence(tuned: Objectives, base: Objectives, kind: str = "kl") -> Objective:
    """The divergence of the tuned network's classes from the base's, in nats, 0 or above.

    - `kl`: KL(tuned ‖ base), large where the tuned network believes in a class that the base rules out;
    - `reverse_kl`: KL(base ‖ tuned), large where the tuned network rules out what the base believes in;
    - `js`: the Jensen–Shannon divergence, the mean of both networks' KL from their mean; at most ln 2.

    The probabilities are the softmax of the outputs.

    Raises:
        InputError: another kind.

    Source: Lin 1991, "Divergence Measures Based on the Shannon Entropy".
    """
    if kind not in DIVERGENCES:
        raise InputError(f"a divergence is one of {', '.join(DIVERGENCES)}, not {kind!r}")
    return _Divergence(tuned, base, "", kind)


def largest_rise(tuned: Objectives, base: Objectives, temperature: float = 0.0) -> Objective:
    """The largest rise of any class: max over classes c of r[c] = `rise(tuned, base, c)`, in logits.

    With a temperature T above 0, in logits, it is the soft maximum T log Σ exp(r[c] / T): other classes that have risen
    count as well, the more the higher T is. The maximum follows the class that happens to be ahead from the start; the
    soft one leaves others the time to overtake it.

    Raises:
        InputError: a temperature below 0.
    """
    if not temperature >= 0:
        raise InputError(f"a temperature is 0 or above, not {temperature}")
    return _LargestRise(tuned, base, "", temperature)


def rise(tuned: Objectives, base: Objectives, index: int) -> Objective:
    """By how much the centred logit of one class is higher in the tuned network, in logits.

    With logits t and b it is (t[index] - mean(t)) - (b[index] - mean(b)): what is added to all logits of a network
    changes no probability, so it does not count.
    """
    return _Rise(tuned, base, "", index)


def distance(tuned: Objectives, base: Objectives, layer: str) -> Objective:
    """How far the networks' answers in a layer are apart: the length of their difference, (K,), 0 or above.

    An answer is the mean of each channel's map, in the layer's units. `layer`: dotted name, "" for the output.
    """
    return _Distance(tuned, base, layer)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) of logarithms of probabilities, (B, K) -> (B,)."""
    return (p.exp() * (p - q)).sum(1)


def _js(p: Tensor, q: Tensor) -> Tensor:
    mean = torch.logaddexp(p, q) - math.log(2)
    return (_kl(p, mean) + _kl(q, mean)) / 2


# From the logarithms of the tuned network's and the base's probabilities, (B, K) each, to (B,).
DIVERGENCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": _kl,
    "reverse_kl": lambda p, q: _kl(q, p),
    "js": _js,
}


@dataclass(frozen=True, eq=False)
class _OfTwo(Term):
    """A term of the same layer of two networks."""

    tuned: Objectives
    base: Objectives
    layer: str

    @property
    def reads(self) -> tuple[tuple[Objectives, str], ...]:
        return ((self.tuned, self.layer), (self.base, self.layer))


@dataclass(frozen=True, eq=False)
class _OfClasses(_OfTwo):
    def problem(self, *shapes: tuple[int, ...]) -> str | None:
        tuned, base = shapes
        if len(tuned) != 1 or len(base) != 1:
            seen = " and ".join(str(shape) for shape in dict.fromkeys(shapes))
            return f"{self}: the networks must put out one number per class for a picture, not tensors of shape {seen}"
        if tuned != base:
            return (
                f"{self}: the tuned network has {tuned[0]} classes and the base {base[0]}, so their outputs cannot be "
                "compared; compare a layer that they share"
            )
        return None


@dataclass(frozen=True, eq=False)
class _Divergence(_OfClasses):
    kind: str

    def __str__(self) -> str:
        return f"divergence:{self.kind}"

    def form(self) -> tuple[Any, ...]:
        return (*super().form(), self.kind)

    def evaluate(self, *tensors: Tensor) -> Tensor:
        tuned, base = (precise(logits).log_softmax(1) for logits in tensors)  # (B, K)
        return DIVERGENCES[self.kind](tuned, base)


@dataclass(frozen=True, eq=False)
class _LargestRise(_OfClasses):
    temperature: float

    def __str__(self) -> str:
        return f"largest_rise:{self.temperature:g}" if self.temperature else "largest_rise"

    def form(self) -> tuple[Any, ...]:
        return (*super().form(), self.temperature)

    def evaluate(self, *tensors: Tensor) -> Tensor:
        rises = _rises(*tensors)  # (B, K)
        if not self.temperature:
            return rises.amax(1)
        return self.temperature * (rises / self.temperature).logsumexp(1)


@dataclass(frozen=True, eq=False)
class _Rise(_OfClasses):
    index: int

    def __str__(self) -> str:
        return f"rise:{self.index}"

    def problem(self, *shapes: tuple[int, ...]) -> str | None:
        problem = super().problem(*shapes)
        if problem is None and not 0 <= self.index < shapes[0][0]:
            return f"{self}: the networks have {shapes[0][0]} classes, 0 to {shapes[0][0] - 1}"
        return problem

    @staticmethod
    def places(terms: Sequence[Any], device: torch.device) -> tuple[Tensor, ...]:
        return (torch.tensor([[term.index] for term in terms], device=device),)  # (B, 1)

    def evaluate(self, *tensors: Tensor) -> Tensor:
        tuned, base, index = tensors
        return _rises(tuned, base).gather(1, index).squeeze(1)


@dataclass(frozen=True, eq=False)
class _Distance(_OfTwo):
    def __str__(self) -> str:
        return f"{self.layer or 'logits'}:distance"

    def problem(self, *shapes: tuple[int, ...]) -> str | None:
        tuned, base = (shape[0] for shape in shapes)
        if tuned == base:
            return None
        return f"{self}: the layer has {tuned} channels in the tuned network and {base} in the base"

    def evaluate(self, *tensors: Tensor) -> Tensor:
        tuned, base = (channel_means(precise(activation)) for activation in tensors)  # (B, K)
        return torch.linalg.vector_norm(tuned - base, dim=1)


def _rises(tuned: Tensor, base: Tensor) -> Tensor:
    """Of each class's centred logit, (B, K)."""
    differences = precise(tuned) - precise(base)
    return differences - differences.mean(1, keepdim=True)
