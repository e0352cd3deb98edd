"""How weights are named: by the library that has them, or by the path of a file. No torch here."""

import os

__all__ = ["is_weights_name"]


def is_weights_name(weights: str) -> bool:
    """Whether weights are meant to be a library's of that name, not a file."""
    return "/" not in weights and "." not in weights and not os.path.exists(weights)  # noqa: PTH110 (no error)
