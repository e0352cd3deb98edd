"""The one exception for a user's mistake."""

import difflib
from collections.abc import Collection

__all__ = ["InputError", "close_names"]


class InputError(ValueError):
    """Bad input: the message says what is wrong, where, and how to go on.

    Whoever runs a step prints the message alone, without a traceback; any other exception is a defect of
    this project and keeps its traceback.
    """


def close_names(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown name: `; close names: …`, or nothing where none is close."""
    close = difflib.get_close_matches(name, [other for other in known if other], n=5, cutoff=0.5)
    return f"; close names: {', '.join(close)}" if close else ""
