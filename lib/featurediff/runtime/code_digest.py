"""Which code made a table: a parameter of every rule that measures or shows. No torch here."""

import hashlib
from pathlib import Path

__all__ = ["code_digest"]


def code_digest(lib: Path = Path(__file__).parents[2]) -> str:
    """SHA-256, 64 hex digits, of the code below `lib` that measures and shows: another version makes tables again.

    It follows content alone: a checkout, which touches every file, changes nothing, and an installed package, which
    holds the workflow as well, has the same digest. Weights and pictures have versions of their own,
    `TRAINING_VERSION` and `RECIPE_VERSION`: they cost too much for a changed comment.
    """
    digest = hashlib.sha256()
    for package in ("feature_vis", "featurediff"):
        for file in sorted((lib / package).rglob("*")):
            if file.is_file() and not {"__pycache__", "cli", "workflow"} & set(file.relative_to(lib).parts):
                digest.update(f"{file.relative_to(lib).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()
