"""What a picture is optimised for: expressions over the channels of one network or of several.

    base, tuned = Objectives(base_model), Objectives(tuned_model)
    base("layer4.2", 7)                               a channel: the mean of its map
    tuned("layer4.2", 7) - base("layer4.2", 7)        what excites the tuned channel and not the base's
    2 * base.logit(309) - base.logit(310)             numbers and objectives mix; `-objective` is minimised

Every objective is maximised. `str(objective)` does not contain the network, so the same expression on another network
starts from the same noise and meets the same transforms.

An expression is data; `values` evaluates many at once, each for its own picture of a batch.
Source: lucid `optvis/objectives.py`.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["Channel", "Direction", "Diversity", "Layer", "Neuron", "Objective", "Objectives", "terms", "values"]

ReadActivation = Callable[["Objectives", str], Tensor]  # a network and a layer -> its activation, (B, K, …)


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

    def direction(self, layer: str, vector: Tensor) -> Direction:
        """The activation along a direction in channel space, (K,), averaged over positions."""
        return Direction(self, layer, vector.detach().float().cpu())

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


_OPERATORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
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
    """An objective read from one layer of one network.

    `evaluate` takes the activation, (B, K, …), and one term for each row, all of one class -> (B,). `problem` says why
    the term cannot be read from the activation of one picture, of shape (K, …), or is None.
    """

    source: Objectives
    layer: str

    @property
    def where(self) -> str:
        """The layer, for messages."""
        return self.layer or "the output"

    def problem(self, shape: tuple[int, ...]) -> str | None:
        return None

    @staticmethod
    def evaluate(activation: Tensor, terms: Sequence[Any]) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Channel(Term):
    channel: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}" if self.layer else f"logit:{self.channel}"

    def problem(self, shape: tuple[int, ...]) -> str | None:
        return _no_channel(self.where, self.channel, shape)

    @staticmethod
    def evaluate(activation: Tensor, terms: Sequence[Channel]) -> Tensor:
        maps = _of_channels(activation, terms)  # (B, …)
        return maps.flatten(1).mean(1) if maps.dim() > 1 else maps


@dataclass(frozen=True, eq=False)
class Neuron(Term):
    channel: int
    at: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}@{'centre' if self.at is None else f'{self.at[0]},{self.at[1]}'}"

    def problem(self, shape: tuple[int, ...]) -> str | None:
        if len(shape) != 3:
            return f"{self.where} has no map with rows and columns, so its neurons have no position"
        if self.at is not None and not all(0 <= place < side for place, side in zip(self.at, shape[1:], strict=True)):
            return f"{self.where} has no position {self.at}: its map is {shape[1]} × {shape[2]}"
        return _no_channel(self.where, self.channel, shape)

    @staticmethod
    def evaluate(activation: Tensor, terms: Sequence[Neuron]) -> Tensor:
        maps = _of_channels(activation, terms)  # (B, h, w)
        h, w = maps.shape[1:]
        places = [term.at if term.at is not None else (h // 2, w // 2) for term in terms]
        y, x = torch.tensor(places, device=maps.device).unbind(1)
        return maps[torch.arange(len(maps), device=maps.device), y, x]


@dataclass(frozen=True, eq=False)
class Direction(Term):
    vector: Tensor = field(repr=False)

    def __str__(self) -> str:
        digest = hashlib.sha256(self.vector.numpy().tobytes()).hexdigest()  # keeps two directions of a layer apart
        return f"{self.layer}:direction-{digest[:12]}"

    def problem(self, shape: tuple[int, ...]) -> str | None:
        if tuple(self.vector.shape) == shape[:1]:
            return None
        return f"{self.where}: a direction needs one number per channel, {shape[0]}, not {tuple(self.vector.shape)}"

    @staticmethod
    def evaluate(activation: Tensor, terms: Sequence[Direction]) -> Tensor:
        means = activation.flatten(2).mean(2) if activation.dim() > 2 else activation  # (B, K)
        return (means * torch.stack([term.vector for term in terms]).to(means)).sum(1)


@dataclass(frozen=True, eq=False)
class Layer(Term):
    def __str__(self) -> str:
        return f"{self.layer}:layer"

    @staticmethod
    def evaluate(activation: Tensor, terms: Sequence[Layer]) -> Tensor:
        return activation.flatten(1).square().mean(1)


@dataclass(frozen=True, eq=False)
class Diversity(Term):
    """One minus the mean cosine similarity between the layer's Gram matrix for this picture and for others of its set.

    It is 0 where all are equal, and at most 1. A set consists of the copies of one objective that are rendered
    together: `render([objective] * 4, …)`.

    Source: Olah et al. 2017, "The Enemy of Diversity"; lucid `objectives.diversity`.
    """

    def __str__(self) -> str:
        return f"{self.layer}:diversity"

    @staticmethod
    def evaluate(activation: Tensor, terms: Sequence[Diversity]) -> Tensor:
        features = activation.flatten(2) if activation.dim() > 2 else activation.unsqueeze(2)  # (B, K, N)
        grams = (features @ features.transpose(1, 2)).flatten(1)  # (B, K * K)
        grams = torch.nn.functional.normalize(grams, dim=1)
        is_other = torch.tensor([[a is b for b in terms] for a in terms], device=grams.device)  # (B, B), same set
        is_other.fill_diagonal_(False)
        return 1 - ((grams @ grams.T) * is_other).sum(1) / is_other.sum(1).clamp_min(1)


def _of_channels(activation: Tensor, terms: Sequence[Any]) -> Tensor:
    """Each row's own channel: (B, K, …) -> (B, …)."""
    rows = torch.arange(len(terms), device=activation.device)
    return activation[rows, torch.tensor([term.channel for term in terms], device=activation.device)]


