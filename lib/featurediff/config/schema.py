"""The schema: the one source of a config's keys, types and defaults, and its errors in the words of a config.

Whoever wrote the config has not read the schema: a message names keys and values, never JSON Schema's terms. No torch
here.
"""

import copy
import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from featurediff.config.file import Keys, Mistake, mistake_at

__all__ = ["did_you_mean", "read_schema", "schema_mistakes", "unusable_values", "with_defaults"]

Schema = Mapping[str, Any]

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "keys with their values",
}
# Keys of former versions.
_RENAMED = {"bad_channels": "failed_pictures"}
# What others call the same thing.
_SYNONYMS = {"checkpoint": "weights", "state_dict": "weights", "path": "weights", "architecture": "model"}

_LONGEST = 60  # characters of a value that is shown
_LONGEST_TEXT = 1000  # characters; file systems take some 4,000 bytes
_MOST_DIGITS = 18  # Python refuses to print numbers of some thousand digits, torch those of more than 64 bits


@cache
def read_schema(file: Path) -> Schema:
    """The schema in a YAML file; it is read once, and nobody may change it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where there is one, takes a tenth of the time
    return loader(file.read_text(encoding="utf-8")).get_single_data()


def with_defaults(value: Any, schema: Schema) -> Any:
    """A copy of a config, or of a part of it, with the schema's defaults where a key is absent.

    A `$ref` is not followed: recipes lie over one another, so only `Recipe` knows the settings of a picture.
    """
    if not isinstance(value, dict):
        return copy.deepcopy(value)
    keys, others = schema.get("properties", {}), schema.get("additionalProperties") or {}
    absent = {key: each["default"] for key, each in keys.items() if key not in value and "default" in each}
    return {key: with_defaults(inner, keys.get(key, others)) for key, inner in {**value, **absent}.items()}


def schema_mistakes(config: Any, schema: Schema, *, partial: bool = False) -> list[Mistake]:
    """All that the schema forbids; of a part of a config with `partial`, which may lack the rest."""
    validator = jsonschema.Draft202012Validator({**schema, "required": []} if partial else schema)
    errors = sorted(validator.iter_errors(config), key=lambda error: [str(part) for part in error.absolute_path])
    return [mistake for error in errors for mistake in _described(error)]


def _described(error: jsonschema.ValidationError) -> Iterator[Mistake]:
    """One or more mistakes, each with its keys, of an error of the schema."""
    path = tuple(str(part) for part in error.absolute_path)
    where = ".".join(path) or "the config"
    schema: Schema = error.schema if isinstance(error.schema, dict) else {}
    if "propertyNames" in error.absolute_schema_path:
        here = (*path, str(error.instance))
        yield Mistake(here, f"{where} cannot have the key {_shown(error.instance)}: {schema['description']}")
    elif error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(schema.get("properties", {}))
        for key in (str(key) for key in error.instance if key not in known):
            yield Mistake((*path, key), f"{where} has an unknown key {_shown(key)}{did_you_mean(key, known)}")
    elif error.validator == "required":
        key = error.message.split("'")[1]  # an error a key, and the message is the only place that names it
        yield Mistake((*path, key) if path else (), f"{where}: the key {key!r} is missing")
    elif error.validator == "oneOf" and (inside := _of_its_kind(error)):
        for each in inside:
            yield from _described(each)
    elif error.validator in ("minItems", "minProperties") and not error.instance:
        yield Mistake(path, f"{where}: must not be empty")
    elif error.validator == "uniqueItems":
        yield Mistake(path, f"{where}: has the same value twice")
    elif error.validator == "pattern":
        yield Mistake(path, f"{where}: cannot be {_shown(error.instance)}: {schema['description']}")
    else:
        hint = _hint(error.instance, schema)
        yield Mistake(path, f"{where}: must be {_wanted(schema)}, not {_shown(error.instance)}{hint}")


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the closest known one, or all where none is close."""
    if _RENAMED.get(name) in known:
        return f": it is called {_RENAMED[name]!r} now"
    if _SYNONYMS.get(name) in known:
        return f": did you mean {_SYNONYMS[name]!r}?"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": there are {', '.join(known) or 'none'}"


