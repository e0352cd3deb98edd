"""A progress bar with rate and time left, if there is a terminal; the log file gets a line every minute."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

__all__ = ["BesideBars", "moves", "note_progress", "progress"]

log = logging.getLogger("featurediff")

_EVERY = 60.0  # seconds between lines in the log file
_moves = 0


def note_progress() -> None:
    """Note that this process makes progress; `progress` does so by itself."""
    global _moves
    _moves += 1


def moves() -> int:
    """How often this process has noted progress so far."""
    return _moves


@contextmanager
def progress(total: int, what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of things, of `total`, that were done since the last call."""
    began = noted = time.monotonic()
    done = 0
    # `disable=None`: no bar where stderr is not a terminal
    bar = tqdm(total=total, desc=what, unit=unit, disable=None, leave=False, dynamic_ncols=True, file=sys.stderr)

    def advance(count: int) -> None:
        nonlocal done, noted
        done += count
        note_progress()
        bar.update(count)
        now = time.monotonic()
        if now - noted >= _EVERY and done:
            noted = now
            rate = done / (now - began)
            left = tqdm.format_interval(max(total - done, 0) / rate)
            log.debug("%s: %d of %d, %.3g %s/s, %s left", what, done, total, rate, unit, left)

    with bar:
        yield advance


class BesideBars(logging.StreamHandler):
    """Writes messages to stderr without disrupting a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with tqdm.external_write_mode(file=self.stream):
                self.stream.write(self.format(record) + "\n")
                self.flush()
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)
