"""Objectives are an algebra over channels, neurons, directions and layers, each compared with NumPy."""

import math
import operator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.evaluation import values
from feature_vis.objectives import Objective, Objectives, terms

CPU = torch.device("cpu")
ONE, OTHER = Objectives(nn.Identity()), Objectives(nn.Identity())


def activation(layer: str, of: Objectives = ONE, pictures: int = 4) -> Tensor:
    """(B, 5, 3, 4), of a layer with a long name fewer axes: random, but always the same."""
    shape = (pictures, 5, 3, 4) if len(layer) == 1 else (pictures, 5)
    seed = sum(map(ord, layer)) + (1000 if of is OTHER else 0)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def read(source: Objectives, layer: str, before: bool = True) -> Tensor:
    return activation(layer, source)


def value(objective: Objective, picture: int = 0) -> float:
    """Of one picture alone."""
    alone = values([objective], lambda source, layer, _: read(source, layer)[picture : picture + 1], CPU)
    assert alone.shape == (1,)
    return float(alone)


numbers = st.floats(-4, 4).map(lambda x: round(x, 2))
channels = st.builds(
    lambda source, layer, channel: (
        objective := source(layer, channel),
        float(read(source, layer)[0, channel].mean()),
        str(objective),
    ),
    st.sampled_from([ONE, OTHER]),
    st.sampled_from(["a", "b", "long"]),
    st.integers(0, 4),
)


def combined(inner: st.SearchStrategy) -> st.SearchStrategy:
    """(objective, its number, its name) of two, of which one may be a plain number, or of one negated."""
    binary = st.sampled_from(["+", "-", "*", "/"])
    operators = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}

    def join(symbol: str, left: tuple, right: tuple) -> tuple:
        number = math.nan if symbol == "/" and right[1] == 0 else operators[symbol](left[1], right[1])
        return operators[symbol](left[0], right[0]), number, f"({left[2]} {symbol} {right[2]})"

    constants = numbers.map(lambda x: (x, x, f"{x:g}"))
    return st.one_of(
        st.builds(join, binary, inner, inner),
        st.builds(join, binary, constants, inner),
        st.builds(join, binary, inner, constants),
        inner.map(lambda it: (-it[0], -it[1], f"(-1 * {it[2]})")),
    )


@given(st.recursive(channels, combined, max_leaves=6))
def test_expressions_are_what_python_makes_of_the_numbers(expression: tuple[Objective, float, str]) -> None:
    objective, number, name = expression
    assert str(objective) == name
    if math.isfinite(number) and abs(number) < 1e6:
        assert value(objective) == pytest.approx(number, rel=1e-3, abs=1e-3)


@given(st.lists(st.recursive(channels, combined, max_leaves=4), min_size=4, max_size=4))
def test_rows_of_different_forms_are_each_as_if_alone(expressions: list[tuple[Objective, float, str]]) -> None:
    objectives = [objective for objective, _, _ in expressions]
    together = values(objectives, read, CPU)
    for picture, objective in enumerate(objectives):
        assert float(together[picture]) == pytest.approx(value(objective, picture), nan_ok=True)


def test_each_network_is_read_by_its_own_terms() -> None:
    difference = ONE("a", 2) - OTHER("a", 2)
    one, other = (float(activation("a", source)[0, 2].mean()) for source in (ONE, OTHER))
    assert value(difference) == pytest.approx(one - other)
    assert value(sum([difference, np.float64(2) * ONE("a", 2)])) == pytest.approx(3 * one - other)
    assert [(term.source, term.layer) for term in terms(2 * difference / 3)] == [(ONE, "a"), (OTHER, "a")]
    assert str(difference) == "(a:2 - a:2)"  # the same for other networks: so they start alike


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (ONE("a", 3), lambda x: x[3].mean()),
        (ONE("long", 3), lambda x: x[3]),
        (ONE.logit(3), lambda x: x[3].mean()),
        (ONE.neuron("a", 3), lambda x: x[3, 1, 2]),
        (ONE.neuron("a", 3, at=(2, 0)), lambda x: x[3, 2, 0]),
        (ONE.direction("a", torch.arange(5)), lambda x: x.mean((1, 2)) @ np.arange(5)),
        (ONE.direction("long", torch.arange(5)), lambda x: x @ np.arange(5)),
        (ONE.layer("a"), lambda x: (x**2).mean()),
        (ONE.layer("long"), lambda x: (x**2).mean()),
    ],
    ids=lambda part: str(part) if isinstance(part, Objective) else "",
)
def test_what_is_read_against_numpy(objective, expected) -> None:
    maps = activation(objective.layer).numpy()
    for picture in range(4):
        assert value(objective, picture) == pytest.approx(expected(maps[picture]), rel=1e-6)
    together = values([objective] * 4, read, CPU)
    np.testing.assert_allclose(together, [expected(x) for x in maps], rtol=1e-6)


