"""How each channel responds to photographs before and after fine-tuning: one pass over a set of probe images.

The activation of a channel is the objective of its picture: the mean of its map after the ReLU. Both networks see every
probe image once. The mean activations are kept, N images × K channels in float64 for each network and layer, and
everything follows from them (`featurediff.measures.activation_statistics`).

Measured are, for each channel, the correlation, scale and mean of its activation, its class selectivity, and the images
that excite it most; and for each layer the linear CKA.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from feature_vis.errors import InputError
from feature_vis.networks.activations import activations_of, device_of
from feature_vis.networks.structure import require_layer_shapes
from featurediff.measures.activation_statistics import (
    Label,
    TopImages,
    class_means,
    class_selectivity,
    correlation,
    is_constant,
    linear_cka,
    spread,
)
from featurediff.measures.receptive_fields import maps, receptive_fields
from featurediff.runtime.tables import join_reasons

__all__ = ["COLUMNS", "PhotoResponses", "photo_responses"]

_NETWORKS = ("base", "tuned")
_WHERE = ("in the base", "in the tuned network")

# name: (unit, meaning)
COLUMNS = {
    "layer": ("", "dotted module name"),
    "channel": ("", "number of the channel in its layer"),
    "images": ("images", "probe images shown"),
    "mean_base": ("activation", "mean over the probe images, in the base"),
    "mean_tuned": ("activation", "mean over the probe images, in the tuned network"),
    "std_base": ("activation", "standard deviation over the probe images (n - 1), in the base"),
    "std_tuned": ("activation", "standard deviation over the probe images (n - 1), in the tuned network"),
    "correlation": ("-1 to 1", "Pearson correlation of the activation in the base and in the tuned network"),
    "scale_ratio": ("ratio", "std_tuned / std_base"),
    "mean_shift": ("std_base", "(mean_tuned - mean_base) / std_base"),
    "top_overlap": ("0 to 1", "images in both networks' lists of top images, as a share of those in either (Jaccard)"),
    "reason": ("", "why values of the row are empty"),
    "task": ("", "data set whose classes are compared"),
    "selectivity_base": ("0 to 1", "(largest class mean - mean of the others) / their sum, in the base (Morcos 2018)"),
    "selectivity_tuned": ("0 to 1", "the same in the tuned network"),
    "class_base": ("", "class with the largest mean activation, in the base"),
    "class_tuned": ("", "class with the largest mean activation, in the tuned network"),
    "cka": ("-1 to 1", "linear CKA of the layer's activations in the base and in the tuned network, unbiased estimate"),
    "cka_biased": ("0 to 1", "linear CKA, Kornblith's estimate: near 1 where images are fewer than channels"),
    "network": ("", "base or tuned"),
    "rank": ("", "place in the list of top images, from 1, the most exciting; ties in the order of images"),
    "image": ("", "number of the image in the list of probe images, from 0"),
    "activation": ("activation", "mean of the channel's map for this image"),
    "maximum": ("activation", "largest value of the channel's map for this image"),
    "tied": ("", "whether an image that is not in the list excites the channel exactly as much"),
    "row": ("position", "row of the map where the maximum stands; empty where the layer has no map"),
    "column": ("position", "column of the map where the maximum stands; empty where the layer has no map"),
    "left": ("px", "first column of pixels that the map sees at its maximum"),
    "top": ("px", "first row of pixels that the map sees at its maximum"),
    "right": ("px", "the column after the last that it sees there"),
    "bottom": ("px", "the row after the last that it sees there"),
}


@dataclass(frozen=True)
class PhotoResponses:
    """Tables of what was measured; `COLUMNS` explains their columns.

    `channels`: a row a channel. `selectivity`: a row a channel and task. `layers`: a row a layer. `top_images`: a row a
    channel, network and rank.
    """

    channels: pd.DataFrame
    selectivity: pd.DataFrame
    layers: pd.DataFrame
    top_images: pd.DataFrame


def photo_responses(
    base: nn.Module,
    tuned: nn.Module,
    layers: Collection[str],
    batches: Iterable[tuple[Tensor, Sequence[Label]]],
    *,
    top: int = 9,
    patches: bool = True,
) -> PhotoResponses:
    """Show the probe images to both networks, once, and compare their layers channel by channel.

    `batches`: images, (B, 3, H, W), normalised and all of one size, with a label each; they are numbered from 0 in this
    order. `top`: how many top images a channel has. `patches`: whether to measure which part of a top image the channel
    sees where its map is largest (`featurediff.measures.receptive_fields`); without it, the corners are empty.

    Raises:
        InputError: no images, unusable ones, or layers that do not exist or differ in their number of channels.
    """
    if top < 1:
        raise InputError(f"the number of top images must be at least 1, not {top}")
    if not layers:
        raise InputError("no layers were named")
    axes: dict[str, int] = {}
    measured: dict[str, _Layer] = {}
    labels: list[Label] = []
    size: tuple[int, int] | None = None
    for images, batch_labels in batches:
        _check_batch(images, batch_labels, size)
        if size is None:
            size = (images.shape[2], images.shape[3])
            axes = {layer: axis for layer, (_, axis) in require_layer_shapes(base, layers, size).items()}
        numbers = np.arange(len(labels), len(labels) + len(images))
        labels += (Label(*label) for label in batch_labels)
        before, after = (_activations(model, axes, images) for model in (base, tuned))
        for layer in axes:
            if layer not in measured:
                measured[layer] = _Layer(before[layer], top)
            measured[layer].add(layer, before[layer], after[layer], numbers)
    if size is None:
        raise InputError("there are no probe images")
    fields = receptive_fields(base, axes, size) if patches else {}
    found = {layer: part.activations() for layer, part in measured.items()}  # (2, N, K) each
    return PhotoResponses(
        channels=_stack({layer: _channels(found[layer], part.top) for layer, part in measured.items()}),
        selectivity=_stack({layer: _selectivity(activations, labels) for layer, activations in found.items()}),
        layers=pd.DataFrame([{"layer": layer, **_similarity(activations)} for layer, activations in found.items()]),
        top_images=_stack(
            {layer: _top_images(part.top, part.grid, fields.get(layer)) for layer, part in measured.items()}
        ),
    )


def _check_batch(images: Tensor, labels: Sequence[Label], size: tuple[int, int] | None) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point() or not len(images):
        raise InputError(f"probe images must be (B, 3, H, W) floats, not {tuple(images.shape)} of {images.dtype}")
    if len(labels) != len(images):
        raise InputError(f"{len(images)} probe images cannot have {len(labels)} labels")
    if size is not None and tuple(images.shape[2:]) != size:
        sizes = " and ".join(f"{width}×{height}" for height, width in (size, images.shape[2:]))
        raise InputError(f"the probe images differ in size: {sizes} px")


def _activations(model: nn.Module, axes: dict[str, int], images: Tensor) -> dict[str, Tensor]:
    """Each layer's activation, (B, K, …)."""
    with activations_of(model.eval(), axes, axes=axes) as activations, torch.no_grad():
        return activations(images.to(device_of(model)))


