"""results.md: a heading, each section's text as far as it has come and, last, how the sections ended.

The parts lie in a folder of their own. Whoever changes one puts the whole file together again, so that it is complete
and current whenever the run ends, and however.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feature_vis.files import write_text

__all__ = ["Ending", "Report", "Results"]

_NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Ending:
    """How a section ended: `done`, or what kept it from its end."""

    what: str
    seconds: float


class Results:
    def __init__(self, file: Path, parts: Path) -> None:
        self.file, self.parts = file, parts

    def head(self, text: str) -> None:
        self._write("0-heading", text)

    def section(self, number: int, text: str) -> None:
        self._write(f"1-{number:02}", text)

    def endings(self, endings: Mapping[str, Ending | None]) -> str:
        """Write how all of them ended, None: not reached; returns the last lines."""
        rows = [
            f"| {name} | {ending.seconds:.0f} | {ending.what} |" if ending else f"| {name} | – | {_NOT_REACHED} |"
            for name, ending in endings.items()
        ]
        table = ["## How the sections ended", "", "| section | s | |", "|---|---|---|", *rows]
        whats = {name: ending.what if ending else _NOT_REACHED for name, ending in endings.items()}
        missing = [f"- {name}: {what}" for name, what in whats.items() if what != "done"]
        last = ["Not reached, or failed:", *missing] if missing else ["Every section ran to its end."]
        self._write("2-endings", "\n".join([*table, "", *last]))
        return "\n".join(last)

    def _write(self, part: str, text: str) -> None:
        self.parts.mkdir(parents=True, exist_ok=True)
        write_text(self.parts / f"{part}.md", text.rstrip() + "\n")
        whole = "\n".join(part.read_text(encoding="utf-8") for part in sorted(self.parts.glob("[0-9]*.md")))
        write_text(self.file, whole)


class Report:
    """What a section says, in results.md and on the terminal at once."""

    def __init__(self, results: Results, number: int, title: str) -> None:
        self._results, self._number = results, number
        self._lines = [f"## {title}", ""]
        self._last: list[str] = []

    def add(self, *lines: str) -> None:
        """Lines of Markdown, for good."""
        print(*lines, sep="\n", flush=True)
        self._lines += lines
        self._write()

    def last(self, lines: Sequence[str]) -> None:
        """Lines below all others, in place of those that were given here before."""
        self._last = list(lines)
        self._write()

    def keep(self) -> None:
        """What `last` was given stays."""
        self.add(*self._last)
        self._last = []
        self._write()

    def _write(self) -> None:
        self._results.section(self._number, "\n".join(self._lines + self._last))
