"""What each channel answers to real pictures, before and after fine-tuning: one pass over a set of probe images.

A channel's activation is what the objective of its picture is: the mean of its map, after the ReLU. Both networks
look at every probe image once, and what is kept of it are sums, so that memory depends on the number of channels
and classes, and never on the number of images. All sums are float64 and merged batch by batch around a mean
(Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance"), since a running sum of squares loses
the variance of a channel whose mean is large.

Measured: per channel the correlation, scale and mean of its activation, its class selectivity (Morcos et al. 2018,
"On the importance of single directions for generalization"), and the images that excite it most; per layer the
linear CKA (Kornblith et al. 2019, "Similarity of neural network representations revisited").

CKA is given by its unbiased estimate (`cka`) beside Kornblith's (`cka_biased`). The latter goes to 1 for unrelated
layers too where channels are many and images few, as they are here: 2048 channels against some hundred images.
Nguyen et al. 2021, "Do wide and deep networks learn the same things?", take the unbiased estimate of Song et al.
2012 over batches and average; written in sums over features it needs no batches, so here it is that of all images.
"""

import copy
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from feature_vis.activations import Activations, activations_of, layer_shapes
from feature_vis.errors import InputError

__all__ = [
    "COLUMNS",
    "ClassMeans",
    "Label",
    "LinearCka",
    "Moments",
    "Probing",
    "TopImages",
    "class_selectivity",
    "crop",
    "probe",
    "receptive_fields",
]

# Of an activation's root mean square. float32 rounds each of the thousands of products behind an activation by
# 6e-8 of it; a spread below this is such rounding, and a correlation of it would be made up.
_ROUNDING = 1e-6

_NETWORKS = ("base", "tuned")

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "images": ("images", "probe images that were looked at"),
    "mean_base": ("activation", "mean over the probe images, in the base"),
    "mean_tuned": ("activation", "mean over the probe images, in the tuned network"),
    "std_base": ("activation", "standard deviation over the probe images (n - 1), in the base"),
    "std_tuned": ("activation", "standard deviation over the probe images (n - 1), in the tuned network"),
    "correlation": ("-1 to 1", "Pearson correlation of the activation in the base and in the tuned network"),
    "scale_ratio": ("ratio", "std_tuned / std_base"),
    "mean_shift": ("std_base", "(mean_tuned - mean_base) / std_base"),
    "top_overlap": ("0 to 1", "images in both lists of top images, as a share of those in either (Jaccard)"),
    "reason": ("", "why values of the row are empty"),
    "task": ("", "data set whose classes are compared"),
    "selectivity_base": ("0 to 1", "(largest class mean - mean of the others) / their sum, in the base (Morcos 2018)"),
    "selectivity_tuned": ("0 to 1", "the same in the tuned network"),
    "class_base": ("", "class with the largest mean activation, in the base"),
    "class_tuned": ("", "class with the largest mean activation, in the tuned network"),
    "cka": ("-1 to 1", "linear CKA of the layer's activations in base and tuned network, unbiased estimate"),
    "cka_biased": ("0 to 1", "linear CKA, Kornblith's estimate: near 1 where images are fewer than channels"),
    "network": ("", "base or tuned"),
    "rank": ("", "place in the list of top images, 1 is the most exciting; ties in the order of images"),
    "image": ("", "number of the image in the list of probe images, from 0"),
    "activation": ("activation", "mean of the channel's map for this image"),
    "maximum": ("activation", "largest value of the channel's map for this image"),
    "tied": ("", "whether an image that was left out of the list excites the channel as much as this one"),
    "row": ("position", "row of the map where the maximum stands; empty where the layer has no map"),
    "column": ("position", "column of the map where the maximum stands; empty where the layer has no map"),
    "left": ("px", "first column of pixels that the unit at the maximum can see"),
    "top": ("px", "first row of pixels that the unit at the maximum can see"),
    "right": ("px", "the column after the last that it can see"),
    "bottom": ("px", "the row after the last that it can see"),
}

Fields = dict[str, np.ndarray]  # layer -> (K, places, 4): left, top, right, bottom of each unit's receptive field


class Label(NamedTuple):
    """What a probe image shows; classes are compared within a task."""

    task: str
    class_name: str


@dataclass(frozen=True)
class Probing:
    """What was measured; `COLUMNS` says what each column means.

    `channels`: one row a channel. `selectivity`: one a channel and task. `layers`: one a layer. `top_images`: one a
    channel, network and rank; the corners left, top, right, bottom are of the patch that the unit at the map's
    maximum can see, see `crop`.
    """

    channels: pd.DataFrame
    selectivity: pd.DataFrame
    layers: pd.DataFrame
    top_images: pd.DataFrame


