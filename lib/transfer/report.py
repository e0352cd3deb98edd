"""One static page that shows what changed: tables, plots, pairs of pictures and contact sheets.

The page needs no script, no font and no server; pictures are referenced by paths relative to it, so the folder
of results can be moved, zipped or published as it is. Whatever comes from outside (class names, file names,
config values) is escaped by the template engine.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.files import write_text
from transfer.distance import most_different

__all__ = ["Comparison", "NetworkSummary", "Pair", "ReportData", "Sheet", "write_report"]

_TEMPLATES = Path(__file__).parent / "templates"
_BAD_COLUMNS = ["model", "layer", "channel", "score", "reason", "seed"]


@dataclass(frozen=True)
class NetworkSummary:
    """A network that was looked at. What was not trained here has no epoch and no accuracies (0 to 1)."""

    name: str
    architecture: str
    weights: str = ""
    data: str = ""
    epoch: int | None = None
    train_accuracy: float | None = None
    val_accuracy: float | None = None
    class_names: Sequence[str] = ()


@dataclass(frozen=True)
class Pair:
    """The picture of a channel in two networks, side by side, base left."""

    channel: int
    path: Path


@dataclass(frozen=True)
class Comparison:
    """A layer of a fine-tuned network against the base.

    `table`: of `transfer.distance.compare_layer`, read back from CSV or not. `pairs`: pictures to choose from; the
    page shows the most different of them, most different first.
    """

    model: str
    layer: str
    table: pd.DataFrame
    pairs: Sequence[Pair] = ()


@dataclass(frozen=True)
class Sheet:
    """The contact sheet of a network's layer."""

    model: str
    layer: str
    path: Path


@dataclass(frozen=True)
class ReportData:
    """All that the page says.

    `facts`: what was run, as name -> value. `bad_channels`: of `find_bad`. `changes`: of `statistics.summarise`.
    """

    title: str
    base: str
    networks: Sequence[NetworkSummary]
    comparisons: Sequence[Comparison]
    facts: Mapping[str, Any] = field(default_factory=dict)
    training_curves: Path | None = None
    similarity_plot: Path | None = None
    sheets: Sequence[Sheet] = ()
    changes: pd.DataFrame = field(default_factory=pd.DataFrame)
    bad_channels: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_BAD_COLUMNS))


def write_report(path: str | Path, data: ReportData) -> None:
    """Write the page to `path`, whole or not at all. Equal data give equal bytes.

    Raises:
        InputError: a picture that is missing or cannot be read, or a pair whose channel is in no table.
    """
    folder = Path(path).parent
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "number": _number}
    page = environment.get_template("report.html.j2").render(
        data=data,
        curves=_picture(data.training_curves, folder),
        similarity=_picture(data.similarity_plot, folder),
        models=list(dict.fromkeys(comparison.model for comparison in data.comparisons)),
        comparisons=[_comparison(comparison, folder) for comparison in data.comparisons],
        sheets=[{"model": s.model, "layer": s.layer, **_required(s.path, folder)} for s in data.sheets],
        changes=data.changes.to_dict("records"),
        bad=_bad_groups(data.bad_channels),
    )
    write_text(path, page)


def _picture(path: Path | None, folder: Path) -> dict[str, Any] | None:
    return None if path is None else _required(path, folder)


def _required(path: Path, folder: Path) -> dict[str, Any]:
    """What an <img> needs: the address relative to the page, width and height in pixels."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError as error:
        raise InputError(f"the report cannot show {path}: {error}") from None
    relative = Path(os.path.relpath(path, folder)).as_posix()
    return {"src": quote(relative), "width": width, "height": height}


def _comparison(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """A layer's figures and its pairs, most different first."""
    table = comparison.table
    where = f"{comparison.model}, {comparison.layer}"
    if missing := [name for name in ("channel", "cosine", "rank", "bad_base", "bad_tuned") if name not in table]:
        raise InputError(f"the report: the table of {where} has no column {', '.join(missing)}")
    grams = [name for name in table.columns if name.startswith("gram_")]
    known = set(table["channel"])
    if strangers := [pair.channel for pair in comparison.pairs if pair.channel not in known]:
        raise InputError(f"the report: channel {strangers} of {where} is in no table")
    paths = {pair.channel: pair.path for pair in comparison.pairs}
    ranked = most_different(table, len(table))
    shown = ranked[ranked["channel"].isin(list(paths))]
    return {
        "model": comparison.model,
        "layer": comparison.layer,
        "channels": len(table),
        "faulty": int((table["bad_base"].astype(bool) | table["bad_tuned"].astype(bool)).sum()),
        "ranked": len(ranked),
        "floor": float(table["floor"].median()) if "floor" in table else None,
        "median": float(ranked["cosine"].median()),
        "lowest": float(ranked["cosine"].min()),
        "highest": float(ranked["cosine"].max()),
        "pairs": [
            {
                "channel": int(row["channel"]),
                "rank": int(row["rank"]),
                "cosine": float(row["cosine"]),
                "gram": float(row[grams].astype(float).mean()) if grams else None,
                **_required(paths[int(row["channel"])], folder),
            }
            for _, row in shown.iterrows()
        ],
    }


def _bad_groups(bad: pd.DataFrame) -> list[dict[str, Any]]:
    """The faulty channels by network and layer, in the table's order."""
    return [
        {"model": model, "layer": layer, "rows": group[["channel", "seed", "score", "reason"]].to_dict("records")}
        for (model, layer), group in bad.groupby(["model", "layer"], sort=False)
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None or pd.isna(share) else f"{100 * share:.1f} %"


def _number(value: float | None, digits: int = 3) -> str:
    """With a real minus sign; a dash where there is no value."""
    return "–" if value is None or pd.isna(value) else f"{value:.{digits}f}".replace("-", "−")
