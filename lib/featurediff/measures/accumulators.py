"""Sums over batches of activations, from which moments, CKA, class means and top images follow.

Memory depends on the number of channels and classes, and never on the number of images. All sums are float64 and
merged batch by batch around a mean (Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance"),
since a running sum of squares loses the variance of a channel whose mean is large.

Class selectivity is Morcos et al. 2018, "On the importance of single directions for generalization"; linear CKA is
Kornblith et al. 2019, "Similarity of neural network representations revisited". Beside Kornblith's estimate stands an
unbiased one. The former goes to 1 for unrelated layers too where channels are many and images few, as they are here:
2048 channels against some hundred images. Nguyen et al. 2021, "Do wide and deep networks learn the same things?", take
the unbiased estimate of Song et al. 2012 over batches and average; written in sums over features it needs no batches,
so here it is that of all images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["ClassMeans", "Label", "LinearCka", "Moments", "TopImages", "class_selectivity"]

# Of an activation's root mean square. float32 rounds each of the thousands of products behind an activation by
# 6e-8 of it; a spread below this is such rounding, and a correlation of it would be made up.
_ROUNDING = 1e-6


class Label(NamedTuple):
    """What a probe image shows; classes are compared within a task."""

    task: str
    class_name: str


class Moments:
    """Mean, spread and joint spread of pairs of numbers, for K channels at once.

    Equal numbers on both sides have a correlation of exactly 1: all three sums are formed by the same operations.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean = np.zeros((2, channels))
        self.products = np.zeros((3, channels))  # of deviations from the mean: xx, yy, xy

    def add(self, values: np.ndarray) -> None:
        """Merge a batch, (2, B, K)."""
        new = values.shape[1]
        total = self.count + new
        mean = values.mean(1)
        x, y = values - mean[:, None]  # (B, K) each
        dx, dy = mean - self.mean
        self.products += np.stack([x * x, y * y, x * y]).sum(1)
        self.products += np.stack([dx * dx, dy * dy, dx * dy]) * (self.count * new / total)
        self.mean += np.stack([dx, dy]) * (new / total)
        self.count = total

    def std(self) -> np.ndarray:
        """(2, K), with n - 1; NaN below 2 values."""
        return np.sqrt(self.products[:2] / (self.count - 1)) if self.count > 1 else np.full_like(self.mean, np.nan)

    def correlation(self) -> np.ndarray:
        """(K,); NaN where one side does not vary at all."""
        xx, yy, xy = self.products
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.clip(xy / np.sqrt(xx * yy), -1, 1)

    def constant(self) -> np.ndarray:
        """Whether a side varies by no more than rounding, (2, K)."""
        std = self.std()
        return std <= _ROUNDING * np.sqrt(self.mean**2 + std**2)


class LinearCka:
    """Linear CKA of two layers with K channels each, from sums that take 3 K² numbers.

    The sums are around the mean of the first batch, which keeps them accurate; neither estimate depends on it.
    """

    _PAIRS = ((0, 0), (1, 1), (0, 1))

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.shift = np.zeros((2, 1, channels))
        self.sums = np.zeros((2, channels))  # s_a = Σ a
        self.lengths = np.zeros(2)  # Σ |a|²
        self.products = np.zeros((3, channels, channels))  # P_ab = Σ a bᵀ
        self.both_lengths = np.zeros(3)  # Σ |a|² |b|²
        self.weighted = np.zeros((2, 2, channels))  # t_ab = Σ a |b|²

    def add(self, values: np.ndarray) -> None:
        """Merge a batch, (2, B, K)."""
        if self.count == 0:
            self.shift = values.mean(1, keepdims=True)
        values = values - self.shift
        lengths = (values**2).sum(2)  # (2, B)
        self.count += values.shape[1]
        self.sums += values.sum(1)
        self.lengths += lengths.sum(1)
        for pair, (a, b) in enumerate(self._PAIRS):
            self.products[pair] += values[a].T @ values[b]
            self.both_lengths[pair] += lengths[a] @ lengths[b]
        self.weighted += np.einsum("abk,cb->ack", values, lengths)

    def biased(self) -> float:
        """Kornblith et al. 2019, equation for features: |YᵀX|² / (|XᵀX| |YᵀY|), X and Y centred."""
        xx, yy, xy = (
            np.linalg.norm(self.products[pair] - np.outer(self.sums[a], self.sums[b]) / max(self.count, 1))
            for pair, (a, b) in enumerate(self._PAIRS)
        )
        return float(xy**2 / (xx * yy)) if xx * yy > 0 else np.nan

    def unbiased(self) -> float:
        """With the HSIC of Song et al. 2012, equation 5; NaN below 4 images, or where too few leave no variance."""
        if self.count < 4:
            return np.nan
        xx, yy, xy = (self._hsic(pair) for pair in range(3))
        return float(xy / np.sqrt(xx * yy)) if xx > 0 and yy > 0 else np.nan

    def _hsic(self, pair: int) -> float:
        """n (n - 3) times the estimate: tr(KL) + ΣK ΣL / ((n - 1)(n - 2)) - 2 / (n - 2) 1ᵀKL1.

        K and L are the images' products with one another, their diagonals zero.
        """
        a, b = self._PAIRS[pair]
        n, products = self.count, self.products[pair]
        trace = (products**2).sum() - self.both_lengths[pair]
        sum_a, sum_b = (self.sums[side] @ self.sums[side] - self.lengths[side] for side in (a, b))
        crossed = self.sums[a] @ products @ self.sums[b] + self.both_lengths[pair]
        crossed -= self.sums[a] @ self.weighted[a, b] + self.sums[b] @ self.weighted[b, a]
        return trace + sum_a * sum_b / ((n - 1) * (n - 2)) - 2 / (n - 2) * crossed


