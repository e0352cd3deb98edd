"""A channel's pictures and numbers as lines of text."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from feature_vis.errors import InputError
from featurediff.cli.results import ChannelId, Results, TableRow

__all__ = ["describe", "describe_difference", "difference_to_open", "picture_to_open", "table"]

# Columns that are printed beside another number, not on a line of their own.
_FLOORS = {"paired_similarity": "floor", "first_similarity": "floor", "between_similarity": "floor"}
_TESTED = {"visual": "visual_change", "response": "response_excess"}  # p_<test> -> its column; elsewhere one name
_NAMES = frozenset({"network", "layer", "channel", "rank"})
_HEADER = ("", "value", "95 % interval", "floor", "p", "q", "")


def describe(results: Results, channel: ChannelId, networks: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The lines to print about a channel, and lines about what is missing. No `networks` means all that were compared.

    Raises:
        InputError: a name that the results do not have, or a table that is not whole.
    """
    for name in networks:
        results.known("network", name, {*results.networks, *results.tuned})
    results.check(channel)
    shown = list(networks) or [name for name in {*results.networks, *results.tuned} if name != results.base]
    lines, missing = [str(channel), ""], []
    for name in (results.base, *sorted(set(shown) - {results.base})):
        pictures = results.pictures(name, channel)
        lines += [f"  {name if not index else '':16} {path}" for index, path in enumerate(pictures)]
        if not pictures:
            missing.append(f"no picture of {channel} in {name}")
    for name in sorted(set(shown) - {results.base}):
        row = results.row(name, channel) if name in results.tuned else None
        if row is None:
            missing.append(f"no numbers of {channel} in {name}")
            continue
        lines += ["", *_comparison(results, name, channel, row)]
    if missing:
        missing.append("`featurediff run` makes what is missing")
    return lines, missing


def picture_to_open(results: Results, channel: ChannelId, networks: Sequence[str] = ()) -> Path:
    """The picture that shows the channel in two networks side by side, if there is one, else its first picture."""
    names = [*networks, *results.tuned] if not networks else list(networks)
    found = [path for name in names for path in results.pairs(name, channel)]
    found += [path for name in (*networks, *results.networks) for path in results.pictures(name, channel)]
    if not found:
        raise InputError(f"there is no picture of {channel} in {results.folder} yet: run `featurediff run`")
    return found[0]


def describe_difference(results: Results, networks: Sequence[str] = ()) -> list[str]:
    """The lines to print about what networks and the base disagree about; no `networks` means all.

    Raises:
        InputError: a network of which the results have no difference, or a table that is not whole.
    """
    lines: list[str] = []
    for name in _with_difference(results, networks):
        folder = results.folder / name / "difference"
        lines += [f"{name} against {results.base}", "", results.difference_sentence(name)]
        starts = [
            (
                str(folder / row["picture"]),
                short(row["divergence"]),
                f"{_class(row, 'tuned')} {short(row['tuned_probability'])}",
                f"{_class(row, 'base')} {short(row['base_probability'])}",
                "",
            )
            for row in results.difference(name, "starts")
        ]
        if starts:
            lines += ["", *table([("picture", "divergence", f"{name} says", f"{results.base} says", ""), *starts])]
        effects = [
            (
                f"class {row['class']}, {row['way']}",
                *(_share(row, column) for column in ("tuned", "others", "base")),
                "more than other pictures" if row["clear"] == "True" else "not clearly more than other pictures",
            )
            for row in results.difference(name, "effect")
        ]
        if effects:
            header = ("on photographs", f"{name}: these pictures", "other pictures", f"{results.base}: these pictures")
            lines += ["", *table([(*header, ""), *effects])]
        lines.append("")
    return lines[:-1]


def difference_to_open(results: Results, networks: Sequence[str] = ()) -> Path:
    """The first picture of the difference."""
    for name in _with_difference(results, networks):
        for row in results.difference(name, "starts"):
            return results.folder / name / "difference" / row["picture"]
    raise InputError("there is no picture of a difference: `featurediff show difference` says why")


def _with_difference(results: Results, networks: Sequence[str]) -> Sequence[str]:
    for name in networks:
        results.known("difference of a network", name, results.differences)
    if not results.differences:
        raise InputError(
            f"{results.folder} has no difference yet: `featurediff run` makes it, unless the config says "
            "difference: {starts: 0}"
        )
    return networks or results.differences


def _class(row: TableRow, which: str) -> str:
    return row[f"{which}_name"] or f"class {row[f'{which}_class']}"


def _share(row: TableRow, column: str) -> str:
    """A share with its interval, in percent."""
    shown = [
        f"{100 * float(text):.0f}" if text else "-" for text in (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    ]
    return "{} % ({} to {})".format(*shown)


def _comparison(results: Results, name: str, channel: ChannelId, row: TableRow) -> Iterator[str]:
    rank = f", rank {row['rank']} of {len(results.rows(name))}" if row.get("rank") else ""
    yield f"{name} against {results.base}{rank}"
    for path in results.pairs(name, channel):
        yield f"  {'side by side':16} {path}"
    meanings = results.meanings(name)
    rows = [_numbers(column, row, meanings) for column in row if _has_a_line(column, row)]
    yield from table([_HEADER, *rows])
    for column, text in row.items():
        if column.endswith("reason") and text:
            yield f"  {column}: {text}"


def _has_a_line(column: str, row: Mapping[str, str]) -> bool:
    test = column[2:] if column.startswith(("p_", "q_")) else ""
    beside = _TESTED.get(test, test) in row or any(
        column.endswith(end) and column.removesuffix(end) in row for end in ("_low", "_high")
    )
    return not (beside or column in _NAMES or column == "floor" or column.endswith("reason"))


def _numbers(column: str, row: TableRow, meanings: Mapping[str, str]) -> tuple[str, ...]:
    low, high = (short(row.get(f"{column}_{end}", "")) for end in ("low", "high"))
    test = next((test for test, tested in _TESTED.items() if tested == column), column)
    return (
        column,
        short(row[column]) or "-",
        f"{low} to {high}" if low and high else "",
        short(row.get(_FLOORS.get(column, ""), "")),
        short(row.get(f"p_{test}", "")),
        short(row.get(f"q_{test}", "")),
        meanings.get(column, ""),
    )


def short(text: str) -> str:
    """A number with four digits; other text unchanged."""
    try:
        return f"{float(text):.4g}" if not text.lstrip("-").isdigit() else text
    except ValueError:
        return text


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A header and rows as aligned lines; the first column is left-aligned, the last holds words.

    Empty columns are left out, and lines are cut off at the terminal's width.
    """
    header, *others = rows
    used = [index for index in range(len(header)) if any(row[index] for row in others) or index == 0]
    rows = [[*(row[index] for index in used if index < len(header) - 1), row[-1]] for row in rows]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    margin = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for first, *numbers, words in rows:
        cells = [first.ljust(widths[0])]
        cells += [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        line = "  " + "  ".join([*cells, words])
        yield (line[: margin - 1] + "…" if 0 < margin < len(line) else line).rstrip()
