"""Do several pictures of what two networks disagree about name one class more often than chance lets them?

S pictures are rendered from different noise, and the tuned network names a class for each. Without a hidden cause they
do not fall on the K classes evenly: every training prefers some classes, other ones each time. So the null is a Pólya
urn: the probabilities of the classes are drawn from a symmetric Dirichlet distribution of total concentration alpha,
then the S names from them. Two pictures of one pair of networks then name the same class with probability
(alpha / K + 1) / (alpha + 1). The smaller alpha, the more agreement is expected without any cause.

Source: Johnson, Kotz and Balakrishnan 1997, *Discrete Multivariate Distributions*, chapters 35 and 40 (the
Dirichlet-multinomial distribution, and Pólya's urn).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from feature_vis.errors import InputError

__all__ = ["ALPHA", "LEVEL", "AlphaEstimate", "agreement_p_value", "estimate_alpha"]

# Total concentration of the classes that clean fine-tunings name: the lower end of its 95 % interval (8.8 to 86, most
# likely 24) over four fine-tunings of a ResNet-18 without a hidden cause, whose 4 × 8 starts named an equal class in 5
# of 112 pairs (benchmarks/known_causes.py, benchmarks/RESULTS.md).
ALPHA = 8.8

# Starts agree on a class if chance lets so many of them name one with at most this probability.
LEVEL = 0.05

# Where alpha is looked for. At the lower end all pictures of a pair name one class; from the upper end on they cannot
# be told from pictures that name every class equally often.
_RANGE = (1e-4, 1e7)


@dataclass(frozen=True)
class AlphaEstimate:
    """The concentration that makes the named classes of several pairs most likely, and its 95 % interval.

    `low` is the cautious value for `agreement_p_value`: with it, chance lets more pictures agree. 0 and infinity mean
    that the classes do not limit alpha on that side.
    """

    alpha: float
    low: float
    high: float


def agreement_p_value(count: int, starts: int, classes: int, alpha: float = ALPHA) -> float:
    """Probability that, by chance, any of the classes is named by at least `count` of `starts` pictures.

    `classes`: K, how many the networks have. `alpha`: total concentration of the null, above 0; infinity for classes
    that are all equally likely. The value is exact: all terms that are summed are positive.

    Raises:
        InputError: a number out of its range.
    """
    if not (0 <= count <= starts and starts >= 1 and classes >= 1 and alpha > 0):
        raise InputError(
            f"{count} of {starts} pictures that name one of {classes} classes, at alpha {alpha}, have no p-value: "
            "starts and classes must be at least 1, the count between 0 and the starts, alpha above 0"
        )
    steps = np.arange(starts)
    ratios = (1 / classes + steps / alpha) / (steps + 1)  # of the weight of j + 1 pictures of one class to that of j
    weights = np.concatenate([[1.0], np.cumprod(ratios)])  # (starts + 1,)
    below = np.arange(starts + 1) < count
    # polynomials whose coefficient s counts the ways in which s pictures fall on the classes seen so far:
    # `few` those in which no class has `count`, `many` the others
    factor = (np.where(below, weights, 0.0), np.where(below, 0.0, weights))
    few, many = _power(factor, classes)
    return float(many[starts] / (few[starts] + many[starts]))


def _power(factor: tuple[np.ndarray, np.ndarray], exponent: int) -> tuple[np.ndarray, np.ndarray]:
    """The product of so many equal factors, by repeated squaring."""
    one = np.zeros_like(factor[0])
    one[0] = 1.0
    result = (one, np.zeros_like(one))
    while exponent:
        if exponent % 2:
            result = _product(result, factor)
        factor, exponent = _product(factor, factor), exponent // 2
    return result


def _product(
    left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs (few, many), (S + 1,) each; both parts are divided by one number, which keeps them in range."""
    size = len(left[0])
    few = np.convolve(left[0], right[0])[:size]
    many = np.convolve(left[1], right[0] + right[1])[:size] + np.convolve(left[0], right[1])[:size]
    largest = max(few.max(), many.max())
    return few / largest, many / largest


def estimate_alpha(named: Sequence[np.ndarray], classes: int) -> AlphaEstimate:
    """The null's concentration by maximum likelihood, from pairs of networks without a hidden cause.

    `named`: for each pair the classes that its pictures name, (S,) integers in [0, `classes`); S may differ. The
    interval is that of the profile likelihood.

    Raises:
        InputError: no pair with two pictures, fewer than two classes, or a class that does not exist.
    """
    counts = [np.unique(each, return_counts=True) for each in named]
    if classes < 2 or not any(len(each) > 1 for each in named):
        raise InputError("to estimate alpha, at least one pair with two pictures is needed, and two classes")
    if any(numbers.min(initial=0) < 0 or numbers.max(initial=0) >= classes for numbers, _ in counts):
        raise InputError(f"a named class is not among the {classes}, 0 to {classes - 1}")

    def loss(log_alpha: float) -> float:
        return -sum(_log_likelihood(each, classes, np.exp(log_alpha)) for _, each in counts)

    low, high = np.log(_RANGE)
    grid = np.linspace(low, high, 101)
    best = int(np.argmin([loss(place) for place in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    middle, limit = float(found.x), float(found.fun) + stats.chi2.ppf(0.95, 1) / 2
    ends = [
        float(np.exp(optimize.brentq(lambda place: loss(place) - limit, *sorted((end, middle)))))
        if loss(end) > limit
        else beyond
        for end, beyond in ((low, 0.0), (high, np.inf))
    ]
    if best in (0, len(grid) - 1):
        return AlphaEstimate(np.inf if best else 0.0, *ends)
    return AlphaEstimate(float(np.exp(middle)), *ends)


def _log_likelihood(counts: np.ndarray, classes: int, alpha: float) -> float:
    """Of the order in which one pair's pictures name classes, from how often each named one is, (C,)."""
    each = alpha / classes
    of_classes = special.gammaln(counts + each) - special.gammaln(each)
    return float(of_classes.sum() + special.gammaln(alpha) - special.gammaln(alpha + counts.sum()))
