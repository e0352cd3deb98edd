"""What a picture is optimised for: expressions over the channels of one network or of several.

    base, tuned = Objectives(base_model), Objectives(tuned_model)
    base("layer4.2", 7)                               a channel: the mean of its map
    tuned("layer4.2", 7) - base("layer4.2", 7)        what excites the tuned channel and not the base's
    2 * base.logit(309) - base.logit(310)             numbers and objectives mix; `-objective` is minimised

Every objective is maximised. `str(objective)` does not contain the network, so the same expression on another network
starts from the same noise and meets the same transforms.

An expression is data; `evaluator` makes of many a function that evaluates them at once, each for its own picture of a
batch. Source: lucid `optvis/objectives.py`.
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

__all__ = [
    "Channel",
    "Direction",
    "Diversity",
    "Evaluate",
    "Layer",
    "Neuron",
    "Objective",
    "Objectives",
    "ReadActivation",
    "evaluator",
    "terms",
    "values",
]

ReadActivation = Callable[["Objectives", str], Tensor]  # a network and a layer -> its activation, (B, K, …)
Evaluate = Callable[[ReadActivation], Tensor]  # -> one value for each picture, (B,)


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

    `problem` says why the term cannot be read from the activation of one picture, of shape (K, …), or is None.
    `places` makes tensors on a device of many terms of one class, one for each row of an activation, and `evaluate`
    takes the activation, (B, K, …), and those tensors -> (B,).
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
    def places(terms: Sequence[Any], device: torch.device) -> tuple[Tensor, ...]:
        return ()

    @staticmethod
    def evaluate(activation: Tensor, *places: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Channel(Term):
    channel: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel}" if self.layer else f"logit:{self.channel}"

    def problem(self, shape: tuple[int, ...]) -> str | None:
        return _no_channel(self.where, self.channel, shape)

    @staticmethod
    def places(terms: Sequence[Channel], device: torch.device) -> tuple[Tensor, ...]:
        return _rows_and_channels(terms, device)

    @staticmethod
    def evaluate(activation: Tensor, *places: Tensor) -> Tensor:
        rows, channels = places
        maps = _precise(activation[rows, channels])  # (B, …)
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
    def places(terms: Sequence[Neuron], device: torch.device) -> tuple[Tensor, ...]:
        positions = torch.tensor([term.at or (-1, -1) for term in terms], device=device)  # (B, 2), -1 for the centre
        return *_rows_and_channels(terms, device), *positions.unbind(1)

    @staticmethod
    def evaluate(activation: Tensor, *places: Tensor) -> Tensor:
        rows, channels, y, x = places
        h, w = activation.shape[2:]
        return _precise(activation[rows, channels, torch.where(y < 0, h // 2, y), torch.where(x < 0, w // 2, x)])


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
    def places(terms: Sequence[Direction], device: torch.device) -> tuple[Tensor, ...]:
        return (torch.stack([term.vector for term in terms]).to(device),)  # (B, K)

    @staticmethod
    def evaluate(activation: Tensor, *places: Tensor) -> Tensor:
        activation = _precise(activation)
        means = activation.flatten(2).mean(2) if activation.dim() > 2 else activation  # (B, K)
        return (means * places[0].to(means)).sum(1)


@dataclass(frozen=True, eq=False)
class Layer(Term):
    def __str__(self) -> str:
        return f"{self.layer}:layer"

    @staticmethod
    def evaluate(activation: Tensor, *places: Tensor) -> Tensor:
        return _precise(activation).flatten(1).square().mean(1)


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
    def places(terms: Sequence[Diversity], device: torch.device) -> tuple[Tensor, ...]:
        is_other = torch.tensor([[a is b for b in terms] for a in terms])  # (B, B), of the same set
        return (is_other.fill_diagonal_(False).to(device),)

    @staticmethod
    def evaluate(activation: Tensor, *places: Tensor) -> Tensor:
        (is_other,) = places
        activation = _precise(activation)
        features = activation.flatten(2) if activation.dim() > 2 else activation.unsqueeze(2)  # (B, K, N)
        grams = (features @ features.transpose(1, 2)).flatten(1)  # (B, K * K)
        grams = torch.nn.functional.normalize(grams, dim=1)
        return 1 - ((grams @ grams.T) * is_other).sum(1) / is_other.sum(1).clamp_min(1)


def _rows_and_channels(terms: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Each row and its own channel, twice (B,)."""
    return torch.arange(len(terms), device=device), torch.tensor([term.channel for term in terms], device=device)


