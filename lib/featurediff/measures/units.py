"""What a fine-tuned network's units do differently: on probe images, on both networks' pictures, and in their filters.

The files of `featurediff.measures.photo_responses`, `featurediff.measures.cross_activation` and
`featurediff.measures.weight_change`: one table with a row a unit, and beside it what has another grain (classes,
layers, top images). Probe images are the validation pictures of the data sets that the two networks were trained on:
no network has learned from them.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from feature_vis.images.png import channel_of, read_picture
from featurediff.data.split import read_split
from featurediff.data.torch_dataset import PictureDataset, normalised, val_transform
from featurediff.measures import cross_activation, weight_change
from featurediff.measures import photo_responses as probing
from featurediff.measures import picture_responses as picture_response
from featurediff.measures.accumulators import Label
from featurediff.measures.frozen_layers import frozen_layers, layers_before
from featurediff.measures.photo_responses import Probing
from featurediff.runtime.progress import progress
from featurediff.runtime.tables import write_table

__all__ = ["COLUMNS", "compare_units", "probe_images", "write_probing"]

log = logging.getLogger("featurediff")

COLUMNS: Mapping[str, tuple[str, str]] = {
    **{name: meaning for name, meaning in weight_change.COLUMNS.items() if name != "reason"},
    **{name: meaning for name, meaning in cross_activation.COLUMNS.items() if name != "reason"},
    **{name: meaning for name, meaning in picture_response.COLUMNS.items() if name != "reason"},
    **{name: meaning for name, meaning in probing.COLUMNS.items() if name != "reason"},
    "frozen": ("", "whether the layer's weights, and all before them, are those of the base"),
    "weight_reason": ("", "why weight_change or weight_cosine is empty"),
    "cross_reason": ("", "why one of the activations of pictures, or their ratio, is empty"),
    "response_reason": ("", "why picture_correlation or response_excess is empty"),
    "probe_reason": ("", "why a number from probe images is empty"),
}

_BATCH = 32


def probe_images(
    splits: Mapping[str, str], roots: Mapping[str, str], size: int, resize: int | None
) -> tuple[pd.DataFrame, Iterator[tuple[Tensor, list[Label]]]]:
    """The validation pictures of data sets: their list (image, data, path, class_name), and batches of them.

    `splits`: data set -> file of its split; `roots`: its folder. Batches: (B, 3, size, size) normalised, with labels.
    """
    sets, tables = {}, []
    for name, file in splits.items():
        split = read_split(file)
        sets[name] = PictureDataset(roots[name], split, "val", val_transform(size, resize=resize))
        part = split[split["split"] == "val"]
        tables.append(part[["path", "label"]].rename(columns={"label": "class_name"}).assign(data=name))
    columns = ["data", "path", "class_name"]
    images = pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    images.insert(0, "image", np.arange(len(images)))

    def batches() -> Iterator[tuple[Tensor, list[Label]]]:
        waiting: list[Tensor] = []
        labels: list[Label] = []
        shown = (picture for pictures in sets.values() for picture, _ in (pictures[i] for i in range(len(pictures))))
        with progress(len(images), "probe images", "img") as advance:
            for picture, (data, class_name) in zip(shown, images[["data", "class_name"]].values, strict=True):
                waiting.append(picture)
                labels.append(Label(data, class_name))
                advance(1)
                if len(waiting) == _BATCH:
                    yield normalised(torch.stack(waiting)), labels
                    waiting, labels = [], []
            if waiting:
                yield normalised(torch.stack(waiting)), labels

    return images, batches()


def compare_units(
    base: nn.Module,
    tuned: nn.Module,
    pictures: Mapping[str, tuple[Sequence[str], ...]],
    probe: Probing | None,
    train_from: str | None,
) -> pd.DataFrame:
    """A row a unit that has pictures: see `COLUMNS`.

    `pictures`: layer -> PNGs of base and tuned, of the same channels. `probe`: of both networks, None where there
    are no probe images. `train_from`: of the training, None where all modules learned.

    Raises:
        FrozenLayerChanged: a layer before `train_from` whose weights or statistics are not the base's.
    """
    layers = list(pictures)
    frozen = frozen_layers(base, tuned, layers, layers_before(base, train_from, layers))
    weights = weight_change.weight_change(base, tuned, layers, size=_size(pictures[layers[0]][0][0]))
    tables = []
    for layer, (of_base, of_tuned) in pictures.items():
        channels = [channel_of(path) for path in of_base]
        crossed = cross_activation.cross_activation(base, tuned, layer, channels, _read(of_base), _read(of_tuned))
        both = chain.from_iterable(zip(_read(of_base), _read(of_tuned), strict=True))
        response = picture_response.picture_response(base, tuned, layer, channels, both)
        crossed = crossed.rename(columns={"reason": "cross_reason"}).assign(frozen=layer in frozen)
        tables.append(crossed.merge(response.rename(columns={"reason": "response_reason"}), on=["layer", "channel"]))
    table = pd.concat(tables, ignore_index=True)
    table = table.merge(weights.rename(columns={"reason": "weight_reason"}), on=["layer", "channel"])
    if probe is None:
        return table.assign(correlation=np.nan, probe_reason="there are no probe images")
    return table.merge(probe.channels.rename(columns={"reason": "probe_reason"}), on=["layer", "channel"])


def write_probing(folder: Path, probe: Probing | None, images: pd.DataFrame) -> None:
    """Write the probe images' list, and what is measured a class, a layer and a top image, as CSV."""
    tables: dict[str, Any] = {"images": images}
    for name in ("selectivity", "layers", "top_images"):
        tables[name] = getattr(probe, name) if probe is not None else pd.DataFrame(columns=["layer"])
    for name, table in tables.items():
        write_table(table, folder / f"{name}.csv")
    if probe is not None:
        for row in probe.layers.itertuples():
            log.info("%s: CKA %.3f over %d images", row.layer, row.cka, len(images))


def _read(paths: Sequence[str]) -> Iterator[np.ndarray]:
    return (read_picture(path)[0] for path in paths)


def _size(path: str) -> tuple[int, int]:
    height, width = read_picture(path)[0].shape[:2]
    return height, width
