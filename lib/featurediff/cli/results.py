"""The pictures and tables of a results folder, finished or not, by network, layer and channel.

No torch and no pandas here: a command that prints a row must not take seconds to start.
"""

import csv
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import yaml

from feature_vis.errors import InputError, close_names
from featurediff.rendering.channels import ranges_text

__all__ = ["ChannelId", "Results", "TableRow", "parse_channel_id"]

TableRow = dict[str, str]


class ChannelId(NamedTuple):
    """A channel of a layer, `layer4.2:1276`."""

    layer: str
    number: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.number}"


def parse_channel_id(text: str) -> ChannelId:
    """`layer4.2:1276` -> the layer's dotted name and the channel's number.

    Raises:
        InputError: anything else.
    """
    match = re.fullmatch(r"([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*):([0-9]{1,9})", text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a layer and a channel: write it as layer4.2:1276")
    return ChannelId(match[1], int(match[2]))


class Results:
    """A results folder.

    Raises:
        InputError: there is no such folder, or nothing of the workflow is in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        how = "run the workflow first (featurediff run), or name its results by --results"
        if not self.folder.is_dir():
            raise InputError(f"there is no folder {self.folder}: {how}")
        self.networks = sorted(path.parent.name for path in self.folder.glob("*/pictures") if path.is_dir())
        self.tuned = sorted(path.name for path in self.folder.glob("compare/*") if any(path.glob("*.csv")))
        self.differences = sorted(path.parts[-3] for path in self.folder.glob("*/difference/summary.json"))
        if not self.networks and not self.tuned and not self.differences:
            raise InputError(f"{self.folder} holds no pictures and no tables: {how}")

    @property
    def base(self) -> str:
        """The network that the others are compared with, as far as the folder tells."""
        others = [name for name in self.networks if name not in self.tuned]
        return others[0] if len(others) == 1 else "base"

    def layers(self) -> list[str]:
        """The layers that have pictures or a table."""
        pictures = {path.name for path in self.folder.glob("*/pictures/*") if path.is_dir()}
        tables = {path.stem for path in self.folder.glob("compare/*/*.csv")} - {
            "ranking",
            "summary",
            "channels",
            "control",
        }
        return sorted(layer for layer in pictures | tables if not layer.startswith("."))

    def check(self, channel: ChannelId) -> None:
        """Refuse a channel that has neither a picture nor a row."""
        self.known("layer", channel.layer, self.layers())
        there = {_number(path.stem) for path in self.folder.glob(f"*/pictures/{channel.layer}/channel*[0-9].png")}
        there |= {
            int(row["channel"]) for name in self.tuned for row in self.rows(name) if row["layer"] == channel.layer
        }
        if channel.number not in there:
            rendered = ranges_text(there, ", ") or "none yet"
            raise InputError(f"{channel} was not rendered; rendered channels of {channel.layer}: {rendered}")

    def known(self, kind: str, name: str, names: Collection[str]) -> None:
        """Refuse a name that is not among `names`; the message suggests close ones."""
        if name not in names:
            there = ", ".join(sorted(names)) or "none yet"
            hint = close_names(name, names) or f"; there are: {there}"
            raise InputError(f"{self.folder} has no {kind} {name!r}{hint}")

    def pictures(self, network: str, channel: ChannelId) -> list[Path]:
        """A channel's pictures in the order of their seeds."""
        folder = self.folder / network / "pictures" / channel.layer
        seeds = sorted(folder.glob(f"seed*/channel{channel.number}.png"), key=lambda path: _number(path.parent.name))
        first = folder / f"channel{channel.number}.png"
        return [first, *seeds] if first.exists() else seeds

    def pairs(self, tuned: str, channel: ChannelId) -> list[Path]:
        """Pictures that show the base and the tuned network side by side; only the extreme channels have some."""
        return sorted(
            (self.folder / "compare" / tuned / channel.layer).glob(f"most_*/rank*_channel{channel.number}.png")
        )

    def rows(self, tuned: str) -> list[TableRow]:
        """All channels of a network, most changed first; layer by layer if there is no ranking yet."""
        folder = self.folder / "compare" / tuned
        ranking = folder / "ranking.csv"
        if ranking.exists():
            return _read_table(ranking)
        return [row for layer in self.layers() for row in _read_table(folder / f"{layer}.csv", missing_is_empty=True)]

    def row(self, tuned: str, channel: ChannelId) -> TableRow | None:
        """A channel's numbers: those of the ranking, and the further ones of the layer's table."""
        ranked = [
            row for row in self.rows(tuned) if (row["layer"], row["channel"]) == (channel.layer, str(channel.number))
        ]
        table = self.folder / "compare" / tuned / f"{channel.layer}.csv"
        own = [row for row in _read_table(table, missing_is_empty=True) if row["channel"] == str(channel.number)]
        return (
            ranked[0] | {name: text for name, text in own[0].items() if name not in ranked[0]}
            if own and ranked
            else next(iter(ranked or own), None)
        )

    def difference(self, tuned: str, table: str) -> list[TableRow]:
        """A table of what a network and the base disagree about; no rows where they cannot be compared."""
        return _read_rows(self.folder / tuned / "difference" / f"{table}.csv")

    def difference_sentence(self, tuned: str) -> str:
        """What was found about it, in a sentence."""
        file = self.folder / tuned / "difference" / "summary.json"
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["sentence"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{file} cannot be read ({error}): delete it and run `featurediff run` again") from None

    def meanings(self, tuned: str) -> dict[str, str]:
        """Column -> what it says, with the unit of measurement; empty where the tables are not described yet."""
        file = self.folder / "compare" / tuned / "columns.yaml"
        try:
            described = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
            return {name: _meaning(entry["unit"], entry["meaning"]) for name, entry in described.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
            raise InputError(f"{file} cannot be read ({error}): delete it and run `featurediff run` again") from None


def _meaning(unit: str, meaning: str) -> str:
    return f"{meaning} [{unit}]" if unit else meaning


def _read_table(file: Path, *, missing_is_empty: bool = False) -> list[TableRow]:
    """A table of channels."""
    if missing_is_empty and not file.exists():
        return []
    rows = _read_rows(file)
    if not rows or any(not _is_number(row.get("channel", "")) or not row.get("layer") for row in rows):
        raise _not_whole(file, "it is empty, or a row has no layer or no channel")
    return rows


def _read_rows(file: Path) -> list[TableRow]:
    """A table with a header, and rows or none."""
    try:
        with file.open(encoding="utf-8", newline="") as text:
            table = csv.DictReader(text, strict=True)
            rows = list(table)
        is_torn = any(None in row or None in row.values() for row in rows)  # a row too long, or cut off
        if is_torn or not table.fieldnames:
            raise ValueError("it is empty or cut off")
    except (OSError, ValueError, csv.Error) as error:
        raise _not_whole(file, error) from None
    return rows


def _not_whole(file: Path, why: object) -> InputError:
    return InputError(f"{file} is not a whole table ({why}): delete it and run `featurediff run` again")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(name: str) -> int:
    digits = re.sub(r"\D", "", name)
    return int(digits) if digits else 0
