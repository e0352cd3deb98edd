"""What a picture is optimised for: expressions over the channels of one network or of several.

    base, tuned = Objectives(base_model), Objectives(tuned_model)
    base("layer4.2", 7)                               a channel: the mean of its map
    tuned("layer4.2", 7) - base("layer4.2", 7)        what excites the tuned channel and not the base's
    2 * base.logit(309) - base.logit(310)             numbers and objectives mix; `-objective` is minimised

Every objective is maximised. `str(objective)` does not contain the network, so the same expression on another network
starts from the same noise and meets the same transforms. An expression is data; `feature_vis.evaluation` evaluates it.

Where a layer ends in a ReLU, a recipe with `objective: pre_relu` reads each occurrence of a term in one of two ways:

- *Before the ReLU*, if the objective rises linearly with every activation that the term reads, as in `a`, `2 * a - 1`
  or `a - b` for `a`. So a unit that is off has a gradient, and the trajectory shows it rise.
- *After the ReLU* otherwise: with a negative coefficient (`b` in `a - b`), in a product or quotient of two expressions
  that both read networks, and in terms that are not linear or have negative weights (`Layer`, some directions). The
  value is the ReLU's. Where the unit is off, a gradient passes only if it raises the unit. So the objective gains
  nothing from a unit far below zero, and `a` in `a / (1 + b)` rises though it is off.

Signs are followed through the whole expression: `a - b`, `-b + a` and `-2 * (b - a) / 2` have the same gradient. A
coefficient of zero counts as not positive. A product of two units that are both off is zero and has no gradient.
`Diversity` is always read before the ReLU: after it, pictures whose units are off could not be told apart.

Source: lucid `optvis/objectives.py`.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD

__all__ = [
    "OPERATORS",
    "Channel",
    "Combined",
    "Constant",
    "Direction",
    "Diversity",
    "Layer",
    "Neuron",
    "Objective",
    "Objectives",
    "Term",
    "channel_means",
    "precise",
    "reads",
    "terms",
]


@dataclass(frozen=True, eq=False)
class Objectives:
    """The objectives of one network.

    Pictures in [0, 1] are normalised by `mean` and `std`, of one number per colour channel, before the network gets
    them. `hook(module, inputs, output)` may make the activation, (B, K, …), from a layer's output.
    """

    model: nn.Module  # takes (B, C, H, W)
    mean: tuple[float, ...] = IMAGENET_MEAN  # C numbers
    std: tuple[float, ...] = IMAGENET_STD  # C numbers
    hook: Callable[[nn.Module, Any, Any], Tensor] | None = None

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise InputError(f"mean has {len(self.mean)} values and std {len(self.std)}: give one per channel")

    def __call__(self, layer: str, channel: int) -> Channel:
        """The mean of one channel's map; in a linear layer, the channel itself."""
        return Channel(self, layer, channel)

    def logit(self, index: int) -> Channel:
        """One output of the network, such as a class before the softmax."""
        return Channel(self, "", index)

    def neuron(self, layer: str, channel: int, at: tuple[int, int] | None = None) -> Neuron:
        """One channel at one position of its map, (row, column), by default its centre."""
        return Neuron(self, layer, channel, at)

    def direction(self, layer: str, vector: Tensor, cosine_power: float = 0.0) -> Direction:
        """The activation along a direction in channel space, (K,), averaged over positions.

        With a `cosine_power` above 0, each position's dot product is multiplied by max(cosine, 0.1) ** cosine_power, so
        that activations which point elsewhere count less, however large they are. Source: lucid `optvis/objectives.py`,
        `direction` and `_dot_cossim`.

        Raises:
            InputError: a power below 0, or not finite.
        """
        if not 0 <= cosine_power < math.inf:
            raise InputError(f"cosine_power must be 0 or above, not {cosine_power}")
        return Direction(self, layer, vector.detach().float().cpu(), float(cosine_power))

    def layer(self, layer: str) -> Layer:
        """The mean square of all activations of a layer: deep dream."""
        return Layer(self, layer)

    def diversity(self, layer: str) -> Diversity:
        """How much the pictures of one set differ in a layer; see `Diversity`."""
        return Diversity(self, layer)