def unusable_values(value: Any, path: Keys = ()) -> Iterator[Mistake]:
    """A mistake for each key and value that only YAML can take.

    `.nan` and `.inf` are numbers for the schema, too; a whole number of thousands of digits cannot be printed; and a
    text with control characters is no name of anything.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if why := _unusable_key(key):
                yield Mistake((*path, str(key)), f"{'.'.join(path) or 'the config'}: the key {why}")
            else:
                yield from unusable_values(inner, (*path, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from unusable_values(inner, (*path, str(index)))
    elif isinstance(value, str | int | float) and (why := _unusable(value)):
        yield mistake_at(path, why)


def _unusable_key(key: Any) -> str:
    """`no`, `on`, `1.5` and a date are no texts in YAML; a channel's number is one that is meant as such."""
    if isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool)):
        return _unusable(key)
    return f"{_shown(key)} is no text: put it into quotes"


def _unusable(value: str | float) -> str:
    if isinstance(value, str):
        if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value):
            return f"has control characters: {_shown(value)}"
        return f"has more than {_LONGEST_TEXT:,} characters" if len(value) > _LONGEST_TEXT else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"must be a finite number, not {value}"
    return f"is a number of more than {_MOST_DIGITS} digits" if abs(value) >= 10**_MOST_DIGITS else ""


def _of_its_kind(error: jsonschema.ValidationError) -> list[jsonschema.ValidationError]:
    """What is wrong inside a mapping or a list, in the one alternative that takes such a thing at all."""
    if not isinstance(error.instance, dict | list):
        return []
    branches: dict[Any, list[jsonschema.ValidationError]] = {}
    for each in error.context or []:
        branches.setdefault(each.relative_schema_path[0], []).append(each)
    for errors in branches.values():
        if not any(each.validator in ("type", "enum", "const") and not each.relative_path for each in errors):
            return errors
    return []


def _wanted(schema: Mapping[str, Any]) -> str:
    """What a value may be: `a whole number of at least 1 or null`."""
    if "words" in schema:  # of the schema, where its alternatives say too little
        return str(schema["words"])
    if "oneOf" in schema:
        return " or ".join(dict.fromkeys(_wanted(each) for each in schema["oneOf"]))
    if "const" in schema or "enum" in schema:
        values = [_shown(value, quoted=False) for value in schema.get("enum", [schema.get("const")])]
        return " or ".join(filter(None, [", ".join(values[:-1]), values[-1]]))
    types = schema.get("type", [])
    words = [_of_type(name, schema) for name in ([types] if isinstance(types, str) else types)]
    return " or ".join(words)


def _of_type(name: str, schema: Mapping[str, Any]) -> str:
    if name in ("integer", "number"):
        return " ".join(filter(None, [_TYPES[name], _range(schema)]))
    if name == "array":
        items = f" of {_wanted(schema['items'])}" if "items" in schema else ""
        both = schema.get("minItems") == schema.get("maxItems") is not None
        return f"a list of {schema['minItems']}: each {_wanted(schema['items'])}" if both else f"a list{items}"
    return _TYPES[name]


def _range(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if "minimum" in schema and "maximum" in schema:
        return f"from {low} to {high:,}"
    lower = f"{'of at least' if 'minimum' in schema else 'above'} {low}" if low is not None else ""
    upper = f"{'at most' if 'maximum' in schema else 'below'} {high:,}" if high is not None else ""
    return " and ".join(filter(None, [lower, upper]))


def _hint(value: Any, schema: Mapping[str, Any]) -> str:
    if not isinstance(value, str):
        return ""
    if "enum" in schema:
        close = difflib.get_close_matches(value, [each for each in schema["enum"] if isinstance(each, str)], n=1)
        return f": did you mean {close[0]!r}?" if close else ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if "e" in value.lower() and math.isfinite(number) and schema.get("type") == "number":
        return ", which YAML takes for a text: a number needs a dot and a sign there, such as 1.0e-4"
    return ""


def _shown(value: Any, *, quoted: bool = True) -> str:
    """A value as it stands in a config, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value) if quoted or not isinstance(value, str) else value
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
