"""Figures from tables, without pyplot and its global state.

Equal input gives equal bytes with the same version of matplotlib: neither a date nor a version is written.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from feature_vis.files import atomic_path
from featurediff.report.palette import LABEL, PALETTE

__all__ = [
    "change_over_epochs",
    "confusion_matrix",
    "save_figure",
    "similarity_boxplot",
    "training_curves",
]

# The panels of `change_over_epochs`: title, unit, value of an unchanged channel, and the measure from the table.
_CHANGES: tuple[tuple[str, str, float, Callable[[pd.DataFrame], pd.Series]], ...] = (
    ("Pictures", "distance to the base's, 1 - cosine", 0.0, lambda rows: 1 - rows["paired_similarity"]),
    ("Activation on probe images", "1 - correlation with the base", 0.0, lambda rows: 1 - rows["correlation"]),
    ("Answer to the base's picture", "share of that to its own", 1.0, lambda rows: rows["tuned_likes_base_picture"]),
    ("Filters", "relative change of weights", 0.0, lambda rows: rows["weight_change"]),
)

# With at most this many values, a box shows every value: quartiles alone would hide how few there are.
_FEW = 100
_INK = "#333333"


def similarity_boxplot(tables: Sequence[pd.DataFrame]) -> Figure:
    """Cosine similarity to the base network: a group of boxes for each layer, a colour for each network.

    `tables`: of `featurediff.measures.picture_similarity.compare_layer`. Failed channels are left out. Boxes span the
    quartiles with the median, whiskers the 5th to 95th percentile. Every value is drawn where there are few.
    """
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["network", "layer", "cosine"])
    if len(table):
        table = table[table["rank"].notna()]
    layers, networks = list(dict.fromkeys(table["layer"])), list(dict.fromkeys(table["network"]))
    figure, axes = _figure(1, width=max(4.8, 1.6 + 0.9 * len(layers) * max(1, len(networks))))
    axis = axes[0]
    step = 0.8 / max(1, len(networks))
    for number, network in enumerate(networks):
        for place, layer in enumerate(layers):
            values = table.loc[(table["network"] == network) & (table["layer"] == layer), "cosine"].to_numpy(float)
            if len(values):
                _box(axis, values, place + step * (number - (len(networks) - 1) / 2), 0.7 * step, _color(number))
        axis.plot([], [], color=_color(number), linewidth=6, alpha=0.5, label=network)
    axis.set_xticks(range(len(layers)), [_tick(table, layer, networks) for layer in layers])
    axis.set_xlim(-0.5, max(0.5, len(layers) - 0.5))
    axis.set_xlabel("layer (n: channels compared)")
    axis.set_ylabel("cosine similarity to the base network")
    axis.set_title("Similarity of pictures, channel by channel")
    if networks:
        figure.legend(title="network", loc="outside right upper", fontsize=8, title_fontsize=8, frameon=False)
    _say_if_empty(axis, len(table))
    return figure


def training_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss, accuracy and learning rate over epochs: a colour for each network, validation solid, training dashed.

    `logs`: network -> columns epoch, train_loss, val_loss, train_accuracy, val_accuracy (0 to 1), learning_rate.
    """
    figure, (loss, accuracy, rate) = _figure(3, width=10.5)
    for number, (network, log) in enumerate(logs.items()):
        style: dict[str, Any] = {"color": _color(number), "marker": "o" if len(log) <= 20 else None, "markersize": 3}
        for axis, name, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
            axis.plot(log["epoch"], log[f"val_{name}"] * factor, label=f"{network}, validation", **style)
            axis.plot(log["epoch"], log[f"train_{name}"] * factor, "--", label=f"{network}, training", **style)
        # rates are often equal: earlier lines are wider, so that they remain visible below later ones
        rate.plot(log["epoch"], log["learning_rate"], linewidth=1.5 + 2.5 * (len(logs) - 1 - number), **style)
    for axis, title, unit in (
        (loss, "Loss", "cross-entropy (nats)"),
        (accuracy, "Accuracy", "accuracy (%)"),
        (rate, "Learning rate", "learning rate (per step)"),
    ):
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.set_ylabel(unit)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        _say_if_empty(axis, len(logs))
    loss.set_ylim(bottom=0)
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    if logs:
        loss.legend(fontsize=8, frameon=False)
    return figure


