"""What a Python process of our own is started with. No torch here."""

import os
import sys

__all__ = ["child_environment"]


def child_environment() -> dict[str, str]:
    """This process's environment, in which another Python finds the same modules, in the same order.

    The library's folder alone would not do: installed, it is the folder of all packages, and in a rule's conda
    environment it would come before that environment's own.
    """
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
