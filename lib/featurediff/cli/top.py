"""The most changed channels of a network's ranking."""

import csv
import io
import math
from collections.abc import Iterator, Sequence

from feature_vis.errors import InputError, close_names
from featurediff.cli.results import Results, TableRow
from featurediff.cli.show import short, table

__all__ = ["as_csv", "as_lines", "choose_network", "most_changed"]

# The columns that are shown, if the ranking has them: its order, the pictures' numbers, false discovery rates.
_COLUMNS = (
    *("rank", "layer", "channel", "excess", "paired_similarity", "floor", "visual_change", "combined"),
    *("q_excess", "q_visual", "q_combined"),
)

# Columns that hold no numbers; if all of their rows are empty they look as if they did.
_WORDS = frozenset(
    {
        "network",
        "layer",
        "channel",
        "reason",
        "weight_reason",
        "cross_reason",
        "probe_reason",
        "response_reason",
        "filters",
        "combined_parts",
        "combined_reason",
    }
)

# Columns in which a small number means that much has changed.
_SMALL_IS_CHANGED = frozenset(
    {
        *("rank", "paired_similarity", "first_similarity", "between_similarity", "retained", "correlation", "cosine"),
        *("picture_correlation",),
        *("weight_cosine", "base_likes_tuned_picture", "tuned_likes_base_picture"),
    }
)


def choose_network(results: Results, name: str | None) -> str:
    """The network of this name; without a name, the only one that was compared."""
    if name is not None:
        results.known("compared network", name, results.tuned)
        return name
    if len(results.tuned) != 1:
        there = f"there are {', '.join(results.tuned)}" if results.tuned else "no network was compared yet"
        raise InputError(f"name a network by --network: {there}")
    return results.tuned[0]


def most_changed(
    results: Results, network: str, *, layer: str | None = None, by: str = "rank", count: int = 20
) -> list[TableRow]:
    """The first `count` channels by a column, most changed first; channels without a number in it come last.

    Raises:
        InputError: there is no ranking yet, or it has no such layer or column.
    """
    if not (results.folder / "compare" / network / "ranking.csv").exists():
        raise InputError(
            f"{network} has no ranking yet, {results.folder}/compare/{network}/ranking.csv: `featurediff run` makes it"
        )
    rows = results.rows(network)
    numeric = [column for column in rows[0] if column not in _WORDS and all(_is_number(row[column]) for row in rows)]
    if by not in numeric:
        hint = close_names(by, numeric) or f"; there are {', '.join(numeric)}"
        raise InputError(f"channels cannot be sorted by {by!r}{hint}")
    if layer is not None:
        results.known("layer", layer, {row["layer"] for row in rows})
        rows = [row for row in rows if row["layer"] == layer]
    sign = 1 if by in _SMALL_IS_CHANGED or by.startswith(("p_", "q_")) else -1

    def order(row: TableRow) -> tuple[bool, float]:
        value = _value(row, by)
        return math.isnan(value), 0 if math.isnan(value) else sign * value

    return sorted(rows, key=order)[:count]


def as_lines(rows: Sequence[TableRow], by: str) -> Iterator[str]:
    """A table of the numbers that tell change from chance, and of the column that it is sorted by."""
    columns = [column for column in dict.fromkeys((*_COLUMNS, by)) if rows and column in rows[0]]
    words = [[*(short(row[column]) or "-" for column in columns), ""] for row in rows]
    yield from table([[*columns, ""], *words])


def as_csv(rows: Sequence[TableRow]) -> str:
    """The rows with all columns, as in the ranking."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _value(row: TableRow, column: str) -> float:
    return float(row[column] or "nan")


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True