def probe(
    base: nn.Module,
    tuned: nn.Module,
    layers: Collection[str],
    batches: Iterable[tuple[Tensor, Sequence[Label]]],
    *,
    top: int = 9,
    fields: Fields | None = None,
) -> Probing:
    """Show the probe images to both networks, once, and compare their layers channel by channel.

    `batches`: images, (B, 3, H, W), normalised and all of one size, with a label each; they are numbered as they
    come. `top`: how many top images a channel has. `fields`: from `receptive_fields`, measured here where None:
    they depend on the architecture alone, so several tuned networks can share them. The corners of top images whose
    layer is not in `fields` are empty.

    Raises:
        InputError: no images, unusable ones, or layers that do not exist or differ in their number of channels.
    """
    if top < 1:
        raise InputError(f"the number of top images must be at least 1, not {top}")
    if not layers:
        raise InputError("there are no layers to probe")
    layers = list(dict.fromkeys(layers))
    watched: dict[str, _Layer] = {}
    size: tuple[int, ...] = ()
    count = 0
    axes: dict[str, int] = {}
    for images, labels in batches:
        _check_batch(images, labels, size)
        if not size:
            size = tuple(images.shape[2:])
            axes = _axes(base, layers, size)
        numbers = np.arange(count, count + len(images))
        count += len(images)
        for layer, (before, after) in _read(base, tuned, layers, axes, images).items():
            if before.shape != after.shape:
                shapes = f"{tuple(before.shape[1:])} and {tuple(after.shape[1:])}"
                raise InputError(f"{layer or 'the output'} differs between base and tuned network: {shapes}")
            if layer not in watched:
                watched[layer] = _Layer(before.shape[1], tuple(before.shape[2:]), top)
            watched[layer].add(before, after, numbers, labels)
    if not count:
        raise InputError("there are no probe images")
    if fields is None:
        fields = receptive_fields(base, layers, (size[0], size[1]))
    found = {layer: watched[layer] for layer in layers}
    return Probing(
        channels=_stack([_named(part.channels(), layer) for layer, part in found.items()]),
        selectivity=_stack([_named(part.selectivity(), layer) for layer, part in found.items()]),
        layers=pd.DataFrame([{"layer": layer, "images": count, **part.similarity()} for layer, part in found.items()]),
        top_images=_stack([_named(part.top_images(fields.get(layer)), layer) for layer, part in found.items()]),
    )


def _check_batch(images: Tensor, labels: Sequence[Label], size: tuple[int, ...]) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point() or not len(images):
        raise InputError(f"probe images must be (B, 3, H, W) floats, not {tuple(images.shape)} of {images.dtype}")
    if len(labels) != len(images):
        raise InputError(f"{len(images)} probe images cannot have {len(labels)} labels")
    if size and tuple(images.shape[2:]) != size:
        sizes = " and ".join(f"{width}×{height}" for height, width in (size, images.shape[2:]))
        raise InputError(f"the probe images differ in size: {sizes} px")


def _axes(model: nn.Module, layers: Collection[str], size: tuple[int, ...]) -> dict[str, int]:
    """Where each layer's channels stand."""
    shapes, problems = layer_shapes(model, layers, (size[0], size[1]))
    if problems:
        raise InputError("\n".join(problems))
    return {layer: axis for layer, (_, axis) in shapes.items()}


