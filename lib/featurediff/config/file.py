"""A config file with its lines, so that a mistake is reported where it stands. No torch here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from feature_vis.errors import InputError

__all__ = ["Config", "ConfigFile", "Mistake", "format_mistakes", "mistake_at", "read_config"]

Config = dict[str, Any]
Keys = tuple[str, ...]  # the keys that lead to a value

# Anchors and aliases can make a small file as large as one likes: more values than this are no config.
_MOST_VALUES = 300_000
_MERGE = "tag:yaml.org,2002:merge"


class Mistake(NamedTuple):
    """Something in a config that cannot be followed: the keys that lead to it, and what is wrong, in words."""

    path: Keys
    text: str


def mistake_at(path: Keys, text: str) -> Mistake:
    """The usual form: `networks.dogs.data: there is …`."""
    return Mistake(path, f"{'.'.join(path)}: {text}")


@dataclass(frozen=True)
class ConfigFile:
    """A config as it was read, and on which line, from 1, each of its keys and list items stands."""

    file: Path
    config: Config
    lines: dict[Keys, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def read_config(file: str | Path) -> ConfigFile:
    """Read a config file. A key that is there twice, of which YAML would take the last, is among `mistakes`.

    Raises:
        InputError: no such file, not YAML in UTF-8 (with the line), or not a mapping of keys to values.
    """
    file = Path(file)
    try:
        loader = yaml.SafeLoader(file.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        lines, mistakes = _lines(loader, node)
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
    return ConfigFile(file, config, lines, mistakes)


def _lines(loader: yaml.SafeLoader, root: yaml.Node | None) -> tuple[dict[Keys, int], list[Mistake]]:
    """Walk through the nodes of a document before they become values and lose their lines."""
    lines: dict[Keys, int] = {}
    mistakes: list[Mistake] = []
    visited = 0

    def visit(node: yaml.Node | None, path: Keys, above: tuple[int, ...]) -> None:
        nonlocal visited
        visited += 1
        if id(node) in above or visited > _MOST_VALUES:
            raise ValueError("an alias (*name) leads back to itself, or to too many values")
        above = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines.setdefault((*path, str(index)), item.start_mark.line + 1)
                visit(item, (*path, str(index)), above)
        elif isinstance(node, yaml.MappingNode):
            own: dict[str, int] = {}
            for key, value in node.value:
                if key.tag == _MERGE:
                    continue
                name, line = str(loader.construct_object(key, deep=True)), key.start_mark.line + 1
                here = (*path, name)
                if name in own:
                    text = f"{'.'.join(here)} is there twice, on lines {own[name]} and {line}: keep one of them"
                    mistakes.append(Mistake(here, text))
                own[name] = line
                lines.setdefault(here, line)
                visit(value, here, above)
            for key, value in node.value:  # what `<<` brings in lies below the mapping's own keys
                if key.tag == _MERGE:
                    visit(value, path, above)

    visit(root, (), ())
    return lines, mistakes


def format_mistakes(mistakes: Iterable[Mistake], files: Sequence[ConfigFile] = ()) -> str:
    """One line a mistake, each once, in the order of the files; first those that stand in none.

    With the config's files (a later one lies over the earlier) each line begins with its place, `config.yaml:12`.
    """
    found = sorted(dict.fromkeys(mistakes), key=lambda mistake: _place(mistake.path, files) or (-1, 0))
    return "\n".join(f"  - {_shown_place(mistake.path, files)}{mistake.text}" for mistake in found)


def _shown_place(path: Keys, files: Sequence[ConfigFile]) -> str:
    if (place := _place(path, files)) is not None:
        return f"{files[place[0]].file}:{place[1]}: "
    return f"{files[-1].file}: " if files and not path else ""  # a value of the command line stands in no file


def _place(path: Keys, files: Sequence[ConfigFile]) -> tuple[int, int] | None:
    """File, by its number, and line of the deepest key of the path that any has; the last of the files that have it."""
    for end in range(len(path), 0, -1):
        for number, file in reversed(list(enumerate(files))):
            if path[:end] in file.lines:
                return number, file.lines[path[:end]]
    return None
