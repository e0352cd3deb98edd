"""Which terms are read before the ReLU and which after it: gradients of any expression against plain autograd."""

import itertools
import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from feature_vis.evaluation import ReadActivation, values
from feature_vis.networks.relus import AlwaysRedirectedRelu
from feature_vis.objectives import Constant, Objective, Objectives

CPU = torch.device("cpu")
ONE, OTHER = Objectives(nn.Identity()), Objectives(nn.Identity())
A, B = ONE("layer", 0), OTHER("layer", 0)
OPERATORS: dict[str, Callable] = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def entered(pictures: int = 1, shift: float = 0.0) -> dict[Objectives, Tensor]:
    """What enters the layer's ReLU in either network, (B, 3, 2, 5): of one sign or of both."""
    some = torch.Generator().manual_seed(0)
    shape = (pictures, 3, 2, 5)
    return {
        source: (torch.randn(shape, generator=some, dtype=torch.float64) + shift).requires_grad_(True)
        for source in (ONE, OTHER)
    }


def reader(inputs: dict[Objectives, Tensor], seen: set | None = None) -> ReadActivation:
    def read(source: Objectives, layer: str, before: bool) -> Tensor:
        if seen is not None:
            seen.add((source, before))
        return inputs[source] if before else AlwaysRedirectedRelu.apply(inputs[source], math.inf)

    return read


def gradients(objective: Objective, inputs: dict[Objectives, Tensor]) -> list[Tensor]:
    """By what enters the ReLUs of both networks, with the objective for each picture."""
    return gradients_of_rows([objective] * len(inputs[ONE]), inputs)


def gradients_of_rows(objectives: list[Objective], inputs: dict[Objectives, Tensor]) -> list[Tensor]:
    loss = -values(objectives, reader(inputs), CPU).sum()  # ReLUs are redirected for a loss, as the renderer has it
    found = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True)
    return [torch.zeros_like(x) if slope is None else -slope for slope, x in zip(found, inputs.values(), strict=True)]


# An expression as nested tuples: (symbol, left, right), a number, or (network, channel).
leaves = st.one_of(
    st.sampled_from([ONE, OTHER]).flatmap(lambda source: st.tuples(st.just(source), st.integers(0, 2))),
    st.integers(-24, 24).map(lambda x: x / 8),
)
expressions = st.recursive(
    leaves, lambda inner: st.tuples(st.sampled_from([*OPERATORS, "+", "-"]), inner, inner), max_leaves=8
)


def build(expression: Any, leaf: Callable[[Objectives, int], Any], number: Callable[[float], Any]) -> Any:
    if not isinstance(expression, tuple):
        return number(expression)
    if len(expression) == 2:
        return leaf(*expression)
    symbol, *sides = expression
    return OPERATORS[symbol](*(build(side, leaf, number) for side in sides))


