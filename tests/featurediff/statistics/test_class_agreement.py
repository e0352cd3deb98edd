"""How many pictures name one class by chance: against SciPy, against all outcomes, and against simulated urns."""

import itertools

import numpy as np
import pytest
from scipy import stats

from feature_vis.errors import InputError
from featurediff.statistics.class_agreement import ALPHA, LEVEL, agreement_p_value, estimate_alpha


def urn(draws: int, starts: int, classes: int, alpha: float, seed: int = 0) -> np.ndarray:
    """The classes that the pictures of so many pairs name, (draws, starts)."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(classes, alpha / classes), draws).cumsum(1)
    shares /= shares[:, -1:]
    return (rng.random((draws, starts, 1)) > shares[:, None]).sum(2)


def largest(named: np.ndarray) -> np.ndarray:
    """How often the most named class of each pair is named, (draws,)."""
    return np.array([np.bincount(row).max() for row in named])


@pytest.mark.parametrize(("starts", "classes", "alpha"), [(8, 1000, ALPHA), (7, 6, 2.0), (5, 2, 30.0)])
def test_more_than_half_is_a_sum_of_beta_binomial_tails(starts: int, classes: int, alpha: float) -> None:
    """No two classes can both be named by more than half."""
    each = alpha / classes
    for count in range(starts // 2 + 1, starts + 1):
        tail = classes * stats.betabinom.pmf(range(count, starts + 1), starts, each, alpha - each).sum()
        assert agreement_p_value(count, starts, classes, alpha) == pytest.approx(tail)


def test_few_pictures_and_classes_are_counted_out() -> None:
    starts, classes, alpha = 5, 3, 1.7
    of_counts = stats.dirichlet_multinomial(np.full(classes, alpha / classes), starts)
    outcomes = [each for each in itertools.product(range(starts + 1), repeat=classes) if sum(each) == starts]
    for count in range(starts + 1):
        expected = sum(of_counts.pmf(each) for each in outcomes if max(each) >= count)
        assert agreement_p_value(count, starts, classes, alpha) == pytest.approx(expected)


def test_it_is_what_simulated_urns_do() -> None:
    found = largest(urn(20_000, 8, 40, ALPHA))
    for count in range(1, 6):
        share = (found >= count).mean()
        assert agreement_p_value(count, 8, 40) == pytest.approx(share, abs=4 * np.sqrt(0.25 / len(found)))


@pytest.mark.parametrize("classes", [6, 200])
def test_false_alarms_stay_below_the_level(classes: int) -> None:
    """The test is discrete, so it may be far below."""
    found = largest(urn(4_000, 8, classes, ALPHA, seed=1))
    p_values = np.array([1.0, *(agreement_p_value(count, 8, classes) for count in range(1, 9))])[found]
    assert 0 < (p_values <= LEVEL).mean() < LEVEL + 0.01


def test_it_falls_with_the_count_and_with_alpha_and_rises_with_the_starts() -> None:
    by_count = [agreement_p_value(count, 12, 100) for count in range(1, 13)]
    assert (np.diff(by_count)[1:] < 0).all()
    assert (np.diff([agreement_p_value(4, 12, 100, alpha) for alpha in (0.1, 1, 10, 100, np.inf)]) < 0).all()
    assert (np.diff([agreement_p_value(4, starts, 100) for starts in range(4, 30)]) > 0).all()
    assert agreement_p_value(4, 12, 100, 1e12) == pytest.approx(agreement_p_value(4, 12, 100, np.inf))


def test_ends() -> None:
    assert agreement_p_value(1, 1, 1000) == agreement_p_value(0, 3, 5) == agreement_p_value(8, 8, 1) == 1
    assert agreement_p_value(2, 2, 1000, 11.5) == pytest.approx((11.5 / 1000 + 1) / (11.5 + 1))
    assert agreement_p_value(20, 20, 1000, np.inf) == pytest.approx(1e-57)
    assert agreement_p_value(2, 23, 365, np.inf) == pytest.approx(0.507297, abs=1e-6), "the birthday problem"
    assert 0 < agreement_p_value(180, 200, 20_000) < 1e-6
    for wrong in [(3, 2, 5, 1.0), (-1, 2, 5, 1.0), (0, 0, 5, 1.0), (1, 2, 0, 1.0), (1, 2, 5, 0.0), (1, 2, 5, np.nan)]:
        with pytest.raises(InputError, match="have no p-value"):
            agreement_p_value(*wrong)


@pytest.mark.parametrize("alpha", [3.0, 40.0])
def test_alpha_is_recovered_within_its_interval(alpha: float) -> None:
    found = estimate_alpha(list(urn(60, 12, 100, alpha, seed=2)), 100)
    assert found.low < alpha < found.high
    assert found.low < found.alpha < found.high
    assert found.alpha == pytest.approx(alpha, rel=0.3)


def test_its_interval_holds_the_truth_as_often_as_it_says() -> None:
    found = [estimate_alpha(list(urn(12, 8, 50, 8.0, seed)), 50) for seed in range(120)]
    held = sum(each.low <= 8.0 <= each.high for each in found)
    assert stats.binomtest(held, len(found), 0.95).pvalue > 0.01


def test_the_maximum_is_that_of_scipys_likelihood() -> None:
    named = [np.array([0, 0, 1, 2]), np.array([3, 3, 3]), np.array([1]), np.array([2, 2, 2, 4, 2])]
    found = estimate_alpha(named, 5)

    def log_likelihood(alpha: float) -> float:
        of_counts = [np.bincount(each, minlength=5) for each in named]
        return sum(stats.dirichlet_multinomial(np.full(5, alpha / 5), n.sum()).logpmf(n) for n in of_counts)

    grid = found.alpha * np.array([0.98, 1, 1.02])
    assert np.argmax([log_likelihood(each) for each in grid]) == 1
    drop = stats.chi2.ppf(0.95, 1) / 2
    for end in (found.low, found.high):
        assert log_likelihood(found.alpha) - log_likelihood(end) == pytest.approx(drop, abs=1e-4)


def test_classes_that_do_not_limit_alpha() -> None:
    alike = estimate_alpha([np.zeros(6, int), np.full(6, 4)], 10)
    assert (alike.alpha, alike.low) == (0, 0)
    assert 0 < alike.high < 1
    apart = estimate_alpha([np.arange(8), np.arange(8, 16)], 1000)
    assert (apart.alpha, apart.high) == (np.inf, np.inf)
    assert 10 < apart.low < 100
    for wrong in ([], [np.array([1])], [np.array([0, 10])], [np.array([0, -1])]):
        with pytest.raises(InputError):
            estimate_alpha(wrong, 10)
    with pytest.raises(InputError):
        estimate_alpha([np.array([0, 0])], 1)