def _stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of all layers one below the other, with the layer's name in front."""
    for layer, table in tables.items():
        table.insert(0, "layer", layer)
    return pd.concat(tables.values(), ignore_index=True)


class _Layer:
    """What is kept of one layer's activations: the means of all maps, and the top images."""

    def __init__(self, activation: Tensor, top: int) -> None:
        self.grid = tuple(activation.shape[2:])
        self.means: list[np.ndarray] = []  # (2, B, K) each
        self.top = TopImages(activation.shape[1], top)

    def add(self, layer: str, before: Tensor, after: Tensor, numbers: np.ndarray) -> None:
        """Add a batch: activations, (B, K, …), in the base and in the tuned network."""
        if before.shape != after.shape:
            shapes = f"{tuple(before.shape[1:])} and {tuple(after.shape[1:])}"
            raise InputError(f"{layer or 'the output'} differs between base and tuned network: {shapes}")
        sides = [maps(activation) for activation in (before, after)]  # (B, K, places)
        means = np.stack([side.mean(2, dtype=torch.float64).cpu().numpy() for side in sides])  # (2, B, K)
        maxima, places = zip(*(side.max(2) for side in sides), strict=True)
        self.means.append(means)
        self.top.add(
            means,
            np.stack([values.double().cpu().numpy() for values in maxima]),
            np.stack([values.cpu().numpy() for values in places]),
            numbers,
        )

    def activations(self) -> np.ndarray:
        """(2, N, K)"""
        joined = np.concatenate(self.means, 1)
        self.means = [joined]
        return joined


def _channels(activations: np.ndarray, top: TopImages) -> pd.DataFrame:
    count = activations.shape[1]
    (mean_base, mean_tuned), (std_base, std_tuned) = activations.mean(1), spread(activations)
    not_finite, (still_base, still_tuned) = _not_finite(activations), is_constant(activations)
    tied = np.any(top.tied(), axis=(0, 2))
    few, all_listed = (np.full(tied.shape, found) for found in (count < 3, count <= top.top))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale, shift = std_tuned / std_base, (mean_tuned - mean_base) / std_base
    none = few | not_finite.any(0)
    measured = {
        "correlation": (correlation(activations), none | still_base | still_tuned),
        "scale_ratio": (scale, none | still_base),
        "mean_shift": (shift, none | still_base),
        "top_overlap": (top.overlap(), not_finite.any(0) | all_listed | tied),
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


def _selectivity(activations: np.ndarray, labels: Sequence[Label]) -> pd.DataFrame:
    tables = []
    for task in sorted({label.task for label in labels}):
        names, means = class_means(activations, labels, task)  # (C, 2, K)
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
    return pd.concat(tables, ignore_index=True)


def _similarity(activations: np.ndarray) -> dict[str, Any]:
    """The row of a layer."""
    images = activations.shape[1]
    problems = {
        "fewer than 4 probe images": images < 4,
        "not finite": bool(_not_finite(activations).any()),
        "no channel varies": bool(is_constant(activations).all(1).any()),
    }
    if reason := "; ".join(problem for problem, found in problems.items() if found):
        return {"images": images, "cka": np.nan, "cka_biased": np.nan, "reason": reason}
    cka, biased = linear_cka(activations)
    reason = "too few probe images" if np.isnan(cka) else ""
    return {"images": images, "cka": cka, "cka_biased": biased, "reason": reason}


def _top_images(lists: TopImages, grid: tuple[int, ...], fields: np.ndarray | None) -> pd.DataFrame:
    """`grid`: height and width of the maps, () if there are none. `fields`: (K, places, 4), None if not measured."""
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
    has_map = len(grid) == 2
    row, column = divmod(place, grid[1]) if has_map else (place, place)
    for name, values in (("row", row), ("column", column)):
        table[name] = pd.Series(values if has_map else pd.NA, index=table.index, dtype="Int64")
    table[["left", "top", "right", "bottom"]] = pd.NA if fields is None else fields[channel, place].astype(np.int64)
    return table


def _not_finite(activations: np.ndarray) -> np.ndarray:
    """(2, K)"""
    return ~np.isfinite(activations.mean(1))