@settings(deadline=None)  # the first gradient takes seconds
@given(expressions, st.sampled_from([-9.0, -0.5, 0.5, 9.0]))
def test_an_occurrence_gets_a_gradient_where_its_unit_is_on_or_is_raised(expression: Any, shift: float) -> None:
    """The reference: the slope by each occurrence's own value after the ReLU, from autograd on those values alone."""
    inputs = entered(shift=shift)
    occurrences: list[tuple[Objectives, int, Tensor]] = []

    def noted(source: Objectives, channel: int) -> Tensor:
        value = inputs[source].detach()[0, channel].clamp_min(0).mean()[None].requires_grad_(True)
        occurrences.append((source, channel, value))
        return value

    reference = build(expression, noted, lambda number: torch.tensor([number]))
    if not occurrences:
        return
    slopes = torch.autograd.grad(reference, [value for *_, value in occurrences], allow_unused=True)
    if not all(slope is None or (slope.isfinite() and abs(slope) < 1e6) for slope in slopes):
        return
    expected = {source: torch.zeros_like(x) for source, x in inputs.items()}
    for (source, channel, _), slope in zip(occurrences, slopes, strict=True):
        passes = (inputs[source].detach()[0, channel] > 0) | (slope > 0)
        expected[source][0, channel] += slope * passes / passes.numel()
    objective = build(expression, lambda source, channel: source("layer", channel), Constant)
    for found, wanted in zip(gradients(objective, inputs), expected.values(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * max(1.0, float(wanted.abs().max())))


DIFFERENCES = [A - B, -B + A, -(B - A), (2 * A - 2 * B) / 2, A / 1 - B * 1, -2 * (B - A) * 0.5, (B - A) / -1]
DIFFERENCES += [1 - (1 - A) - B, A + (-1) * B, 0.5 * A - B - (-0.5 * A), A * (3 - 2) - B / (4 / 4), 0 * B + A - B]


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
@pytest.mark.parametrize("objective", DIFFERENCES, ids=str)
def test_expressions_that_are_equal_have_equal_gradients_and_values(objective: Objective, shift: float) -> None:
    inputs = entered(2, shift)
    for found, expected in zip(gradients(objective, inputs), gradients(A - B, inputs), strict=True):
        torch.testing.assert_close(found, expected)
    one, other = (x.detach()[:, 0] for x in inputs.values())
    expected = one.mean((1, 2)) - other.clamp_min(0).mean((1, 2))
    torch.testing.assert_close(values([objective] * 2, reader(inputs), CPU).detach(), expected)


@pytest.mark.parametrize("objective", [A - B, A / (1 + B), 2 * A - 0.5 * B, (A - B) / (2 + A + B), A - B * B], ids=str)
def test_where_both_units_are_off_the_added_one_rises_and_the_other_is_left_alone(objective: Objective) -> None:
    one, other = gradients(objective, entered(shift=-9))
    assert (one[0, 0] > 0).all()
    assert not one[0, 1:].any()
    assert not other.any()


def test_a_product_raises_the_unit_that_is_off_beside_one_that_is_on() -> None:
    inputs = entered(shift=-9)
    assert not any(gradient.any() for gradient in gradients(A * B, inputs))  # it is 0 and has no slope
    with torch.no_grad():
        inputs[OTHER] += 18
    one, other = gradients(A * B, inputs)
    assert (one[0, 0] > 0).all()
    assert not other.any()


POSITIVE, MIXED = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([1.0, -1.0, 2.0])
BEFORE, AFTER = {True}, {False}


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (A, BEFORE),
        (-A, AFTER),
        (1 - A, AFTER),
        (-(-1 * A), BEFORE),
        (A - A, BEFORE | AFTER),
        (A * (1 - 3), AFTER),
        (A / (1 - 3) / -1, BEFORE),
        (0 * A, AFTER),
        (A / 0, AFTER),
        (1 / A, AFTER),
        (2 * (A * A), AFTER),
        (A + A / A, BEFORE | AFTER),
        (ONE.neuron("layer", 0), BEFORE),
        (-ONE.neuron("layer", 0), AFTER),
        (ONE.direction("layer", POSITIVE), BEFORE),
        (-ONE.direction("layer", POSITIVE), AFTER),
        (-ONE.direction("layer", -POSITIVE), BEFORE),
        (ONE.direction("layer", MIXED), AFTER),
        (ONE.direction("layer", POSITIVE, cosine_power=1), AFTER),
        (ONE.direction("layer", POSITIVE) * ONE.direction("layer", POSITIVE), AFTER),
        (ONE.layer("layer"), AFTER),
        (ONE.diversity("layer"), BEFORE),
        (-ONE.diversity("layer"), BEFORE),
    ],
    ids=str,
)
def test_what_is_read_in_which_way(objective: Objective, expected: set[bool]) -> None:
    seen: set = set()
    values([objective], reader(entered(), seen), CPU)
    assert seen == {(ONE, before) for before in expected}


def test_rows_of_different_signs_are_each_read_as_if_alone() -> None:
    factors = [2, -1, 0, -3, 0.5]
    wanted = [factor * ONE("layer", 1) - divisor * B for factor, divisor in itertools.product(factors, factors)]
    inputs = entered(len(wanted))
    found = gradients_of_rows(wanted, inputs)
    for row, objective in enumerate(wanted):
        own = {source: x.detach()[row : row + 1].requires_grad_(True) for source, x in inputs.items()}
        for together, alone in zip(found, gradients_of_rows([objective], own), strict=True):
            torch.testing.assert_close(together[row : row + 1], alone)


def test_a_long_sum_is_evaluated() -> None:
    inputs = entered()
    total = reduce(operator.add, [A] * 200)
    assert values([total], reader(inputs), CPU).item() == pytest.approx(200 * inputs[ONE][0, 0].mean().item())
