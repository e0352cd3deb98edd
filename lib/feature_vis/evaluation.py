"""Objectives evaluated: objective b on picture b of a batch, those of one form together.

Here it is also decided which terms are read before their layer's last ReLU; `feature_vis.objectives` states the rule.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from feature_vis.errors import InputError
from feature_vis.objectives import OPERATORS, Combined, Constant, Objective, Objectives, Term

__all__ = ["Evaluate", "ReadActivation", "evaluator", "values"]

# a network, a layer and whether it is read before its last ReLU -> its activation, (B, K, …)
ReadActivation = Callable[[Objectives, str, bool], Tensor]
Evaluate = Callable[[ReadActivation], Tensor]  # -> one value for each picture, (B,)


def values(objectives: Sequence[Objective], read: ReadActivation, device: torch.device) -> Tensor:
    """Evaluate objective b on picture b of a batch -> (B,); for many batches of the same objectives see `evaluator`."""
    return evaluator(objectives, device)(read)


def evaluator(objectives: Sequence[Objective], device: torch.device) -> Evaluate:
    """A function that evaluates objective b on picture b of any batch.

    It takes `read(source, layer, before)`, which gives the layer's activation for the whole batch, (B, K, …), on the
    device, and returns (B,). With `before` an objective wants what enters the layer's last ReLU; otherwise what leaves
    it, with a gradient also where the ReLU is off, as `feature_vis.networks.relus.AlwaysRedirectedRelu` gives it.

    Expressions of one form are evaluated together, and everything but the activations is prepared here. So a call makes
    as many calls of torch for many objectives of a form as for one, copies nothing to the device and does not wait for
    it.

    Raises:
        InputError: by the function, at its first call: channels or positions that the activations do not have.
    """
    wholes = [_Occurrence(objective, 1, row) for row, objective in enumerate(objectives)]
    return _evaluator(wholes, len(objectives), device)


class _Occurrence(NamedTuple):
    """One occurrence of an expression in the objective of a picture."""

    node: Any
    sign: int  # of the coefficient with which the objective is linear in it; 0 where it is not linear
    row: int  # the picture's

    @property
    def is_before_relu(self) -> bool:
        return self.node.is_before_relu(self.sign)

    def form(self) -> tuple[Any, ...]:
        """What two occurrences must share to be evaluated together."""
        if isinstance(self.node, Term):
            return (*self.node.form(), self.is_before_relu)
        return (type(self.node), self.node.symbol) if isinstance(self.node, Combined) else (type(self.node),)

    def sides(self) -> tuple["_Occurrence", "_Occurrence"]:
        """Of a `Combined`, left and right."""
        node = self.node
        left, right = 1, -1 if node.symbol == "-" else 1
        if node.symbol in "*/":
            left, right = _sign(node.right), _sign(node.left) if node.symbol == "*" else 0
        return _Occurrence(node.left, self.sign * left, self.row), _Occurrence(node.right, self.sign * right, self.row)


def _sign(factor: Objective) -> int:
    """Of a number; 0 for an expression that reads a network, since a product with it is not linear."""
    number = _number(factor)
    return 0 if number is None else (number > 0) - (number < 0)


def _number(node: Objective) -> float | None:
    """The value of an expression of numbers alone; None if it reads a network."""
    if isinstance(node, Constant):
        return node.value
    if not isinstance(node, Combined):
        return None
    left, right = _number(node.left), _number(node.right)
    if left is None or right is None:
        return None
    return math.nan if node.symbol == "/" and right == 0 else OPERATORS[node.symbol](left, right)


def _evaluator(occurrences: Sequence[_Occurrence], pictures: int, device: torch.device) -> Evaluate:
    """Of occurrences in the objectives of some of so many pictures -> (len(occurrences),)."""
    forms: dict[tuple[Any, ...], list[int]] = {}
    for i, occurrence in enumerate(occurrences):
        forms.setdefault(occurrence.form(), []).append(i)
    parts = [_evaluator_of_form([occurrences[i] for i in picked], pictures, device) for picked in forms.values()]
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([i for picked in forms.values() for i in picked]).argsort().to(device)
    return lambda read: torch.cat([part(read) for part in parts])[order]


def _evaluator_of_form(occurrences: Sequence[_Occurrence], pictures: int, device: torch.device) -> Evaluate:
    first = occurrences[0].node
    if isinstance(first, Combined):
        left, right = (
            _evaluator(side, pictures, device) for side in zip(*(each.sides() for each in occurrences), strict=True)
        )
        return lambda read: OPERATORS[first.symbol](left(read), right(read))
    if isinstance(first, Term):
        return _evaluator_of_terms(occurrences, pictures, device)
    constants = torch.tensor([each.node.value for each in occurrences], device=device)
    return lambda _read: constants


def _evaluator_of_terms(occurrences: Sequence[_Occurrence], pictures: int, device: torch.device) -> Evaluate:
    terms = [each.node for each in occurrences]
    first, before = terms[0], occurrences[0].is_before_relu
    places = first.places(terms, device)
    rows = [each.row for each in occurrences]
    picked = None if len(rows) == pictures else torch.tensor(rows, device=device)
    checked: list[list[tuple[int, ...]]] = []  # shapes of activations that all terms can be read from

    def evaluate(read: ReadActivation) -> Tensor:
        activations = [read(source, layer, before) for source, layer in first.reads]
        if (shapes := [tuple(activation.shape[1:]) for activation in activations]) not in checked:
            if problems := [problem for term in terms if (problem := term.problem(*shapes)) is not None]:
                raise InputError("\n".join(dict.fromkeys(problems)))
            checked.append(shapes)
        if picked is not None:
            activations = [activation[picked] for activation in activations]
        return first.evaluate(*activations, *places)

    return evaluate