def _read(
    base: nn.Module, tuned: nn.Module, layers: Collection[str], axes: dict[str, int], images: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Each layer's activations in both networks, (B, K, …)."""

    def look(model: nn.Module, activations: Activations) -> dict[str, Tensor]:
        model.eval()
        return activations(images.to(_device(model)))

    with (
        activations_of(base, layers, axes=axes) as in_base,
        activations_of(tuned, layers, axes=axes) as in_tuned,
        torch.no_grad(),
    ):
        before, after = look(base, in_base), look(tuned, in_tuned)
    return {layer: (before[layer], after[layer]) for layer in layers}


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _maps(activation: Tensor) -> Tensor:
    """(B, K, …) -> (B, K, places); a layer without a map has one place."""
    return activation.flatten(2) if activation.dim() > 2 else activation.unsqueeze(2)


def _named(table: pd.DataFrame, layer: str) -> pd.DataFrame:
    table.insert(0, "layer", layer)
    return table


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


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


class _Layer:
    """All that is measured of one layer."""

    def __init__(self, channels: int, grid: tuple[int, ...], top: int) -> None:
        self.grid = grid
        self.moments = Moments(channels)
        self.cka = LinearCka(channels)
        self.class_means = ClassMeans()
        self.top = TopImages(channels, top)

    def add(self, before: Tensor, after: Tensor, numbers: np.ndarray, labels: Sequence[Label]) -> None:
        """Merge a batch: activations (B, K, …) in base and tuned network."""
        sides = [_maps(activation) for activation in (before, after)]  # (B, K, places)
        means = np.stack([side.mean(2, dtype=torch.float64).cpu().numpy() for side in sides])  # (2, B, K)
        maxima, places = zip(*(side.max(2) for side in sides), strict=True)
        self.moments.add(means)
        self.cka.add(means)
        self.class_means.add(means, labels)
        self.top.add(
            means,
            np.stack([values.double().cpu().numpy() for values in maxima]),
            np.stack([values.cpu().numpy() for values in places]),
            numbers,
        )

    def channels(self) -> pd.DataFrame:
        count = self.moments.count
        (mean_base, mean_tuned), (std_base, std_tuned) = self.moments.mean, self.moments.std()
        not_finite, (still_base, still_tuned) = self._not_finite(), self.moments.constant()
        tied = np.any(self.top.tied(), axis=(0, 2))
        few, all_listed = (np.full(tied.shape, found) for found in (count < 3, count <= self.top.top))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale, shift = std_tuned / std_base, (mean_tuned - mean_base) / std_base
        none = few | not_finite.any(0)
        measured = {
            "correlation": (self.moments.correlation(), none | still_base | still_tuned),
            "scale_ratio": (scale, none | still_base),
            "mean_shift": (shift, none | still_base),
            "top_overlap": (self.top.overlap(), not_finite.any(0) | all_listed | tied),
        }
        reasons = {
            "fewer than 3 probe images": few,
            **{f"not finite {where}": rows for where, rows in zip(_WHERE, not_finite, strict=True)},
            "constant in the base": still_base,
            "constant in the tuned network": still_tuned,
            "no more probe images than top images": all_listed,
            "top images tie with others": tied,
        }
        return pd.DataFrame(
            {
                "channel": np.arange(len(scale)),
                "images": count,
                "mean_base": mean_base,
                "mean_tuned": mean_tuned,
                "std_base": std_base,
                "std_tuned": std_tuned,
                **{name: np.where(undefined, np.nan, values) for name, (values, undefined) in measured.items()},
                "reason": _reasons(reasons),
            }
        )

    def selectivity(self) -> pd.DataFrame:
        tables = []
        for task in sorted({label.task for label in self.class_means.means}):
            names, means = self.class_means.of_task(task)  # (C, 2, K)
            index, best = class_selectivity(means)
            chosen = np.where(np.isnan(index), None, np.array(names, object)[best])
            reasons = {"one class only": np.full(index.shape[1], len(names) < 2)}
            for where, side in zip(_WHERE, means.swapaxes(0, 1), strict=True):  # (C, K)
                reasons[f"not finite {where}"] = ~np.isfinite(side).all(0)
                reasons[f"negative class means {where}"] = (side < 0).any(0)
                reasons[f"never active {where}"] = (side == 0).all(0)
            columns: dict[str, Any] = {"channel": np.arange(index.shape[1]), "task": task}
            columns |= {f"selectivity_{name}": values for name, values in zip(_NETWORKS, index, strict=True)}
            columns |= {f"class_{name}": values for name, values in zip(_NETWORKS, chosen, strict=True)}
            tables.append(pd.DataFrame({**columns, "reason": _reasons(reasons)}))
        return _stack(tables)

    def similarity(self) -> dict[str, Any]:
        problems = {
            "fewer than 4 probe images": self.moments.count < 4,
            "not finite": bool(self._not_finite().any()),
            "no channel varies": bool(self.moments.constant().all(1).any()),
        }
        if reason := "; ".join(problem for problem, found in problems.items() if found):
            return {"cka": np.nan, "cka_biased": np.nan, "reason": reason}
        cka, biased = self.cka.unbiased(), self.cka.biased()
        return {"cka": cka, "cka_biased": biased, "reason": "too few probe images" if np.isnan(cka) else ""}

    def top_images(self, fields: np.ndarray | None) -> pd.DataFrame:
        """`fields`: (K, places, 4); None where they are not known."""
        lists = self.top
        listed = (lists.image >= 0) & np.isfinite(lists.activation)
        side, channel, rank = np.nonzero(listed[:, :, : lists.top])
        order = np.lexsort((rank, side, channel))
        side, channel, rank = side[order], channel[order], rank[order]
        place = lists.place[side, channel, rank]
        table = pd.DataFrame(
            {
                "channel": channel,
                "network": np.array(_NETWORKS)[side],
                "rank": rank + 1,
                "image": lists.image[side, channel, rank],
                "activation": lists.activation[side, channel, rank],
                "maximum": lists.maximum[side, channel, rank],
                "tied": lists.tied()[side, channel, rank],
            }
        )
        has_map = len(self.grid) == 2
        row, column = divmod(place, self.grid[1]) if has_map else (place, place)
        for name, values in (("row", row), ("column", column)):
            table[name] = pd.Series(values if has_map else pd.NA, index=table.index, dtype="Int64")
        table[["left", "top", "right", "bottom"]] = pd.NA if fields is None else fields[channel, place].astype(np.int64)
        return table

    def _not_finite(self) -> np.ndarray:
        """(2, K)"""
        return ~np.isfinite(self.moments.mean)


_WHERE = ("in the base", "in the tuned network")


def _reasons(found: dict[str, np.ndarray]) -> list[str]:
    """Reason -> rows with it; all of a row's reasons, joined."""
    rows = np.stack(list(found.values()), axis=1)  # (K, reasons)
    return ["; ".join(reason for reason, applies in zip(found, row, strict=True) if applies) for row in rows]


def receptive_fields(model: nn.Module, layers: Collection[str], size: tuple[int, int], *, batch: int = 16) -> Fields:
    """The part of a picture of `size`, (height, width), that each unit can see, exactly: its bounding box in pixels.

    Measured, for any architecture: a row of NaN is put into a picture, and the units that come out as NaN see that
    row. A NaN passes weights of 0, closed ReLUs and the losing side of a maximum, all of which hide an influence
    from a gradient or from a changed pixel. Then columns; so it takes as many pictures as the size has rows and
    columns, once for all layers. A unit that sees nothing but padding has an empty box.

    A layer of which every unit sees the first and the last row and column, as in a transformer, sees the whole picture,
    and is not looked at further.

    The copy of the network that is used computes in float64 and without cuDNN, since fast convolutions (Winograd,
    FFT) mix neighbouring places and would carry a NaN too far.
    """
    axes = _axes(model, layers, size)
    shadow = copy.deepcopy(model).eval().double()
    rest, fields = list(layers), {}
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
        edges = _bounds(shadow, rest, axes, size, [torch.tensor([0, side - 1]) for side in size], batch)
        for layer, (top, bottom, left, right) in edges.items():
            if (
                all((end == side).all() for end, side in ((bottom, size[0]), (right, size[1])))
                and not (top | left).any()
            ):
                fields[layer] = _boxes(top, bottom, left, right)
        rest = [layer for layer in rest if layer not in fields]
        if rest:
            lines = [torch.arange(side) for side in size]
            fields |= {
                layer: _boxes(*found) for layer, found in _bounds(shadow, rest, axes, size, lines, batch).items()
            }
    return fields


def _bounds(
    model: nn.Module,
    layers: Sequence[str],
    axes: dict[str, int],
    size: tuple[int, int],
    lines: Sequence[Tensor],
    batch: int,
) -> dict[str, list[Tensor]]:
    """Of the given rows and columns those that each unit sees: the first, and the one after the last, (K, places) each:
    rows' first and end, columns' first and end.
    """
    device = _device(model)
    bounds: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    with activations_of(model, layers, axes=axes) as activations:
        for axis, side in enumerate(size):
            reached: dict[str, tuple[Tensor, Tensor]] = {}
            for some in lines[axis].to(device, torch.int32).split(batch):
                pictures = torch.zeros(len(some), 3, *size, dtype=torch.float64, device=device)
                for picture, line in zip(pictures, some, strict=True):
                    picture.select(axis + 1, int(line)).fill_(torch.nan)
                numbers = some.view(-1, 1, 1)
                for layer, activation in activations(pictures).items():
                    sees = _maps(activation).isnan()  # (b, K, places)
                    first = torch.where(sees, numbers, side).amin(0)
                    end = torch.where(sees, numbers + 1, 0).amax(0)
                    if layer in reached:
                        first, end = torch.minimum(first, reached[layer][0]), torch.maximum(end, reached[layer][1])
                    reached[layer] = first, end
            for layer, pair in reached.items():
                bounds[layer] += pair
    return bounds


def _boxes(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> np.ndarray:
    """(K, places) each -> (K, places, 4) left, top, right, bottom; zeros where nothing is seen."""
    boxes = torch.stack([left, top, right, bottom], 2) * (bottom > top).unsqueeze(2)
    return boxes.cpu().numpy()


def crop(picture: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """The patch of a picture, (H, W, …), in a box left, top, right, bottom, such as a row of `top_images` has."""
    left, top, right, bottom = (int(side) for side in box)
    height, width = picture.shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InputError(f"a picture of {width}×{height} px has no patch {(left, top, right, bottom)}")
    return picture[top:bottom, left:right]
