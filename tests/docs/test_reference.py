"""The reference pages: everything that the program has is on them."""

import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from places import REPOSITORY


@pytest.fixture(scope="module")
def generated() -> SimpleNamespace:
    """The module that makes the pages."""
    return SimpleNamespace(**runpy.run_path(str(REPOSITORY / "docs" / "generated.py")))


def keys(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every key below: the mapping that it stands in, its name, and what the schema says of it."""
    for name, value in schema.get("properties", {}).items():
        yield path, name, value
        yield from keys(f"{path}.{name}".lstrip("."), value)
    named = schema.get("additionalProperties")
    if isinstance(named, Mapping):
        yield from keys(f"{path}.<name>", named)
    for choice in schema.get("oneOf", []):
        yield from keys(path, choice)


def test_every_key_of_the_schema_is_on_the_page(generated: SimpleNamespace) -> None:
    schema = yaml.safe_load((REPOSITORY / "config" / "schema.yaml").read_text())
    page = generated.config_page(schema)
    sections = {title.strip("`"): text for title, text in re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", page, re.M)}
    all_keys = [*keys("", schema), *keys("recipe", schema["$defs"]["recipe"])]
    assert len(all_keys) > 80
    for path, name, value in all_keys:
        row = next(line for line in sections[path or "The whole config"].splitlines() if f"| `{name}` |" in line)
        assert " ".join(value.get("description", "").split()).replace("|", "\\|") in row
        if "default" in value:
            assert f"| `{yaml.safe_dump(value['default'], default_flow_style=True).split(chr(10))[0]}` |" in row, name


def test_a_key_says_what_it_may_be(generated: SimpleNamespace) -> None:
    properties = {
        "mode": {"enum": ["a", 1], "default": "a", "description": "A | B."},
        "size": {"oneOf": [{"type": "integer", "minimum": 16}, {"type": "array", "items": {"type": "string"}}]},
        "share": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
        "made": {"$ref": "#/$defs/recipe"},
    }
    thing = {"type": "object", "properties": {"on": {"type": "boolean"}}}
    properties["things"] = {"type": "object", "additionalProperties": thing}
    schema = {"properties": properties, "required": ["size"], "$defs": {"recipe": {"properties": {}}}}
    page = generated.config_page(schema)
    assert "| `mode` | `a` or `1` | `a` | A \\| B. |" in page
    assert "| `size` | whole number, at least 16 or list of text |  | Required. |" in page
    assert "| `share` | number or `null`, above 0, at most 1 |  |  |" in page
    assert "| `made` | a [recipe](#recipe) |" in page
    assert "See [`things.<name>`](#thingsname)." in page
    assert "## `things.<name>`\n\n\n\n| key" in page
    assert "| `on` | `true` or `false` |" in page


@pytest.mark.parametrize("package", ["feature_vis", "featurediff"])
def test_every_public_name_is_on_the_page(generated: SimpleNamespace, package: str) -> None:
    page = generated.package_page(REPOSITORY / "lib" / package)
    sections = {part.partition("\n")[0]: part for part in re.split(r"^### ", page, flags=re.M)}
    for file in (REPOSITORY / "lib" / package).rglob("*.py"):
        declared = re.search(r"^__all__ = \[(.*?)\]", file.read_text(), flags=re.M | re.S)
        if declared is None or file.name == "__init__.py":
            continue
        module = ".".join(file.relative_to(REPOSITORY / "lib").with_suffix("").parts)
        for name in re.findall(r'"(\w+)"', declared.group(1)):
            described = rf"^`{{3,}}{{py:\w+}} {name}\b|^`{name}` is that of `\w+"
            assert re.search(described, sections[module], flags=re.M), f"{module}.{name}"


def test_a_docstring_is_markdown_and_its_errors_are_named(generated: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "thing" / "inner").mkdir(parents=True)
    (tmp_path / "thing" / "__init__.py").write_text('"""A package."""')
    (tmp_path / "thing" / "inner" / "__init__.py").write_text('"""A folder."""')
    (tmp_path / "thing" / "inner" / "part.py").write_text(
        '"""Reads <name> and `<code>`."""\n\n__all__ = ["SIZE", "Box", "read"]\n\nSIZE = 3\n\n\n'
        'def read(path: str, *, size: int = 2) -> int:\n    """Read it.\n\n    Raises:\n        ValueError: no\n'
        '            such.\n        OSError: broken.\n    """\n\n\n'
        "@dataclass\nclass Box:\n    width: int = 1  # in <px>\n\n    @property\n    def area(self) -> int: ...\n\n"
        "    def _hidden(self): ...\n"
    )
    page = generated.package_page(tmp_path / "thing")
    assert "## thing\n\nA package.\n\n## thing.inner\n\nA folder.\n\n### thing.inner.part\n" in page
    assert "Reads &lt;name> and `<code>`." in page
    assert "{py:function} read(path: str, *, size: int=2) -> int\nRead it." in page
    assert "**Raises** `ValueError`: no such.; `OSError`: broken." in page
    assert "{py:class} Box(width: int = 1)" in page
    assert "- `width`: in &lt;px>" in page
    assert "{py:property} area" in page
    assert "_hidden" not in page
    assert "Its value: `3`" in page


def test_every_command_and_column_is_on_its_page(generated: SimpleNamespace) -> None:
    from featurediff.cli.main import main
    from featurediff.statistics import multiple_testing as statistics

    commands, columns = generated.commands_page(), generated.columns_page()
    assert all(f"## {name}\n" in commands for name in main.commands)
    assert "--quick" in commands
    assert "Tab completion" in commands
    assert all(f"| `{name}` |" in columns for name in statistics.COLUMNS)


def test_every_generated_page_is_used(generated: SimpleNamespace) -> None:
    text = "".join(file.read_text() for file in (REPOSITORY / "docs").rglob("*.md"))
    assert set(re.findall(r"^```\{generated\} (\w+)", text, flags=re.M)) == set(generated.PAGES)
