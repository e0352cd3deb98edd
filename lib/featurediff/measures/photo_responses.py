"""What each channel answers to real pictures, before and after fine-tuning: one pass over a set of probe images.

A channel's activation is what the objective of its picture is: the mean of its map, after the ReLU. Both networks
look at every probe image once, and what is kept of it are sums (`featurediff.measures.accumulators`).

Measured: per channel the correlation, scale and mean of its activation, its class selectivity, and the images that
excite it most; per layer the linear CKA.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.activations import Activations, activations_of, device_of
from featurediff.measures.accumulators import ClassMeans, Label, LinearCka, Moments, TopImages, class_selectivity
from featurediff.measures.receptive_fields import Fields, channel_axes, maps, receptive_fields
from featurediff.runtime.tables import join_reasons

__all__ = ["COLUMNS", "Probing", "probe"]

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
            axes = channel_axes(base, layers, size)
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


def _read(
    base: nn.Module, tuned: nn.Module, layers: Collection[str], axes: dict[str, int], images: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Each layer's activations in both networks, (B, K, …)."""

    def look(model: nn.Module, activations: Activations) -> dict[str, Tensor]:
        model.eval()
        return activations(images.to(device_of(model)))

    with (
        activations_of(base, layers, axes=axes) as in_base,
        activations_of(tuned, layers, axes=axes) as in_tuned,
        torch.no_grad(),
    ):
        before, after = look(base, in_base), look(tuned, in_tuned)
    return {layer: (before[layer], after[layer]) for layer in layers}


def _named(table: pd.DataFrame, layer: str) -> pd.DataFrame:
    table.insert(0, "layer", layer)
    return table


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


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
        sides = [maps(activation) for activation in (before, after)]  # (B, K, places)
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
                "reason": join_reasons(reasons),
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
            tables.append(pd.DataFrame({**columns, "reason": join_reasons(reasons)}))
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
