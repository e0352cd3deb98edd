"""The tables of a run as the page needs them: a row for each channel, in one order for all networks.

The order is that of the config's layers, and within a layer that of the channels' numbers. So a column is an array
without keys, and the page loads only the columns by which it sorts, filters or draws.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from feature_vis.errors import InputError
from featurediff.runtime.tables import read_table, read_tables

__all__ = ["PICTURE_COLUMNS", "column_meanings", "failed_rows", "json_value", "network_table", "picture_table"]

_KEYS = ["layer", "channel"]

# name -> (unit, meaning) of the columns that every network has, including the base
PICTURE_COLUMNS = {
    "activation_start": ("activation", "the objective of the first seed's picture before the first step"),
    "activation_reached": ("activation", "the objective of the first seed's finished picture, without transforms"),
    "failed": ("pictures", "how many of the channel's pictures in this network failed; there is one for each seed"),
}


def picture_table(notes: Mapping[str, Mapping[str, Any]], failed: pd.DataFrame, network: str) -> pd.DataFrame:
    """The columns that every network has; `notes`: layer -> `thumbnails.layer_notes`."""
    rows = [
        {"layer": layer, "channel": channel, **_reached(of_layer["pictures"][str(channel)])}
        for layer, of_layer in notes.items()
        for channel in of_layer["channels"]
    ]
    table = pd.DataFrame(rows, columns=[*_KEYS, "activation_start", "activation_reached"])
    counts = failed[failed["network"] == network].groupby(_KEYS).size().rename("failed").reset_index()
    joined = table.merge(counts, on=_KEYS, how="left")
    return joined.assign(failed=joined["failed"].fillna(0).astype(int))


def _reached(pictures: Sequence[Sequence[Any]]) -> dict[str, float]:
    _, start, reached, *_ = pictures[0]
    return {"activation_start": start, "activation_reached": reached}


def network_table(pictures: pd.DataFrame, ranking: str | Path, layers: Sequence[str | Path]) -> pd.DataFrame:
    """The picture columns of a fine-tuned network, joined with its ranking and with the tables of its layers.

    Raises:
        InputError: a channel has a picture, but no row in the tables.
    """
    ranked = read_table(ranking)
    own = read_tables(layers)
    further = [name for name in own.columns if name not in ranked.columns]
    table = pictures.merge(ranked.drop(columns="network"), on=_KEYS, how="left", indicator="found", validate="1:1")
    if (lost := table["found"] != "both").any():
        layer, channel = table.loc[lost, _KEYS].iloc[0]
        raise InputError(f"{ranking} has no channel {channel} of {layer}: delete it and run again")
    table = table.drop(columns="found").merge(own[[*_KEYS, *further]], on=_KEYS, how="left", validate="1:1")
    return table[[*_KEYS, *_in_order(list(table.columns))]]


def _in_order(columns: Sequence[str]) -> list[str]:
    """The rank first, the columns of pictures last."""
    others = [name for name in columns if name not in (*_KEYS, "rank", *PICTURE_COLUMNS)]
    return ["rank", *others, *PICTURE_COLUMNS]


def column_meanings(files: Sequence[str | Path], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The unit and the meaning of each column, from the runs' `columns.yaml`.

    A column such as `gram_layer1` is described there under its pattern, `gram_<block>`.
    """
    described: dict[str, dict[str, str]] = {}
    for file in files:
        described |= _described(file)
    described |= {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in PICTURE_COLUMNS.items()}
    found = {}
    for name in names:
        pattern = next((known for known in described if "<" in known and name.startswith(known.partition("<")[0])), "")
        found[name] = described.get(name) or described.get(pattern) or {"unit": "", "meaning": ""}
    return found


def _described(file: str | Path) -> dict[str, dict[str, str]]:
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        content = error
    if not isinstance(content, dict):
        raise InputError(f"{file} does not describe columns ({content or 'it is empty'}): delete it and run again")
    return content


def failed_rows(failed: pd.DataFrame) -> list[list[Any]]:
    """A row for each failed picture: network, layer, channel, seed, score, reason."""
    return [
        [json_value(value) for value in row]
        for row in failed[["network", "layer", "channel", "seed", "score", "reason"]].values
    ]


def json_value(value: Any) -> Any:
    """A table's value for JSON: None instead of NaN, six significant digits, integers where numbers are whole."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float):
        short = float(f"{value:.6g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value
