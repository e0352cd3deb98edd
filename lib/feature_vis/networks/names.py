"""Names of weights: a library's name for them, or the path of a file. No torch here."""

import os

__all__ = ["is_weights_name"]


def is_weights_name(weights: str) -> bool:
    """Whether this is a library's name of weights, not the path of a file."""
    return "/" not in weights and "." not in weights and not os.path.exists(weights)  # noqa: PTH110 (no error)