@dataclass(frozen=True, eq=False)
class Objective:
    """An expression with one value for each picture."""

    def __add__(self, other: Objective | float) -> Objective:
        return Combined("+", self, _objective(other))

    def __radd__(self, other: float) -> Objective:
        return Combined("+", _objective(other), self)

    def __sub__(self, other: Objective | float) -> Objective:
        return Combined("-", self, _objective(other))

    def __rsub__(self, other: float) -> Objective:
        return Combined("-", _objective(other), self)

    def __mul__(self, other: Objective | float) -> Objective:
        return Combined("*", self, _objective(other))

    def __rmul__(self, other: float) -> Objective:
        return Combined("*", _objective(other), self)

    def __truediv__(self, other: Objective | float) -> Objective:
        return Combined("/", self, _objective(other))

    def __rtruediv__(self, other: float) -> Objective:
        return Combined("/", _objective(other), self)

    def __neg__(self) -> Objective:
        return Combined("*", Constant(-1.0), self)

    def parts(self) -> tuple[Objective, ...]:
        """The objectives that this one combines."""
        return ()


def _objective(value: Objective | float) -> Objective:
    return value if isinstance(value, Objective) else Constant(float(value))


@dataclass(frozen=True, eq=False)
class Constant(Objective):
    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


# of lucid's `_dot_cossim`: the floor of a cosine, and what is added to lengths
_LEAST_COSINE = 0.1
_LEAST_LENGTH = 1e-4

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@dataclass(frozen=True, eq=False)
class Combined(Objective):
    symbol: str
    left: Objective
    right: Objective

    def parts(self) -> tuple[Objective, ...]:
        return (self.left, self.right)

    def __str__(self) -> str:
        return f"({self.left} {self.symbol} {self.right})"


@dataclass(frozen=True, eq=False)
class Term(Objective):
    """An objective read from layers of networks. Those with the same `form` are evaluated together.

    `problem` says why the term cannot be read from the activations of one picture, each of shape (K, …), or is None.
    `places` makes tensors on a device of many terms of one form, one for each row of an activation, and `evaluate`
    takes the activations, (B, K, …), and those tensors -> (B,).
    """

    @property
    def reads(self) -> tuple[tuple[Objectives, str], ...]:
        """Networks and layers."""
        raise NotImplementedError

    def form(self) -> tuple[Any, ...]:
        return (type(self), self.reads)

    def is_before_relu(self, sign: int) -> bool:
        """Whether it is read before the ReLU; `sign`: of its coefficient, 0 where the objective is not linear in it."""
        return False

    def problem(self, *shapes: tuple[int, ...]) -> str | None:
        return None

    @staticmethod
    def places(terms: Sequence[Any], device: torch.device) -> tuple[Tensor, ...]:
        return ()

    def evaluate(self, *tensors: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class _OfLayer(Term):
    """A term of one layer of one network."""

    source: Objectives
    layer: str

    @property
    def reads(self) -> tuple[tuple[Objectives, str], ...]:
        return ((self.source, self.layer),)

    @property
    def where(self) -> str:
        """The layer, for messages."""
        return self.layer or "the output"


@dataclass(frozen=True, eq=False)
class Channel(_OfLayer):
    channel: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}" if self.layer else f"logit:{self.channel}"

    def is_before_relu(self, sign: int) -> bool:
        return sign > 0

    def problem(self, *shapes: tuple[int, ...]) -> str | None:
        return _no_channel(self.where, self.channel, *shapes)

    @staticmethod
    def places(terms: Sequence[Channel], device: torch.device) -> tuple[Tensor, ...]:
        return _rows_and_channels(terms, device)

    def evaluate(self, *tensors: Tensor) -> Tensor:
        activation, rows, channels = tensors
        maps = precise(activation[rows, channels])  # (B, …)
        return maps.flatten(1).mean(1) if maps.dim() > 1 else maps