def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str]) -> Figure:
    """For each class (row), the share of its photographs that is predicted as each class (column), in per cent.

    `confusion`: (classes, classes) photographs. Up to 40 classes are named, and up to 20 have numbers in their squares.
    The row of a class without photographs is empty.
    """
    count = len(class_names)
    named, numbered = count <= 40, count <= 20
    side = max(4.8, 0.28 * count + 2.4) if named else 7.0
    figure = Figure(figsize=(side + 0.9, side), layout="constrained", facecolor="white")
    axis = figure.add_subplot()
    pictures = confusion.sum(axis=1, keepdims=True)
    shares = np.where(pictures > 0, 100 * confusion / np.maximum(pictures, 1), np.nan)  # (classes, classes)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name in class_names]
    places = range(count) if named else []
    # a class may have $ in its name
    axis.set_xticks(places, names if named else [], rotation=90, fontsize=8, parse_math=False)
    axis.set_yticks(places, names if named else [], fontsize=8, parse_math=False)
    for row, column in np.ndindex(shares.shape) if numbered else ():
        if shares[row, column] > 0:
            ink = "white" if shares[row, column] > 50 else _INK
            axis.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=ink)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("class" if named else f"class, {count} in the order of classes.csv")
    axis.set_title(f"Confusion, {int(pictures.sum())} validation pictures")
    figure.colorbar(image, ax=axis, label="share of the class's pictures (%)", shrink=0.8)
    return figure


def change_over_epochs(table: pd.DataFrame) -> Figure:
    """When in training each layer changes: four measures by epoch, with median and quartiles for each layer.

    `table`: of `featurediff.comparison.epochs.measure_epoch`, all epochs of one network. The lines start at the base,
    where nothing has changed. The dotted line is the median noise floor, the distance between the pictures of two
    seeds, where there is one.
    """
    figure, axes = _figure(len(_CHANGES), width=13.5)
    layers = table.groupby("layer", sort=False)
    for axis, (title, unit, unchanged, measure) in zip(axes, _CHANGES, strict=True):
        values = measure(table)
        for number, (_, rows) in enumerate(layers):
            by_epoch = values[rows.index].dropna().groupby(rows["epoch"])
            quartiles = by_epoch.quantile(np.array([0.25, 0.5, 0.75])).unstack()  # (epochs, 3)
            if len(quartiles):
                epochs = [-1, *quartiles.index]
                low, middle, high = ([unchanged, *quartiles[share]] for share in quartiles)
                axis.plot(epochs, middle, color=_color(number), marker="o", markersize=3)
                axis.fill_between(epochs, low, high, color=_color(number), alpha=0.15, linewidth=0)
            if axis is axes[0]:
                floor = rows["floor"].groupby(rows["epoch"]).median()
                axis.plot(floor.index, 1 - floor, ":", color=_color(number))
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.set_ylabel(unit)
        axis.set_xlim(-1.2, table["epoch"].max() + 0.2 if len(table) else 0.2)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.xaxis.set_major_formatter(lambda epoch, _place: "base" if epoch == -1 else f"{epoch:g}")
        _say_if_empty(axis, values.count())
    for number, (layer, rows) in enumerate(layers):
        axes[0].plot(
            [], [], color=_color(number), marker="o", markersize=3, label=f"{layer}, n = {rows['channel'].nunique()}"
        )
    figure.legend(title="layer", loc="outside right upper", fontsize=8, title_fontsize=8, frameon=False)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png", metadata={"Software": None})


def _figure(panels: int, width: float) -> tuple[Figure, list[Axes]]:
    """A white figure with `panels` axes side by side, without superfluous lines; width in inches."""
    figure = Figure(figsize=(width, 3.6), layout=ConstrainedLayoutEngine(wspace=0.06), facecolor="white")
    axes = [figure.add_subplot(1, panels, 1 + panel) for panel in range(panels)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#999999")
        axis.tick_params(colors=_INK, labelsize=9)
        axis.grid(axis="y", color="#e4e4e4", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.title.set_fontsize(11)
    return figure, axes


def _color(number: int) -> str:
    colors = (*PALETTE, "#000000")
    return colors[number % len(colors)]


def _box(axis: Axes, values: np.ndarray, place: float, width: float, color: str) -> None:
    few = len(values) <= _FEW
    axis.boxplot(
        [values],
        positions=[place],
        widths=width,
        whis=(5, 95),
        manage_ticks=False,
        patch_artist=True,
        showfliers=not few,  # every value is drawn below
        boxprops={"facecolor": f"{color}33", "edgecolor": color},
        medianprops={"color": color, "linewidth": 2},
        whiskerprops={"color": color},
        capprops={"color": color},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": color, "alpha": 0.5},
    )
    if few:
        # spread sideways by the golden ratio: evenly, and the same every time
        sideways = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.6 * width
        axis.plot(place + sideways, values, ".", color=color, markersize=5, alpha=0.6, markeredgewidth=0)


def _tick(table: pd.DataFrame, layer: str, networks: list[str]) -> str:
    """The layer's name, and the number of channels in each of its boxes."""
    found = table.loc[table["layer"] == layer, "network"].value_counts()
    return f"{layer}\nn = {', '.join(str(found.get(network, 0)) for network in networks)}"


def _say_if_empty(axis: Axes, count: int) -> None:
    if count == 0:
        axis.text(0.5, 0.5, "nothing to show", transform=axis.transAxes, ha="center", va="center", color=LABEL)
