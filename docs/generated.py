"""Reference pages from what the program itself goes by: the config's schema, docstrings, `--help`, columns of tables.

Each function returns Markdown; `{generated} NAME` puts it into a page, see `PAGES`.
"""

import ast
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent
Schema = Mapping[str, Any]


class Generated(SphinxDirective):
    """What `PAGES` has under the directive's argument, as if it stood in the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(PAGES[self.arguments[0]](), allow_section_headings=True)


# --- the config ---------------------------------------------------------------------------------------------------


def config_page(schema: Schema) -> str:
    """A section a mapping of the config, a row a key: what it may be, its default, what it does."""
    recipe = schema["$defs"]["recipe"]
    sections = [*_sections("", schema, schema), *_sections("recipe", recipe, schema)]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)


def _sections(path: str, mapping: Schema, schema: Schema) -> Iterator[tuple[str, str]]:
    """The mapping's own section, then those of the mappings in it."""
    required = mapping.get("required", [])
    rows, inner = [], []
    for key, value in mapping["properties"].items():
        place = f"{path}.{key}" if path else key
        inside = list(_mappings(place, value))
        inner += inside
        meaning = [value.get("description", "")]
        meaning += ["Required."] if key in required else []
        meaning += [f"See {' and '.join(f'[`{name}`](#{_anchor(name)})' for name, _ in inside)}."] if inside else []
        default = f"`{_plain(value['default'])}`" if "default" in value else ""
        rows.append([f"`{key}`", _value(value, schema), default, " ".join(filter(None, meaning))])
    title = f"`{path}`" if path else "The whole config"
    yield title, f"{mapping.get('description', '')}\n\n{_table(['key', 'value', 'default', 'what it does'], rows)}"
    for place, value in inner:
        yield from _sections(place, value, schema)


def _mappings(place: str, value: Schema) -> Iterator[tuple[str, Schema]]:
    """The mappings with keys of their own that a value may be or hold, but for those that stand elsewhere."""
    if "properties" in value:
        yield place, value
    if isinstance(named := value.get("additionalProperties"), Mapping):
        yield from _mappings(f"{place}.<name>", named)
    for choice in value.get("oneOf", []):
        yield from _mappings(place, choice)


