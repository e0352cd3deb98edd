"""What the channels of a fine-tuned network do differently: for photographs, for rendered pictures, in their filters.

One table holds a row a channel, with the columns of `featurediff.measures.photo_responses`,
`featurediff.measures.cross_activation`, `featurediff.measures.picture_responses` and
`featurediff.measures.weight_change`. What has other rows (classes, layers, top images) is written beside it. The probe
images are the validation pictures of the data sets that the two networks were trained on, so neither network has
learned from them.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from feature_vis.images.png import channel_of, read_picture
from featurediff.data.split import read_split
from featurediff.data.torch_dataset import PictureDataset, photograph_batches, val_transform
from featurediff.measures import cross_activation, photo_responses, picture_responses, weight_change
from featurediff.measures.activation_statistics import Label
from featurediff.measures.frozen_layers import frozen_layers, layers_before
from featurediff.measures.photo_responses import PhotoResponses
from featurediff.runtime.progress import progress
from featurediff.runtime.tables import write_table

__all__ = ["COLUMNS", "measure_channels", "probe_images", "show_probe_images", "write_photo_responses"]

log = logging.getLogger("featurediff")

COLUMNS: Mapping[str, tuple[str, str]] = {
    **{
        name: meaning
        for module in (weight_change, cross_activation, picture_responses, photo_responses)
        for name, meaning in module.COLUMNS.items()
        if name != "reason"
    },
    "frozen": ("", "whether the weights of the layer, and of all layers before it, are those of the base"),
    "weight_reason": ("", "why weight_change or weight_cosine is empty"),
    "cross_reason": ("", "why one of the activations of pictures, or their ratio, is empty"),
    "response_reason": ("", "why picture_correlation or response_excess is empty"),
    "probe_reason": ("", "why a number from probe images is empty"),
}

_BATCH = 32


def probe_images(
    splits: Mapping[str, str], roots: Mapping[str, str], size: int, resize: int | None
) -> tuple[pd.DataFrame, Iterator[tuple[Tensor, list[Label]]]]:
    """The validation pictures of data sets: a table of them (image, data, path, class_name), and batches of them.

    `splits`: data set -> file of its split. `roots`: data set -> its folder. `size`, `resize`: see
    `featurediff.data.torch_dataset.val_transform`. The batches are (B, 3, size, size), normalised, with their labels.
    """
    sets, tables = [], []
    for name, file in splits.items():
        split = read_split(file)
        sets.append(PictureDataset(roots[name], split, "val", val_transform(size, resize=resize)))
        part = split[split["split"] == "val"]
        tables.append(part[["path", "label"]].rename(columns={"label": "class_name"}).assign(data=name))
    columns = ["data", "path", "class_name"]
    images = pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    images.insert(0, "image", np.arange(len(images)))

    def batches() -> Iterator[tuple[Tensor, list[Label]]]:
        labels = (Label(data, class_name) for data, class_name in images[["data", "class_name"]].values)
        with progress(len(images), "probe images", "img") as advance:
            for batch in photograph_batches(sets, _BATCH):
                yield batch, list(islice(labels, len(batch)))
                advance(len(batch))

    return images, batches()


def show_probe_images(
    base: nn.Module,
    tuned: nn.Module,
    layers: Collection[str],
    splits: Sequence[str],
    *,
    roots: Mapping[str, str],
    size: int,
    resize: int | None,
    top: int = 9,
    patches: bool = True,
) -> tuple[pd.DataFrame, PhotoResponses | None]:
    """The table of the probe images, see `probe_images`, and both networks' responses to them, None if there are none.

    `splits`: the files of the splits, in the order of `roots`. `top`, `patches`: see
    `featurediff.measures.photo_responses.photo_responses`.
    """
    images, batches = probe_images(dict(zip(roots, splits, strict=True)), roots, size, resize)
    if images.empty:
        return images, None
    return images, photo_responses.photo_responses(base, tuned, layers, batches, top=top, patches=patches)


def measure_channels(
    base: nn.Module,
    tuned: nn.Module,
    pictures: Mapping[str, tuple[Sequence[str], ...]],
    responses: PhotoResponses | None,
    train_from: str | None,
) -> pd.DataFrame:
    """One row for each channel that has pictures, see `COLUMNS`.

    `pictures`: layer -> the PNGs of the base and of the tuned network, for the same channels. `responses`: of both
    networks, None if there are no probe images. `train_from`: the first module that was trained, None for all.

    Raises:
        FrozenLayerChanged: the weights or statistics of a layer before `train_from` are not the base's.
    """
    layers = list(pictures)
    frozen = frozen_layers(base, tuned, layers, layers_before(base, train_from, layers))
    first = read_picture(pictures[layers[0]][0][0])[0]
    weights = weight_change.weight_change(base, tuned, layers, size=(first.shape[0], first.shape[1]))
    tables = []
    for layer, (of_base, of_tuned) in pictures.items():
        channels = [channel_of(path) for path in of_base]
        crossed = cross_activation.cross_activation(base, tuned, layer, channels, _pairs(of_base, of_tuned))
        both = chain.from_iterable(_pairs(of_base, of_tuned))
        response = picture_responses.picture_responses(base, tuned, layer, channels, both)
        crossed = crossed.rename(columns={"reason": "cross_reason"}).assign(frozen=layer in frozen)
        tables.append(crossed.merge(response.rename(columns={"reason": "response_reason"}), on=["layer", "channel"]))
    table = pd.concat(tables, ignore_index=True)
    table = table.merge(weights.rename(columns={"reason": "weight_reason"}), on=["layer", "channel"])
    if responses is None:
        return table.assign(correlation=np.nan, probe_reason="there are no probe images")
    return table.merge(responses.channels.rename(columns={"reason": "probe_reason"}), on=["layer", "channel"])


def _pairs(of_base: Sequence[str], of_tuned: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((read_picture(a)[0], read_picture(b)[0]) for a, b in zip(of_base, of_tuned, strict=True))


def write_photo_responses(folder: Path, responses: PhotoResponses | None, images: pd.DataFrame) -> None:
    """Write the table of probe images, and the tables by class, by layer and by top image, as CSV."""
    write_table(images, folder / "images.csv")
    for name in ("selectivity", "layers", "top_images"):
        table = getattr(responses, name) if responses is not None else pd.DataFrame(columns=["layer"])
        write_table(table, folder / f"{name}.csv")
    if responses is not None:
        for row in responses.layers.itertuples():
            log.info("%s: CKA %.3f over %d images", row.layer, row.cka, len(images))