def _precise(values: Tensor) -> Tensor:
    """At least float32, for means and sums; of an activation only what is read, since all of it is large."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


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
    """Evaluate objective b on picture b of a batch -> (B,); for many batches of the same objectives see `evaluator`."""
    return evaluator(objectives, device)(read)


def evaluator(objectives: Sequence[Objective], device: torch.device) -> Evaluate:
    """A function that evaluates objective b on picture b of any batch.

    It takes `read(source, layer)`, which gives the layer's activation for the whole batch, (B, K, …), on the device,
    and returns (B,). Expressions of one form are evaluated together, and everything but the activations is prepared
    here. So a call makes as many calls of torch for many objectives of a form as for one, copies nothing to the device
    and does not wait for it.

    Raises:
        InputError: by the function, at its first call: channels or positions that the activations do not have.
    """
    return _evaluator(objectives, list(range(len(objectives))), len(objectives), device)


def _evaluator(nodes: Sequence[Objective], rows: list[int], pictures: int, device: torch.device) -> Evaluate:
    """Of `nodes[i]` for picture `rows[i]` of so many -> (len(nodes),)."""
    forms: dict[tuple[Any, ...], list[int]] = {}
    for i, node in enumerate(nodes):
        forms.setdefault(_form(node), []).append(i)
    parts = [
        _evaluator_of_form([nodes[i] for i in picked], [rows[i] for i in picked], pictures, device)
        for picked in forms.values()
    ]
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([i for picked in forms.values() for i in picked]).argsort().to(device)
    return lambda read: torch.cat([part(read) for part in parts])[order]


def _form(node: Objective) -> tuple[Any, ...]:
    """What two nodes must share to be evaluated together."""
    if isinstance(node, Term):
        return (type(node), id(node.source), node.layer)
    return (type(node), node.symbol) if isinstance(node, Combined) else (type(node),)


def _evaluator_of_form(nodes: Sequence[Any], rows: list[int], pictures: int, device: torch.device) -> Evaluate:
    first = nodes[0]
    if isinstance(first, Combined):
        left, right = (
            _evaluator([getattr(node, side) for node in nodes], rows, pictures, device) for side in ("left", "right")
        )
        return lambda read: _OPERATORS[first.symbol](left(read), right(read))
    if isinstance(first, Term):
        return _evaluator_of_terms(nodes, rows, pictures, device)
    constants = torch.tensor([node.value for node in nodes], device=device)
    return lambda _read: constants


def _evaluator_of_terms(terms: Sequence[Term], rows: list[int], pictures: int, device: torch.device) -> Evaluate:
    first = terms[0]
    places = first.places(terms, device)
    picked = None if len(rows) == pictures else torch.tensor(rows, device=device)
    checked: list[tuple[int, ...]] = []  # shapes of activations that all terms can be read from

    def evaluate(read: ReadActivation) -> Tensor:
        activation = read(first.source, first.layer)
        if (shape := tuple(activation.shape[1:])) not in checked:
            if problems := [problem for term in terms if (problem := term.problem(shape)) is not None]:
                raise InputError("\n".join(dict.fromkeys(problems)))
            checked.append(shape)
        return first.evaluate(activation if picked is None else activation[picked], *places)

    return evaluate
