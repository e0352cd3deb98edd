"""A network in a Python file of the user's own: `module:function`, where the function builds the network.

The name may begin with a folder; without one it is the working folder. `tiny:build` is in `tiny.py`, `nets.tiny:build`
in `nets/tiny.py`, `/home/me/nets/tiny:build` in `/home/me/nets/tiny.py`. The file is run with all the rights of the
user.

No torch here: the workflow imports this module while it builds its graph, and runs none of the user's code then.
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
    """Whether a network's name is `module:function`; `timm:name` is not."""
    return ":" in name and not name.startswith("timm:")


def within(name: str, folder: str | Path) -> str:
    """The name, seen from the working folder, of a module in `folder` or below it."""
    if not is_user_module(name) or name.startswith("/"):
        return name
    relative = os.path.relpath(folder)
    return name if relative == "." else f"{relative}/{name}"


def source_files(name: str) -> list[Path]:
    """The module's file and those beside it that it imports, directly or not, sorted by name. Nothing is run.

    Raises:
        InputError: a name of another form, no such file, or one that is not Python.
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
    """SHA-256, 64 hex digits, of the function's name and of the `source_files`; "" for any other network."""
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
        InputError: no such file or function, another module of that name, or an error in the user's code, with the
            line.
    """
    root, module, function = _parts(name)
    file = _file(root, module)
    with _first_in_path(root):
        try:
            imported = importlib.import_module(module)
        except Exception as error:  # whatever the user's code raises
            raise InputError(f"{file} cannot be imported: {_with_line(error, root)}") from error
        if Path(imported.__file__ or "").resolve() != file.resolve():
            raise InputError(f"{name}: there is another module {module} ({imported.__file__}): rename {file}")
        if not callable(build := getattr(imported, function, None)):
            known = [key for key, value in vars(imported).items() if callable(value) and not key.startswith("_")]
            raise InputError(f"{file} has no function {function!r}: it has {', '.join(known) or 'none'}")
        try:
            return build()
        except Exception as error:
            raise InputError(f"{name} cannot be built: {_with_line(error, root)}") from error


def _parts(name: str) -> tuple[Path, str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"{name!r} is no network: write the name of a torchvision classifier, timm:<name>, or module:function for "
            "a function in your own Python file (nets:build for the function build in nets.py)"
        )
    return Path(match["folder"] or "."), match["module"], match["function"]


def _file(root: Path, module: str) -> Path:
    file = _found(root, module)
    if file is None:
        raise InputError(f"the file {root / module.replace('.', '/')}.py of the network {module} does not exist")
    return file


def _found(root: Path, module: str) -> Path | None:
    place = root / module.replace(".", "/")
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)


def _imports(file: Path, root: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, inside and outside of `root`."""
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
        for name in names:  # importing a module also runs the packages around it
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


def _with_line(error: BaseException, root: Path) -> str:
    """The error's text, with the last of the user's own lines that led to it."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    inside = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve().is_relative_to(root.resolve())
    ]
    return f"{text} ({inside[-1].filename}, line {inside[-1].lineno})" if inside else text