@dataclass(frozen=True, eq=False)
class Neuron(_OfLayer):
    channel: int
    at: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}@{'centre' if self.at is None else f'{self.at[0]},{self.at[1]}'}"

    def is_before_relu(self, sign: int) -> bool:
        return sign > 0

    def problem(self, *shapes: tuple[int, ...]) -> str | None:
        (shape,) = shapes
        if len(shape) != 3:
            return f"{self.where} has no map with rows and columns, so its neurons have no position"
        if self.at is not None and not all(0 <= place < side for place, side in zip(self.at, shape[1:], strict=True)):
            return f"{self.where} has no position {self.at}: its map is {shape[1]} × {shape[2]}"
        return _no_channel(self.where, self.channel, shape)

    @staticmethod
    def places(terms: Sequence[Neuron], device: torch.device) -> tuple[Tensor, ...]:
        positions = torch.tensor([term.at or (-1, -1) for term in terms], device=device)  # (B, 2), -1 for the centre
        return *_rows_and_channels(terms, device), *positions.unbind(1)

    def evaluate(self, *tensors: Tensor) -> Tensor:
        activation, rows, channels, y, x = tensors
        h, w = activation.shape[2:]
        return precise(activation[rows, channels, torch.where(y < 0, h // 2, y), torch.where(x < 0, w // 2, x)])


@dataclass(frozen=True, eq=False)
class Direction(_OfLayer):
    vector: Tensor = field(repr=False)
    cosine_power: float = 0.0

    def __str__(self) -> str:
        digest = hashlib.sha256(self.vector.numpy().tobytes()).hexdigest()  # keeps two directions of a layer apart
        power = f"-cosine-{self.cosine_power:g}" if self.cosine_power else ""
        return f"{self.layer}:direction-{digest[:12]}{power}"

    def form(self) -> tuple[Any, ...]:
        return (*super().form(), self.cosine_power)

    def is_before_relu(self, sign: int) -> bool:
        return sign != 0 and self.cosine_power == 0 and bool((sign * self.vector >= 0).all())

    def problem(self, *shapes: tuple[int, ...]) -> str | None:
        (shape,) = shapes
        if tuple(self.vector.shape) == shape[:1]:
            return None
        return f"{self.where}: a direction needs one number per channel, {shape[0]}, not {tuple(self.vector.shape)}"

    @staticmethod
    def places(terms: Sequence[Direction], device: torch.device) -> tuple[Tensor, ...]:
        return (torch.stack([term.vector for term in terms]).to(device),)  # (B, K)

    def evaluate(self, *tensors: Tensor) -> Tensor:
        activation = precise(tensors[0])
        vectors = tensors[1].to(activation)  # (B, K)
        if self.cosine_power == 0:
            return (channel_means(activation) * vectors).sum(1)
        places = activation.flatten(2) if activation.dim() > 2 else activation.unsqueeze(2)  # (B, K, N)
        dots = (places * vectors.unsqueeze(2)).sum(1)  # (B, N)
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True) + _LEAST_LENGTH  # (B, 1)
        cosines = dots / (torch.linalg.vector_norm(places, dim=1) + _LEAST_LENGTH) / lengths
        return (dots * cosines.clamp_min(_LEAST_COSINE) ** self.cosine_power).mean(1)


@dataclass(frozen=True, eq=False)
class Layer(_OfLayer):
    def __str__(self) -> str:
        return f"{self.layer}:layer"

    def evaluate(self, *tensors: Tensor) -> Tensor:
        return precise(tensors[0]).flatten(1).square().mean(1)


@dataclass(frozen=True, eq=False)
class Diversity(_OfLayer):
    """One minus the mean cosine similarity between the layer's Gram matrix for this picture and for others of its set.

    It is 0 where all are equal, and at most 1. A set consists of the copies of one objective that are rendered
    together: `render([objective] * 4, …)`.

    Source: Olah et al. 2017, "The Enemy of Diversity"; lucid `objectives.diversity`.
    """

    def __str__(self) -> str:
        return f"{self.layer}:diversity"

    def is_before_relu(self, sign: int) -> bool:
        return True  # units that are off tell pictures apart, too

    @staticmethod
    def places(terms: Sequence[Diversity], device: torch.device) -> tuple[Tensor, ...]:
        is_other = torch.tensor([[a is b for b in terms] for a in terms])  # (B, B), of the same set
        return (is_other.fill_diagonal_(False).to(device),)

    def evaluate(self, *tensors: Tensor) -> Tensor:
        activation, is_other = precise(tensors[0]), tensors[1]
        features = activation.flatten(2) if activation.dim() > 2 else activation.unsqueeze(2)  # (B, K, N)
        grams = (features @ features.transpose(1, 2)).flatten(1)  # (B, K * K)
        grams = torch.nn.functional.normalize(grams, dim=1)
        return 1 - ((grams @ grams.T) * is_other).sum(1) / is_other.sum(1).clamp_min(1)


def _rows_and_channels(terms: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Each row and its own channel, twice (B,)."""
    return torch.arange(len(terms), device=device), torch.tensor([term.channel for term in terms], device=device)


def precise(values: Tensor) -> Tensor:
    """At least float32, for means and sums; of an activation only what is read, since all of it is large."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def channel_means(activation: Tensor) -> Tensor:
    """Means over positions, (B, K, …) -> (B, K)."""
    return activation.flatten(2).mean(2) if activation.dim() > 2 else activation


def _no_channel(where: str, channel: int, shape: tuple[int, ...]) -> str | None:
    count = shape[0]
    return None if 0 <= channel < count else f"{where} has no channel {channel}: it has {count}, 0 to {count - 1}"


def terms(objective: Objective) -> Iterator[Term]:
    """The leaves of an expression that are read from networks."""
    if isinstance(objective, Term):
        yield objective
    for part in objective.parts():
        yield from terms(part)


def reads(objective: Objective) -> Iterator[tuple[Objectives, str]]:
    """The networks and layers that an expression is read from, as often as its terms read them."""
    for term in terms(objective):
        yield from term.reads