def test_each_row_has_its_own_channel_position_and_direction() -> None:
    vectors = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    for row in (
        [ONE("a", channel) for channel in (4, 0, 0, 2)],
        [ONE.neuron("a", channel, at) for channel, at in [(0, (0, 0)), (1, None), (1, (2, 3)), (0, (1, 0))]],
        [ONE.direction("a", vector) for vector in vectors],
    ):
        together = values(row, read, CPU)
        assert together.tolist() == pytest.approx([value(objective, picture) for picture, objective in enumerate(row)])


@pytest.mark.parametrize("layer", ["a", "long"])
@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_a_direction_with_a_cosine_against_numpy(layer: str, power: float) -> None:
    """Lucid's `_dot_cossim`: at each position, then averaged."""
    vector = torch.tensor([2.0, -1, 0, 1, 0.5])
    objective = ONE.direction(layer, vector, cosine_power=power)
    maps, v = activation(layer).numpy().reshape(4, 5, -1), vector.numpy()
    dots = np.einsum("bkn,k->bn", maps, v)
    cosines = dots / (1e-4 + np.linalg.norm(maps, axis=1)) / (1e-4 + np.linalg.norm(v))
    expected = (dots * np.maximum(cosines, 0.1) ** power).mean(1)
    np.testing.assert_allclose(values([objective] * 4, read, CPU), expected, rtol=1e-6)
    other = ONE.direction(layer, vector)
    np.testing.assert_allclose(values([objective, other, objective, other], read, CPU)[::2], expected[::2], rtol=1e-6)
    dark = torch.zeros(1, 5, 2, 2, requires_grad=True)
    value = values([objective], lambda *_: dark, CPU)
    assert torch.autograd.grad(value.sum(), dark)[0].isfinite().all()
    for mistaken in (-1, math.inf, math.nan):
        with pytest.raises(InputError, match="cosine_power must be 0 or above"):
            ONE.direction(layer, vector, cosine_power=mistaken)


def test_names() -> None:
    wanted = [ONE("layer4.2", 7), ONE.logit(3), ONE.neuron("a", 1), ONE.neuron("a", 1, (2, 3)), ONE.layer("a")]
    wanted += [ONE.diversity("a"), 0.5 * ONE("a", 1) - 1, -ONE("a", 1)]
    expected = ["layer4.2:7", "logit:3", "a:1@centre", "a:1@2,3", "a:layer"]
    assert [str(it) for it in wanted] == [*expected, "a:diversity", "((0.5 * a:1) - 1)", "(-1 * a:1)"]
    assert str(ONE.direction("a", torch.ones(5))) == str(OTHER.direction("a", torch.ones(5).double()))
    assert str(ONE.direction("a", torch.ones(5))) != str(ONE.direction("a", torch.arange(5)))
    assert str(ONE.direction("a", torch.ones(5), 2)) == str(ONE.direction("a", torch.ones(5))) + "-cosine-2"


def test_diversity_is_none_of_equal_pictures_and_some_of_others() -> None:
    term, another = ONE.diversity("a"), ONE.diversity("a")
    one, two = activation("a")[0], activation("a")[1]

    def diversity(*pictures: Tensor, wanted: list[Objective] | None = None) -> list[float]:
        return values(wanted or [term] * len(pictures), lambda *_: torch.stack(pictures), CPU).tolist()

    assert diversity(one, 3 * one) == pytest.approx([0, 0], abs=1e-9)
    grams = [(x.flatten(1) @ x.flatten(1).T).flatten() for x in (one, two)]
    apart = 1 - float(torch.cosine_similarity(*grams, dim=0))
    assert apart > 0.1
    assert diversity(one, two, two) == pytest.approx([apart, apart / 2, apart / 2])
    # those of another set do not count, nor does a picture without others
    assert diversity(one, one, two, two, wanted=[term, term, another, term])[0] == pytest.approx(apart / 2)
    assert diversity(one) == [1]


def test_wrong_places_are_all_named() -> None:
    row = [ONE("a", 5), ONE("a", -1), ONE("a", 5), ONE("a", 0)]
    with pytest.raises(InputError, match=r"^a has no channel 5: it has 5, 0 to 4\na has no channel -1: .*0 to 4$"):
        values(row, read, CPU)
    with pytest.raises(InputError, match="long has no map"):
        value(ONE.neuron("long", 0))
    with pytest.raises(InputError, match="mean has 1 values and std 2"):
        Objectives(nn.Identity(), mean=(0.5,), std=(1.0, 1.0))
