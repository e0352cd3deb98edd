"""Statistics of activations in two networks: correlation, CKA, class selectivity, and the top images of each channel.

`activations` is always (2, N, K): the mean activation of K channels for N images, in the base and in the tuned network.

Class selectivity is Morcos et al. 2018, "On the importance of single directions for generalization". Linear CKA is
Kornblith et al. 2019, "Similarity of neural network representations revisited". Their estimate is biased: where there
are more channels than images it approaches 1 for unrelated layers too, and 2048 channels against some hundred images
is the usual case here. Nguyen et al. 2021, "Do wide and deep networks learn the same things?", use the unbiased
estimator of Song et al. 2012 on batches and average over them. Here it is computed over all images at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = [
    "Label",
    "TopImages",
    "class_means",
    "class_selectivity",
    "correlation",
    "is_constant",
    "linear_cka",
    "spread",
]

# Of an activation's root mean square. float32 rounds each of the thousands of products behind an activation by
# 6e-8 of it. A spread below this share is such rounding, and a correlation computed from it would be meaningless.
_ROUNDING = 1e-6


class Label(NamedTuple):
    """What a probe image shows. Classes are compared within a task."""

    task: str
    class_name: str


def spread(activations: np.ndarray) -> np.ndarray:
    """Standard deviation of each channel, (2, K), with n - 1; NaN for fewer than 2 images."""
    if activations.shape[1] < 2:
        return np.full((2, activations.shape[2]), np.nan)
    with np.errstate(invalid="ignore"):
        return activations.std(1, ddof=1)


def is_constant(activations: np.ndarray) -> np.ndarray:
    """Whether a channel varies by no more than rounding, (2, K)."""
    std = spread(activations)
    return std <= _ROUNDING * np.sqrt(activations.mean(1) ** 2 + std**2)


def correlation(activations: np.ndarray) -> np.ndarray:
    """Pearson correlation of each channel between the networks, (K,); NaN where a channel does not vary.

    Equal activations correlate by exactly 1, because all three sums are formed by the same operations.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = activations - activations.mean(1, keepdims=True)  # (N, K) each
        xx, yy, xy = (x * x).sum(0), (y * y).sum(0), (x * y).sum(0)
        return np.clip(xy / np.sqrt(xx * yy), -1, 1)


def linear_cka(activations: np.ndarray) -> tuple[float, float]:
    """Linear CKA between the networks: the unbiased estimate, and Kornblith's.

    NaN where a layer does not vary. The unbiased estimate is also NaN for fewer than 4 images, and where so few images
    leave no variance.
    """
    x, y = activations - activations.mean(1, keepdims=True)  # (N, K) each
    pairs = ((x, x), (y, y), (x, y))
    xx, yy, xy = (((a.T @ b) ** 2).sum() for a, b in pairs)  # the biased HSIC, but for a factor
    biased = float(xy / np.sqrt(xx * yy)) if xx * yy > 0 else np.nan
    if len(x) < 4:
        return np.nan, biased
    xx, yy, xy = (_unbiased_hsic(a, b, products) for (a, b), products in zip(pairs, (xx, yy, xy), strict=True))
    return (float(xy / np.sqrt(xx * yy)) if xx > 0 and yy > 0 else np.nan), biased


def _unbiased_hsic(x: np.ndarray, y: np.ndarray, products: float) -> float:
    """n (n - 3) times equation 5 of Song et al. 2012, for the linear kernel and centred x and y, (n, K) each.

    With K and L the Gram matrices of the images, their diagonals set to zero, the equation reads
    tr(KL) + ΣK ΣL / ((n - 1)(n - 2)) - 2 / (n - 2) 1ᵀKL1. The estimate does not depend on where the origin is; for
    centred data each row of a full Gram matrix sums to 0, so that only the diagonals remain of the last two terms.
    `products` is |xᵀy|², the trace with the diagonals.
    """
    n = len(x)
    of_x, of_y = (x * x).sum(1), (y * y).sum(1)  # the diagonals, (n,)
    both = of_x @ of_y
    return products - both + of_x.sum() * of_y.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * both


def class_means(activations: np.ndarray, labels: Sequence[Label], task: str) -> tuple[list[str], np.ndarray]:
    """The classes of a task, sorted, and the mean activations over the images of each, (C, 2, K)."""
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        if label.task == task:
            rows.setdefault(label.class_name, []).append(row)
    names = sorted(rows)
    return names, np.stack([activations[:, rows[name]].mean(1) for name in names])


def class_selectivity(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class means (C, …) -> (largest - rest) / (largest + rest), (…), and which class has the largest mean, (…).

    `rest` is the mean of the other classes' means. The index is NaN where there is only one class, where a mean is
    negative (the index is defined for activations after a ReLU), and where all means are 0. The first of equal classes
    counts as the largest.
    """
    best = means.argmax(0)
    largest = means.max(0)
    others = np.arange(len(means)).reshape(-1, *[1] * best.ndim) != best
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(others, means, 0).sum(0) / (len(means) - 1)
        index = (largest - rest) / (largest + rest)
    return np.where((means >= 0).all(0), index, np.nan), best


class TopImages:
    """The images that excite each of K channels most, in both networks, and where in the map the maximum lies.

    The lists are updated batch by batch: keeping the maximum and its place for every image would double the memory.
    One image more than asked for is kept. If it ties with the last one of the list, the order of the images decides
    which of them is listed.
    """

    def __init__(self, channels: int, top: int) -> None:
        self.top = top
        shape = (2, channels, top + 1)
        self.activation = np.full(shape, -np.inf)
        self.maximum = np.full(shape, np.nan)
        self.image = np.full(shape, -1)
        self.place = np.zeros(shape, np.int64)

    def add(self, activation: np.ndarray, maximum: np.ndarray, place: np.ndarray, images: np.ndarray) -> None:
        """Add a batch, (2, B, K) each. The numbers in `images`, (B,), must be above those of all earlier batches."""
        activation = np.where(np.isnan(activation), -np.inf, activation)
        numbers = np.broadcast_to(images[None, :, None], activation.shape)
        kept = (self.activation, self.maximum, self.image, self.place)
        new = (activation, maximum, numbers, place)
        merged = [np.concatenate([a, b.swapaxes(1, 2)], 2) for a, b in zip(kept, new, strict=True)]
        # stable: of equal activations the image with the lower number stays in front
        order = np.argsort(-merged[0], axis=2, kind="stable")[:, :, : self.top + 1]
        self.activation, self.maximum, self.image, self.place = (
            np.take_along_axis(values, order, axis=2) for values in merged
        )

    def tied(self) -> np.ndarray:
        """Whether a listed image excites the channel exactly as much as the first image left out, (2, K, top)."""
        left_out = self.image[:, :, self.top :] >= 0
        return left_out & (self.activation[:, :, : self.top] == self.activation[:, :, self.top :])

    def overlap(self) -> np.ndarray:
        """Jaccard index of the two networks' lists, (K,)."""
        before, after = self.image[:, :, : self.top]
        listed = (before >= 0).sum(1)
        shared = ((before[:, :, None] == after[:, None, :]) & (before >= 0)[:, :, None]).sum((1, 2))
        with np.errstate(invalid="ignore"):
            return shared / (2 * listed - shared)
