"""Write the page: `index.html`, its scripts and style, and the data of the run.

A page from `file://` may load scripts, but not fetch data. So every piece of data is a script that hands over a value,
`featurediff.receive("run", {…})`, and is loaded when a view needs it: the run at once, a column when channels are
sorted or drawn by it, and all data of 64 channels when one of them is opened.

The page's folder holds `page/` with its code, `data/` with these scripts and the pictures of the difference, `thumbs/`
with the sheets of thumbnails, and `vega.js`, the library that draws charts.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from feature_vis.files import write_bytes, write_text
from featurediff.rendering.channels import number_ranges
from featurediff.report.palette import DARK_PALETTE, PALETTE
from featurediff.report.sources import Sources
from featurediff.report.tables import column_meanings, failed_rows, json_value
from featurediff.report.thumbnails import ACROSS, PER_SHEET

__all__ = ["chart_library", "write_page"]

_PAGE = Path(__file__).parent / "page"
_SCRIPTS = (
    "core.js",
    "sprites.js",
    "charts.js",
    "grid.js",
    "difference.js",
    "overview.js",
    "browser.js",
    "channel.js",
    "evidence.js",
    "compare.js",
    "lists.js",
    "main.js",
)

# The columns that the page's scripts read by their places.
_SELECTIVITY = ("task", "selectivity_base", "selectivity_tuned", "class_base", "class_tuned", "reason")
_TOP = ("network", "image", "activation", "maximum", "tied", "left", "top", "right", "bottom")


def write_page(folder: Path, sources: Sources, facts: Mapping[str, Any]) -> None:
    """Write `index.html`, `page/` and `data/` into `folder`; earlier content of these two is removed.

    `facts`: `tile`, pixels of a tile's side; `command`, which starts the workflow; `links`, title -> path of other
    files; and what the overview shows of the run.
    """
    for name in ("page", "data"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*_SCRIPTS, "style.css"):
        write_text(folder / "page" / name, (_PAGE / name).read_text(encoding="utf-8"))
    scripts = "\n".join(f'<script defer src="page/{name}"></script>' for name in _SCRIPTS)
    template = (_PAGE / "index.html").read_text(encoding="utf-8")
    write_text(folder / "index.html", template.replace("<!-- scripts -->", scripts))
    for network in sources.differences:
        _copy_pictures(sources.difference_pictures(network), folder / "data" / "difference" / network)
    for key, value in _pieces(sources, facts):
        write_text(folder / "data" / f"{key}.js", data_script(key, value))


def _copy_pictures(pictures: Mapping[str, Path], folder: Path) -> None:
    """So few that the page has them at full size, also where the rest of the results is not at hand."""
    for name, file in pictures.items():
        write_bytes(folder / name, file.read_bytes())


def data_script(key: str, value: Any) -> str:
    """A script that hands `value` to the page. No text in it can end the script or a line early."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for sign in "<\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"featurediff.receive({json.dumps(key)},{text});\n"


def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which loads nothing from elsewhere."""
    import vl_convert

    return vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default


def _pieces(sources: Sources, facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The key and the value of every data script."""
    columns: dict[str, list[str]] = {}
    recipes: dict[str, dict[str, Any]] = {}
    layers: dict[str, list[int]] = {}
    for network in (network.name for network in sources.networks):
        notes = sources.notes(network)
        table = sources.table(network, notes)
        layers = {layer: of_layer["channels"] for layer, of_layer in notes.items()}
        recipes = recipes or {layer: of_layer["recipe"] for layer, of_layer in notes.items()}
        columns[network] = [name for name in table.columns if name not in ("network", "layer", "channel")]
        for number, name in enumerate(columns[network]):
            yield f"networks/{network}/column-{number}", [json_value(value) for value in table[name]]
        yield from _rows(sources, network, table, notes)
    for layer in sources.layers if sources.tuned else []:
        yield f"pca_map/{layer}", sources.pca_map(layer)
    yield "run", _run(sources, facts, columns, layers, recipes)