def _value(value: Schema, schema: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in value:
        _, kind, name = value["$ref"].split("/")
        if kind == "properties":
            return f"as [`{name}`](#the-whole-config)"
        return f"a [{name}](#{name})" if name == "recipe" else _value(schema["$defs"][name], schema)
    if "oneOf" in value:
        return " or ".join(_value(choice, schema) for choice in value["oneOf"])
    if "enum" in value or "const" in value:
        return " or ".join(f"`{_plain(choice)}`" for choice in value.get("enum", [value.get("const")]))
    types = value["type"] if isinstance(value["type"], list) else [value["type"]]
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    return " or ".join(words.get(kind) or _compound(kind, value, schema) for kind in types) + _range(value)


def _compound(kind: str, value: Schema, schema: Schema) -> str:
    if kind == "array":
        count, item = value.get("maxItems"), _value(value["items"], schema)
        return f"list of {count} × {item}" if count and count == value.get("minItems") else f"list of {item}"
    if kind == "object":
        named = value.get("additionalProperties")
        return (
            f"by name: {_value(named, schema)}" if isinstance(named, Mapping) and "properties" not in named else "keys"
        )
    return f"`{kind}`"


def _range(value: Schema) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{word} {value[name]}" for name, word in words.items() if name in value]
    return f", {', '.join(limits)}" if limits else ""


def _plain(value: Any) -> str:
    """As it stands in YAML."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


# --- columns of tables, commands --------------------------------------------------------------------------------


def columns_page() -> str:
    """Every column that a comparison's tables may have, with its unit and meaning."""
    from featurediff.comparison.compare import describe_columns
    from featurediff.difference import effects, photographs, pictures, search
    from featurediff.statistics import control_runs as control
    from featurediff.training import evaluation

    tables = {
        "Tables of channels": yaml.safe_load(describe_columns()),
        "`control.csv`": yaml.safe_load(describe_columns(control.COLUMNS)),
        "`evaluation/classes.csv`": yaml.safe_load(describe_columns(evaluation.COLUMNS)),
        "`difference/candidates.csv`": yaml.safe_load(describe_columns(search.CANDIDATE_COLUMNS)),
        "`difference/starts.csv`": yaml.safe_load(describe_columns(pictures.COLUMNS)),
        "`difference/classes.csv`": yaml.safe_load(describe_columns(pictures.CLASS_COLUMNS)),
        "`difference/effects.csv`": yaml.safe_load(describe_columns(effects.COLUMNS)),
        "`difference/effect.csv`": yaml.safe_load(describe_columns(effects.CLASS_COLUMNS)),
        "`difference/photographs.csv`": yaml.safe_load(describe_columns(photographs.COLUMNS)),
        "`difference/flips.csv`": yaml.safe_load(describe_columns(photographs.FLIP_COLUMNS)),
    }
    return "\n\n".join(
        f"## {title}\n\n"
        + _table(
            ["column", "unit", "meaning"],
            [[f"`{name}`", each["unit"], _escaped(each["meaning"])] for name, each in columns.items()],
        )
        for title, columns in tables.items()
    )


def commands_page() -> str:
    """`--help` of every command."""
    import click

    from featurediff.cli.main import main

    outer = click.Context(main, info_name="featurediff", max_content_width=88, terminal_width=88)
    parts = [f"## featurediff\n\n```text\n{main.get_help(outer)}\n```"]
    for name, command in main.commands.items():
        inner = click.Context(command, parent=outer, info_name=name, max_content_width=88, terminal_width=88)
        parts.append(f"## {name}\n\n```text\n{command.get_help(inner)}\n```")
    return "\n\n".join(parts)


# --- the library ------------------------------------------------------------------------------------------------


def package_page(package: Path) -> str:
    """A section per folder of the package, with its `__init__`'s docstring, and in it a section per module.

    A module is described if it says what is public: by its docstring, and each public name's signature and docstring.
    """
    parts = []
    for folder in [package, *sorted(path.parent for path in package.rglob("*/__init__.py"))]:
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        parts.append(f"## {_dotted(folder, package)}\n\n{_markdown(docstring)}")
        parts += [_module(file, _dotted(file, package)) for file in sorted(folder.glob("*.py"))]
    return "\n\n".join(filter(None, parts))


def _dotted(path: Path, package: Path) -> str:
    return ".".join(path.relative_to(package.parent).with_suffix("").parts)


def _module(file: Path, name: str) -> str:
    """The module's section; empty if the module names nothing as public, or is a folder's `__init__`."""
    source = file.read_text(encoding="utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    declared = next((node.value for node in tree.body if _assigns(node) == "__all__"), None)
    if declared is None or file.name == "__init__.py":
        return ""
    public = ast.literal_eval(declared)
    known = {_assigns(node) or getattr(node, "name", None): node for node in tree.body}
    sources = {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    head = f"### {name}\n\n```{{py:module}} {name}\n```\n\n{_markdown(ast.get_docstring(tree))}"
    described = [
        _described(each, known[each], lines) if each in known else f"`{each}` is that of `{sources[each]}`."
        for each in public
    ]
    return "\n\n".join([head, *described])


def _assigns(node: ast.AST) -> str | None:
    """The name that a statement of a module assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return targets[0].id if targets and isinstance(targets[0], ast.Name) else None


def _described(name: str, node: ast.AST, lines: Sequence[str]) -> str:
    """A public name as a directive of Sphinx's Python domain, with its docstring; `lines` are its module's source."""
    if isinstance(node, ast.FunctionDef):
        return _directive("function", f"{name}{_signature(node)}", _markdown(ast.get_docstring(node)))
    if isinstance(node, ast.ClassDef):
        methods = [
            _method(item)
            for item in node.body
            if isinstance(item, ast.FunctionDef) and (not item.name.startswith("_") or item.name == "__call__")
        ]
        text = "\n\n".join([_markdown(ast.get_docstring(node)), *_field_comments(node, lines), *methods])
        return _directive("class", f"{name}{_fields(node)}", text)
    value = ast.unparse(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else ""
    shown = f"Its value: `{value}`" if 0 < len(value) <= 80 and "`" not in value else ""
    return _directive("data", name, shown)


def _method(node: ast.FunctionDef) -> str:
    if "property" in map(ast.unparse, node.decorator_list):
        return _directive("property", node.name, _markdown(ast.get_docstring(node)))
    return _directive("method", f"{node.name}{_signature(node, method=True)}", _markdown(ast.get_docstring(node)))


def _signature(node: ast.FunctionDef, *, method: bool = False) -> str:
    text = ast.unparse(node.args)
    if method and not any(ast.unparse(each) == "staticmethod" for each in node.decorator_list):
        text = re.sub(r"^(self|cls)(, )?", "", text)
    returned = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"({text}){returned}"


def _fields(node: ast.ClassDef) -> str:
    """The arguments of a class: those of `__init__`, or a dataclass's or NamedTuple's fields."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _signature(item, method=True).partition(" -> ")[0]
    decorated = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
    if not decorated and not any(ast.unparse(base) == "NamedTuple" for base in node.bases):
        return ""
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    return f"({', '.join(ast.unparse(item) for item in fields)})"


def _field_comments(node: ast.ClassDef, lines: Sequence[str]) -> list[str]:
    """A list of the fields that have a comment on their line, with the comments."""
    described = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and item.end_lineno is not None:
            rest = lines[item.end_lineno - 1].encode()[item.end_col_offset :].decode().strip()
            if rest.startswith("#"):
                described.append(f"- `{ast.unparse(item.target)}`: {_escaped(rest.lstrip('# '))}")
    return ["\n".join(described)] if described else []


def _directive(kind: str, signature: str, text: str) -> str:
    fence = "`" * (3 + max((len(ticks) for ticks in re.findall(r"^`+", text, flags=re.MULTILINE)), default=0))
    return f"{fence}{{py:{kind}}} {' '.join(signature.split())}\n{text}\n{fence}"


def _markdown(docstring: str | None) -> str:
    """A docstring, which is Markdown but for its `Raises:`; what looks like HTML in it is none."""
    text = docstring or ""
    body, _, raises = text.partition("\nRaises:\n")
    if raises:
        body += "\n\n**Raises** " + _joined(textwrap.dedent(raises))
    return "\n".join(line if line.startswith("    ") else _escaped(line) for line in body.splitlines())


def _joined(raises: str) -> str:
    """`Name: text` of each exception, which may go on on indented lines."""
    each = re.split(r"\n(?=\S)", raises.strip())
    return "; ".join(re.sub(r"^(\w+):", r"`\1`:", " ".join(one.split())) for one in each)


def _escaped(text: str) -> str:
    """`<` outside of code as a character."""
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;") for part in re.split(r"(`+[^`]*`+)", text)
    )


# --- parts ------------------------------------------------------------------------------------------------------


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines)


def _anchor(name: str) -> str:
    """GitHub's anchor of a heading, as MyST makes it."""
    return re.sub(r"[^\w-]", "", name.lower())


def _schema() -> Schema:
    return yaml.safe_load((ROOT / "config" / "schema.yaml").read_text(encoding="utf-8"))


PAGES: Mapping[str, Callable[[], str]] = {
    "config": lambda: config_page(_schema()),
    "columns": columns_page,
    "commands": commands_page,
    **{name: lambda name=name: package_page(ROOT / "lib" / name) for name in ("feature_vis", "featurediff")},
}
