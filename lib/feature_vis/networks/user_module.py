"""A network of the user's own: `module:function`, the name of a Python file and of a function in it that builds it.

The file lies in the folder that the name begins with, the working folder where it has none: `tiny:build` is
`tiny.py`, `nets.tiny:build` is `nets/tiny.py`, `/home/me/nets/tiny:build` is that file. It is the user's code, and is
run as such, with all that the user may do.

No torch here: the workflow reads this module while it builds its graph, and runs nothing of the user's.
"""

import ast
import hashlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feature_vis.errors import InputError

__all__ = ["call", "is_user_module", "source_digest", "source_files", "within"]

_NAME = re.compile(r"(?P<folder>(?:.*/)?)(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")


def is_user_module(name: str) -> bool:
    """Whether a model's name is `module:function`; `timm:name` is not."""
    return ":" in name and not name.startswith("timm:")


def within(name: str, folder: str | Path) -> str:
    """The name as it is said from the working folder, of a module that lies in `folder` or below it."""
    if not is_user_module(name) or name.startswith("/"):
        return name
    relative = os.path.relpath(folder)
    return name if relative == "." else f"{relative}/{name}"


def source_files(name: str) -> list[Path]:
    """The module's file, and those beside it that it imports, by name; those in turn as well. Nothing is run.

    Raises:
        InputError: a name that is none, no such file, or one that is not Python.
    """
    root, module, _ = _parts(name)
    found: dict[Path, None] = {}
    waiting = [_file(root, module)]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = None
            waiting += [other for imported in _imports(file, root) if (other := _found(root, imported)) is not None]
    return sorted(found)


def source_digest(name: str) -> str:
    """SHA-256, 64 hex digits, of the function's name and of the `source_files`; "" for any other model."""
    if not is_user_module(name):
        return ""
    root, _, function = _parts(name)
    digest = hashlib.sha256(function.encode())
    for file in source_files(name):
        content = file.read_bytes()
        digest.update(f"\n{file.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def call(name: str) -> Any:
    """Import the module, with its folder first in the path, and call the function without arguments.

    Raises:
        InputError: no such file or function, another module of that name, or an error in the user's code, with its
            line.
    """
    root, module, function = _parts(name)
    file = _file(root, module)
    with _first_in_path(root):
        try:
            imported = importlib.import_module(module)
        except Exception as error:  # whatever the user's code raises
            raise InputError(f"{file} cannot be imported: {_where(error, root)}") from error
        if Path(imported.__file__ or "").resolve() != file.resolve():
            raise InputError(f"{name}: another module is called {module} ({imported.__file__}): rename {file}")
        if not callable(build := getattr(imported, function, None)):
            known = [key for key, value in vars(imported).items() if callable(value) and not key.startswith("_")]
            raise InputError(f"{file} has no function {function!r}: it has {', '.join(known) or 'none'}")
        try:
            return build()
        except Exception as error:
            raise InputError(f"{name} cannot be built: {_where(error, root)}") from error


def _parts(name: str) -> tuple[Path, str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"{name!r} is no network: write the name of one of torchvision's, timm:<name>, or module:function for a "
            "function in a Python file of yours (nets.py with a function build: nets:build)"
        )
    return Path(match["folder"] or "."), match["module"], match["function"]


def _file(root: Path, module: str) -> Path:
    file = _found(root, module)
    if file is None:
        raise InputError(f"there is no file {root / module.replace('.', '/')}.py with the network {module}")
    return file


def _found(root: Path, module: str) -> Path | None:
    place = root / module.replace(".", "/")
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)


def _imports(file: Path, root: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, whether or not it lies below `root`."""
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{file} is not Python: {error}") from None
    package = file.relative_to(root).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*above, *([node.module] if node.module else [])])
            names = [start, *(f"{start}.{alias.name}".lstrip(".") for alias in node.names)]
        else:
            continue
        for name in names:  # a package's own file is run as well
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1) if name)


@contextmanager
def _first_in_path(root: Path) -> Iterator[None]:
    folder = str(root.resolve())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


def _where(error: BaseException, root: Path) -> str:
    """The error in words, with the last of the user's own lines on the way to it."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    inside = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve().is_relative_to(root.resolve())
    ]
    return f"{text} ({inside[-1].filename}, line {inside[-1].lineno})" if inside else text
