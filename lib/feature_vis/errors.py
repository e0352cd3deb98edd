"""The exception for a user's mistake."""

import difflib
from collections.abc import Collection

__all__ = ["InputError", "close_names"]


class InputError(ValueError):
    """A mistake in what the user gave: the message says what is wrong, where, and how to go on.

    Commands and jobs print the message without a traceback. Any other exception is a defect of this project and keeps
    its traceback.
    """


def close_names(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown name: `; close names: …`, or nothing if none is close."""
    close = difflib.get_close_matches(name, [other for other in known if other], n=5, cutoff=0.5)
    return f"; close names: {', '.join(close)}" if close else ""
