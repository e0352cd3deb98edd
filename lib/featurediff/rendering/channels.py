"""Channel numbers as a config and a command line write them: `all`, `7`, `0-15`, `1,4-5`. No torch here."""

import re
from collections.abc import Iterable

from feature_vis.errors import InputError

__all__ = ["number_ranges", "parse_channels", "ranges_text"]

# No layer has so many; a longer range would fill the memory before anyone could say what is wrong with it.
_MOST_CHANNELS = 1_000_000


def parse_channels(spec: int | str | list[int | str], count: int | None) -> list[int]:
    """Channel numbers, sorted, each once: from `all`, a number, a range `0-15`, or a list of those.

    `count`: how many channels the layer has; None where that is not known.

    Raises:
        InputError: not such a text, or a channel that the layer does not have.
    """
    numbers: set[int] = set()
    outside: list[int] = []
    end = _MOST_CHANNELS if count is None else count
    for part in spec if isinstance(spec, list) else str(spec).split(","):
        text = str(part).strip()
        if text == "all":
            if count is None:
                raise InputError("'all' needs torch beside the workflow to count the channels: write a range, 0-2047")
            numbers |= set(range(count))
            continue
        match = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", text)
        if match is None:
            raise InputError(f"channels {text[:60]!r} is neither 'all', a number, nor a range such as 0-15")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"channels {text!r} runs backwards")
        numbers |= set(range(first, min(last + 1, end)))
        outside += range(max(first, end), last + 1)[:6]
    if outside:
        shown = ", ".join(map(str, sorted(set(outside))[:5])) + (", …" if len(set(outside)) > 5 else "")
        there = "no layer has so many" if count is None else f"the layer has {count}, 0 to {count - 1}"
        raise InputError(f"there is no channel {shown}: {there}")
    return sorted(numbers)


def number_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """[first, last] of each run without a gap: 0, 1, 2, 5 -> [[0, 2], [5, 5]]."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def ranges_text(numbers: Iterable[int], separator: str = ",") -> str:
    """Channel numbers in short, as `parse_channels` reads them: 0, 1, 2, 5 -> `0-2,5`."""
    return separator.join(f"{first}-{last}" if first < last else str(first) for first, last in number_ranges(numbers))
