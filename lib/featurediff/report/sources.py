"""The files of a run that the page is made from, and how they are read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from feature_vis.errors import InputError
from feature_vis.images.png import read_notes
from featurediff.measures.embeddings import load_embeddings
from featurediff.rendering.failed_pictures import failed_of
from featurediff.report.pca_map import pca_map
from featurediff.report.probe_sheets import shown_images
from featurediff.report.tables import network_table, picture_table
from featurediff.runtime.tables import read_table, read_tables

__all__ = ["NetworkFacts", "Sources", "network_facts"]

_DIFFERENCE = ("candidates", "starts", "classes", "effects", "effect", "photographs", "flips")


@dataclass(frozen=True)
class NetworkFacts:
    """A network of the run. One that was not trained here has no epoch and no accuracies (0 to 1)."""

    name: str
    architecture: str
    weights: str = ""
    data: str = ""
    epoch: int | None = None
    train_accuracy: float | None = None
    val_accuracy: float | None = None
    class_names: Sequence[str] = ()
    digest: str = ""


def network_facts(network: dict[str, str], log: pd.DataFrame | None, network_file: str) -> NetworkFacts:
    """What the overview shows of a network; the accuracies are those of the epoch that is visualized.

    `network`: name, architecture, weights (absent for a random start), data. `log`: its training.csv, None where it was
    not trained here.
    """
    from featurediff.networks import (
        load_network,
        read_digest,
    )  # imports torch, which the other readers here do not need

    loaded = load_network(network_file)
    of_file = {"epoch": loaded.epoch, "class_names": loaded.class_names or []}
    shown: dict[str, Any] = {"weights": "random start", **network, **of_file}
    if log is not None:
        row = log.set_index("epoch").loc[loaded.epoch]
        shown |= {"train_accuracy": row["train_accuracy"], "val_accuracy": row["val_accuracy"]}
    return NetworkFacts(**shown, digest=read_digest(Path(network_file).with_suffix(".sha256")))


@dataclass(frozen=True)
class Sources:
    """A finished run in `results`: the base, the fine-tuned networks and the layers in the order of the config.

    Only files that the workflow declares as inputs are read; films and controls where there are any.
    """

    results: Path
    base: str
    networks: Sequence[NetworkFacts]
    layers: Sequence[str]
    training: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    differences: Sequence[str] = ()  # the networks that were asked at once with the base

    @cached_property
    def tuned(self) -> list[str]:
        return [network.name for network in self.networks if network.name != self.base]

    @cached_property
    def failed(self) -> pd.DataFrame:
        return read_table(self.results / "failed_pictures.csv")

    def notes(self, network: str) -> dict[str, dict[str, Any]]:
        """Layer -> `thumbnails.layer_notes`."""
        folder = self.results / "report" / "thumbs" / network
        return {layer: _notes_of(folder, layer) for layer in self.layers}

    def table(self, network: str, notes: Mapping[str, Any]) -> pd.DataFrame:
        """A row for each channel, in the page's order; the base has only the columns of its pictures."""
        pictures = picture_table(notes, self.failed, network)
        if network == self.base:
            return pictures
        folder = self.results / "compare" / network
        return network_table(pictures, folder / "ranking.csv", [folder / f"{layer}.csv" for layer in self.layers])

    @cached_property
    def summary(self) -> pd.DataFrame:
        return self._of_all("summary")

    @cached_property
    def agreement(self) -> pd.DataFrame:
        return self._of_all("agreement")

    def _of_all(self, table: str) -> pd.DataFrame:
        """The tables of all comparisons, one below the other."""
        files = [self.results / "compare" / name / f"{table}.csv" for name in self.tuned]
        return read_tables(files)

    def columns_files(self) -> list[Path]:
        """The files that describe columns, the more important last: a film's `excess` has another scale."""
        films = [file for name in self.tuned if (file := self._film(name) / "columns.yaml").exists()]
        return [*films, *(self.results / "compare" / name / "columns.yaml" for name in self.tuned)]

    def probe(self, network: str) -> dict[str, pd.DataFrame]:
        """The tables of a fine-tuned network's probe images, and `shown`, the images in a list of top images."""
        folder = self.results / "compare" / network / "probe"
        names = ("images", "selectivity", "layers", "top_images")
        tables = {name: read_table(folder / f"{name}.csv") for name in names}
        return {**tables, "shown": shown_images(tables["images"], tables["top_images"])}

    def probe_sheets(self, network: str) -> dict[str, Any]:
        """The sizes of the tiles of its probe images and of what they show, pixels."""
        return _notes_of(self.results / "report" / "thumbs" / network, "probe")

    def pca_map(self, layer: str) -> dict[str, Any]:
        """See `report.pca_map`; failed pictures are left out."""
        names = [network.name for network in self.networks]
        files = {name: self.results / name / "embeddings" / f"{layer}.npz" for name in names}
        return pca_map(
            {name: load_embeddings(file, failed_of(self.failed, name, layer))[1] for name, file in files.items()}
        )

    def difference(self, network: str) -> dict[str, pd.DataFrame]:
        """The tables of what a network and the base disagree about; they have no rows where nothing can be compared."""
        return {name: read_table(self._difference(network) / f"{name}.csv") for name in _DIFFERENCE}

    def difference_summary(self, network: str) -> dict[str, Any]:
        """The sentence about it, with its numbers, or the reason why there is none."""
        file = self._difference(network) / "summary.json"
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read ({error}): delete it and run again") from None

    def difference_pictures(self, network: str) -> dict[str, Path]:
        """The PNGs of the pictures that the page shows, by the names in `starts.csv`.

        Raises:
            InputError: one of them is missing.
        """
        folder = self._difference(network)
        files = {name: folder / name for name in read_table(folder / "starts.csv")["picture"]}
        for file in files.values():
            if not file.is_file():
                raise InputError(f"{file} is missing: run again with --forcerun visualize_difference")
        return files

    def _difference(self, network: str) -> Path:
        return self.results / network / "difference"

    @cached_property
    def controls(self) -> pd.DataFrame:
        """What control runs have in common with the first run, by layer; empty where there are none."""
        files = [self.results / "compare" / name / "control.csv" for name in self.tuned]
        return read_tables(file for file in files if file.exists())

    def film(self, network: str) -> pd.DataFrame:
        """The measures at each epoch of a film; empty where there is none."""
        file = self._film(network) / "change.csv"
        return read_table(file) if file.exists() else pd.DataFrame(columns=["layer", "channel", "epoch"])

    def strip(self, network: str, layer: str, channel: int) -> dict[str, Any] | None:
        """The layout of a channel's film strip: its frames' names, their size and pitch in pixels."""
        notes = read_notes(self._film(network) / layer / f"channel{channel}.png")
        return notes if notes is None else {name: notes[name] for name in ("frames", "width", "height", "pitch", "top")}

    def _film(self, network: str) -> Path:
        return self.results / network / "film"


def _notes_of(folder: Path, stem: str) -> Any:
    """The content of a JSON file that `report.thumbnails` or `report.probe_sheets` wrote."""
    file = folder / f"{stem}.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}): delete the folder {folder} and run again") from None
