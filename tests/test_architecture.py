"""The house keeps its order: imports go downwards, nothing grows too long, scripts do not compute."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from places import REPOSITORY

LIB = REPOSITORY / "lib"
BELOW = {"feature_vis": set(), "transfer": {"feature_vis"}, "featurediff": {"feature_vis", "transfer"}}
MODULES = {".".join(file.relative_to(LIB).with_suffix("").parts): file for file in LIB.rglob("*.py")}
FOLDERS = [REPOSITORY / name for name in ("lib", "scripts", "benchmarks", "tests")]
SOURCES = [file for folder in FOLDERS for file in folder.rglob("*.py")]


def imported(file: Path, *, top_level: bool) -> set[str]:
    """Names of modules of `lib` that a file imports."""
    tree = ast.parse(file.read_text())
    found = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & set(MODULES)


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_downwards(package: str) -> None:
    for file in (LIB / package).rglob("*.py"):
        above = {
            name for name in imported(file, top_level=False) if name.partition(".")[0] not in {package, *BELOW[package]}
        }
        assert not above, file


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: imported(file, top_level=True) - {name} for name, file in MODULES.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_library_knows_nothing_of_snakemake() -> None:
    for file in LIB.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.partition(".")[0] == "snakemake" for name in names), file


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_nothing_is_too_long(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 400
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    assert [one.name for one in functions if (one.end_lineno or 0) - one.lineno >= 60] == []


def test_scripts_define_nothing() -> None:
    for file in (REPOSITORY / "scripts").glob("*.py"):
        assert not [
            node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]


def test_every_script_is_run_by_a_rule() -> None:
    rules = "".join(file.read_text() for file in (REPOSITORY / "rules").glob("*.smk"))
    makefile = (REPOSITORY / "Makefile").read_text()
    for file in (REPOSITORY / "scripts").glob("*.py"):
        assert f"scripts/{file.name}" in rules + makefile