def _no_channel(where: str, channel: int, shape: tuple[int, ...]) -> str | None:
    count = shape[0]
    return None if 0 <= channel < count else f"{where} has no channel {channel}: it has {count}, 0 to {count - 1}"


def terms(objective: Objective) -> Iterator[Term]:
    """The leaves of an expression that are read from a network."""
    if isinstance(objective, Term):
        yield objective
    for part in objective.parts():
        yield from terms(part)


def values(objectives: Sequence[Objective], read: ReadActivation, device: torch.device) -> Tensor:
    """Evaluate objective b on picture b of a batch -> (B,).

    `read(source, layer)` gives the layer's activation for the whole batch, (B, K, …). Expressions of one form are
    evaluated together.
    """
    return _evaluate(objectives, list(range(len(objectives))), read, device)


def _evaluate(nodes: Sequence[Objective], rows: list[int], read: ReadActivation, device: torch.device) -> Tensor:
    """`nodes[i]` for picture `rows[i]` -> (len(nodes),)."""
    forms = [_form(node) for node in nodes]
    parts, order = [], []
    for form in dict.fromkeys(forms):
        picked = [i for i, other in enumerate(forms) if other == form]
        parts.append(_evaluate_alike([nodes[i] for i in picked], [rows[i] for i in picked], read, device))
        order += picked
    return parts[0] if len(parts) == 1 else torch.cat(parts)[torch.tensor(order).argsort()]


def _form(node: Objective) -> tuple[Any, ...]:
    """What two nodes must share to be evaluated together."""
    if isinstance(node, Term):
        return (type(node), id(node.source), node.layer)
    return (type(node), node.symbol) if isinstance(node, Combined) else (type(node),)


def _evaluate_alike(nodes: Sequence[Any], rows: list[int], read: ReadActivation, device: torch.device) -> Tensor:
    first = nodes[0]
    if isinstance(first, Combined):
        left = _evaluate([node.left for node in nodes], rows, read, device)
        return _OPERATORS[first.symbol](left, _evaluate([node.right for node in nodes], rows, read, device))
    if isinstance(first, Term):
        activation = read(first.source, first.layer)
        if problems := [problem for node in nodes if (problem := node.problem(tuple(activation.shape[1:])))]:
            raise InputError("\n".join(dict.fromkeys(problems)))
        whole = rows == list(range(len(activation)))
        return first.evaluate(activation if whole else activation[rows], nodes)
    return torch.tensor([node.value for node in nodes], device=device)