class ClassMeans:
    """Mean activation of K channels in two networks for every class; memory grows with the classes alone."""

    def __init__(self) -> None:
        self.counts: dict[Label, int] = {}
        self.means: dict[Label, np.ndarray] = {}  # (2, K)

    def add(self, values: np.ndarray, labels: Sequence[Label]) -> None:
        """Merge a batch, (2, B, K)."""
        rows: dict[Label, list[int]] = {}
        for row, label in enumerate(labels):
            rows.setdefault(Label(*label), []).append(row)
        for label, picked in rows.items():
            mean = values[:, picked].mean(1)
            self.counts[label] = self.counts.get(label, 0) + len(picked)
            old = self.means.get(label, np.zeros_like(mean))
            self.means[label] = old + (mean - old) * (len(picked) / self.counts[label])

    def of_task(self, task: str) -> tuple[list[str], np.ndarray]:
        """The task's classes, sorted, and their means, (C, 2, K)."""
        labels = sorted(label for label in self.means if label.task == task)
        return [label.class_name for label in labels], np.stack([self.means[label] for label in labels])


def class_selectivity(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class means (C, …) -> (largest - rest) / (largest + rest), (…), and which class is the largest, (…).

    `rest` is the mean of the other classes' means. NaN where there is one class only, or a mean is below 0 (the
    index is defined for activations after a ReLU), or all are 0. Of equal classes the first counts.
    """
    best = means.argmax(0)
    largest = means.max(0)
    others = np.arange(len(means)).reshape(-1, *[1] * best.ndim) != best
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(others, means, 0).sum(0) / (len(means) - 1)
        index = (largest - rest) / (largest + rest)
    return np.where((means >= 0).all(0), index, np.nan), best


class TopImages:
    """The images that excite each of K channels most, in both networks, with the place of the map's maximum.

    One more than asked for is kept: where it ties with the last of the list, the list depends on the images' order.
    """

    def __init__(self, channels: int, top: int) -> None:
        self.top = top
        shape = (2, channels, top + 1)
        self.activation = np.full(shape, -np.inf)
        self.maximum = np.full(shape, np.nan)
        self.image = np.full(shape, -1)
        self.place = np.zeros(shape, np.int64)

    def add(self, activation: np.ndarray, maximum: np.ndarray, place: np.ndarray, images: np.ndarray) -> None:
        """Merge a batch, (2, B, K) each, of `images`, (B,), whose numbers are above those of all batches before."""
        activation = np.where(np.isnan(activation), -np.inf, activation)
        numbers = np.broadcast_to(images[None, :, None], activation.shape)
        kept = (self.activation, self.maximum, self.image, self.place)
        new = (activation, maximum, numbers, place)
        joined = [np.concatenate([a, b.swapaxes(1, 2)], 2) for a, b in zip(kept, new, strict=True)]
        # stable: of equal ones the image with the lower number stays in front
        order = np.argsort(-joined[0], axis=2, kind="stable")[:, :, : self.top + 1]
        self.activation, self.maximum, self.image, self.place = (
            np.take_along_axis(values, order, axis=2) for values in joined
        )

    def tied(self) -> np.ndarray:
        """Whether an image of the list equals the first that was left out, (2, K, top)."""
        left_out = self.image[:, :, self.top :] >= 0
        return left_out & (self.activation[:, :, : self.top] == self.activation[:, :, self.top :])

    def overlap(self) -> np.ndarray:
        """Jaccard index of the two networks' lists, (K,)."""
        before, after = self.image[:, :, : self.top]
        listed = (before >= 0).sum(1)
        shared = ((before[:, :, None] == after[:, None, :]) & (before >= 0)[:, :, None]).sum((1, 2))
        with np.errstate(invalid="ignore"):
            return shared / (2 * listed - shared)