def _run(
    sources: Sources,
    facts: Mapping[str, Any],
    columns: Mapping[str, list[str]],
    layers: Mapping[str, list[int]],
    recipes: Mapping[str, Any],
) -> dict[str, Any]:
    names = list(dict.fromkeys(name for of_network in columns.values() for name in of_network))
    filmed = list(dict.fromkeys(name for network in sources.tuned for name in sources.film(network).columns))
    return {
        **facts,
        "base": sources.base,
        "networks": [
            {
                name: json_value(value) if not isinstance(value, (list, tuple)) else list(value)
                for name, value in vars(n).items()
            }
            for n in sources.networks
        ],
        "layers": [{"name": layer, "channels": number_ranges(numbers)} for layer, numbers in layers.items()],
        "recipes": recipes,
        "columns": columns,
        "meanings": column_meanings(sources.columns_files(), [*names, *(name for name in filmed if name not in names)]),
        "summary": _records(sources.summary),
        "agreement": _records(sources.agreement),
        "training": {
            name: _records(log.drop(columns="weights_sha256", errors="ignore"))
            for name, log in sources.training.items()
        },
        "cka": {network: _records(sources.probe(network)["layers"]) for network in sources.tuned},
        "controls": _records(sources.controls),
        "differences": [
            {
                "network": network,
                "summary": sources.difference_summary(network),
                **{name: _records(table) for name, table in sources.difference(network).items()},
            }
            for network in sources.differences
        ],
        "failed": failed_rows(sources.failed),
        "palette": {"light": PALETTE, "dark": DARK_PALETTE},
        "sheets": {"across": ACROSS, "per_sheet": PER_SHEET},
    }


def _rows(sources: Sources, network: str, table: pd.DataFrame, notes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All data of a network's channels, `PER_SHEET` channels in a script."""
    reasons = {
        (row.layer, row.channel, row.seed): row.reason
        for row in sources.failed[sources.failed["network"] == network].itertuples()
    }
    evidence = _evidence(sources, network) if network != sources.base else {}
    values = table.drop(columns=["network", "layer", "channel"], errors="ignore")
    start = 0
    for layer, of_layer in notes.items():
        channels = of_layer["channels"]
        for number, first in enumerate(range(0, len(channels), PER_SHEET)):
            some = channels[first : first + PER_SHEET]
            rows = values.iloc[start + first : start + first + len(some)].astype(object).values
            yield (
                f"networks/{network}/{layer}-{number}",
                {
                    "values": [[json_value(value) for value in row] for row in rows],
                    "pictures": [
                        [
                            [
                                *(json_value(v) for v in picture[:4]),
                                [json_value(v) for v in picture[4]],
                                reasons.get((layer, k, picture[0])),
                            ]
                            for picture in of_layer["pictures"][str(k)]
                        ]
                        for k in some
                    ],
                    "own": [of_layer["own"].get(str(k)) for k in some],
                    "evidence": [evidence.get((layer, k)) for k in some],
                },
            )
        start += len(channels)
    if network != sources.base:
        yield f"networks/{network}/probe", _probe(sources, network)


def _evidence(sources: Sources, network: str) -> dict[tuple[str, int], dict[str, Any]]:
    """(layer, channel) -> class selectivity by task, top images by network, and the film, where there are any."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    probe = sources.probe(network)
    tiles = {image: tile for tile, image in enumerate(probe["shown"]["image"])}
    for key, *row in _keyed(probe["selectivity"], _SELECTIVITY):
        found.setdefault(key, {}).setdefault("selectivity", []).append(row)
    for key, name, image, *row in _keyed(probe["top_images"], _TOP):
        found.setdefault(key, {}).setdefault("top", {"base": [], "tuned": []})[name].append([tiles[image], *row])
    film = sources.film(network)
    for key, rows in film.groupby(["layer", "channel"], sort=False):
        layer, channel = cast(tuple[str, int], key)
        strip = sources.strip(network, layer, channel)
        entry = {
            "strip": strip,
            "change": _records(rows.drop(columns=["network", "layer", "channel"], errors="ignore")),
        }
        found.setdefault((layer, channel), {})["film"] = entry
    return found


def _keyed(table: pd.DataFrame, fields: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as ((layer, channel), field, …); none of an empty table, which may lack the columns."""
    if len(table):
        for layer, channel, *rest in table[["layer", "channel", *fields]].itertuples(index=False, name=None):
            yield (layer, channel), *(json_value(value) for value in rest)


def _probe(sources: Sources, network: str) -> dict[str, Any]:
    shown = sources.probe(network)["shown"]
    names = list(dict.fromkeys(shown["data"]))
    return {
        **sources.probe_sheets(network),
        # a photograph without a class has an empty name, which is read back as missing
        "images": [[row.path, json_value(row.class_name) or "", row.data] for row in shown.itertuples()],
        "data": names,
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): json_value(value) for name, value in row.items()} for row in table.to_dict("records")]
