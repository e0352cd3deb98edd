"""A config file with its lines: a mistake is said with the place in the file where it stands. No torch here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from feature_vis.errors import InputError

__all__ = ["ConfigFile", "Mistake", "in_order", "in_words", "read_config"]

# Anchors and aliases can make a small file as large as one likes: more values than this are no config.
_MOST_VALUES = 300_000

_MERGE = "tag:yaml.org,2002:merge"


class Mistake(NamedTuple):
    """Something in a config that cannot be followed: the keys that lead to it, and what is wrong, in words."""

    path: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class ConfigFile:
    """A config as it was read, and on which line, from 1, each of its keys and list items stands."""

    file: Path
    config: dict[str, Any]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def place(self, path: Sequence[str]) -> str:
        """`config.yaml:12` for a path of keys; the nearest key above where the file does not have it itself."""
        known = (self.lines.get(tuple(path[:end])) for end in range(len(path), 0, -1))
        line = next((line for line in known if line is not None), None)
        return str(self.file) if line is None else f"{self.file}:{line}"


def read_config(file: str | Path) -> ConfigFile:
    """Read a config file. A key that is there twice, of which YAML would take the last, is among `mistakes`.

    Raises:
        InputError: no such file, not YAML in UTF-8 (with the line), or not a mapping of keys to values.
    """
    file = Path(file)
    try:
        loader = yaml.SafeLoader(file.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        found = _Walk(loader)
        found.visit(node, (), ())
        config = {} if node is None else loader.construct_document(node)
    except FileNotFoundError:
        raise InputError(f"there is no config {file}: `featurediff init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as text in UTF-8: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise InputError(f"{file}{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-99-99 is a ValueError
        raise InputError(f"{file}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(config, dict):
        raise InputError(f"{file}: a config has keys and values, `networks:` and `visualize:` among them")
    return ConfigFile(file, config, found.lines, found.mistakes)


class _Walk:
    """Through the nodes of a YAML document, before it becomes values and forgets its lines."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self.loader = loader
        self.lines: dict[tuple[str, ...], int] = {}
        self.mistakes: list[Mistake] = []
        self.visited = 0

    def visit(self, node: yaml.Node | None, path: tuple[str, ...], above: tuple[int, ...]) -> None:
        self.visited += 1
        if id(node) in above or self.visited > _MOST_VALUES:
            raise ValueError("an alias (*name) leads back to itself, or to too many values")
        above = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._note((*path, str(index)), item)
                self.visit(item, (*path, str(index)), above)
        elif isinstance(node, yaml.MappingNode):
            own: dict[str, int] = {}
            for key, value in node.value:
                if key.tag == _MERGE:
                    continue
                name = str(self.loader.construct_object(key, deep=True))
                here, line = (*path, name), key.start_mark.line + 1
                if name in own:
                    text = f"{'.'.join(here)} is there twice, on lines {own[name]} and {line}: keep one of them"
                    self.mistakes.append(Mistake(here, text))
                own[name] = line
                self._note(here, key)
                self.visit(value, here, above)
            for key, value in node.value:  # what `<<` brings in lies below the mapping's own keys
                if key.tag == _MERGE:
                    self.visit(value, path, above)

    def _note(self, path: tuple[str, ...], node: yaml.Node) -> None:
        self.lines.setdefault(path, node.start_mark.line + 1)


def in_order(mistakes: Iterable[Mistake], files: Sequence[ConfigFile]) -> list[Mistake]:
    """Each once, as they stand in the files; first what stands in none."""

    def order(mistake: Mistake) -> tuple[int, int]:
        found = _found(mistake.path, files)
        return (-1, 0) if found is None else found

    return sorted(dict.fromkeys(mistakes), key=order)


def in_words(mistakes: Iterable[Mistake], files: Sequence[ConfigFile] = ()) -> str:
    """One line a mistake; with the config's files (a later one lies over the earlier) each says where it stands."""
    return "\n".join(f"  - {_place(mistake.path, files)}{mistake.text}" for mistake in mistakes)


def _place(path: tuple[str, ...], files: Sequence[ConfigFile]) -> str:
    if (found := _found(path, files)) is not None:
        return f"{files[found[0]].place(path)}: "
    return f"{files[-1].file}: " if files and not path else ""  # a value of the command line stands in no file


def _found(path: tuple[str, ...], files: Sequence[ConfigFile]) -> tuple[int, int] | None:
    """File, by its number, and line of the deepest key of the path that any has; the last of the files that have it."""
    for end in range(len(path), 0, -1):
        for number, file in reversed(list(enumerate(files))):
            if path[:end] in file.lines:
                return number, file.lines[path[:end]]
    return None
