"""The order of the code: imports go one way, folders and modules stay small, scripts do not compute."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from places import REPOSITORY

LIB = REPOSITORY / "lib"
# From the ground up: a module may import from its own floor and from those on earlier lines.
FLOORS = """
feature_vis.errors feature_vis.files feature_vis.seeding feature_vis.lazy
feature_vis.images feature_vis.recipe
feature_vis.transforms feature_vis.regularizers feature_vis.parameterizations feature_vis.networks
feature_vis.objectives
feature_vis.differences feature_vis.evaluation
feature_vis.optimisation
feature_vis.render
feature_vis
featurediff.networks
featurediff.runtime
featurediff.statistics
featurediff.data
featurediff.rendering
featurediff.measures
featurediff.difference
featurediff.training
featurediff.comparison
featurediff.report
featurediff.config
featurediff.cli
featurediff featurediff.__main__
"""
LEVELS = {floor: level for level, line in enumerate(FLOORS.strip().splitlines()) for floor in line.split()}
MODULES = {
    ".".join(file.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__"): file for file in LIB.rglob("*.py")
}
# Snakemake imports these while it builds its graph, and the command line before it knows the command.
LIGHT = ["feature_vis", "feature_vis.recipe", "feature_vis.images.png", "featurediff.training.settings"]
LIGHT += ["featurediff.rendering.paths", "featurediff.runtime.job", "featurediff.cli.main"]
LIGHT += sorted(name for name in MODULES if name.startswith("featurediff.config"))
WITHOUT_TORCH = ["featurediff.report.page", "featurediff.report.figures", "featurediff.cli.top", "featurediff.cli.show"]


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, also within functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{file} has a relative import"
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from {name if name in MODULES else node.module for name in inner}


IMPORTS = {name: set(imported(file)) for name, file in MODULES.items()}


def floor(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_each_module_is_on_a_floor() -> None:
    assert {floor(name) for name in MODULES} == set(LEVELS)


def test_imports_go_one_way() -> None:
    pairs = [(name, other) for name, others in IMPORTS.items() for other in others & set(MODULES)]
    upwards = [(name, other) for name, other in pairs if LEVELS[floor(other)] >= LEVELS[floor(name)]]
    assert [(name, other) for name, other in upwards if floor(name) != floor(other)] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: IMPORTS[name] & set(MODULES) - {name} for name in MODULES}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_library_knows_nothing_of_snakemake() -> None:
    assert "snakemake" not in {other.split(".")[0] for others in IMPORTS.values() for other in others}


@pytest.mark.parametrize(("modules", "heavy"), [(LIGHT, {"torch", "pandas", "scipy"}), (WITHOUT_TORCH, {"torch"})])
def test_what_is_imported_often_is_light(modules: list[str], heavy: set[str]) -> None:
    code = f"import sys, {', '.join(modules)}; print(*{heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=LIB, capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def test_one_public_name_stands_for_one_thing() -> None:
    """Except tables of constants, such as each module's `COLUMNS`, and the `main` of what can be run."""
    modules: dict[str, list[str]] = {}
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text()).body if file.name != "__init__.py" else []:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                for name in ast.literal_eval(node.value):
                    modules.setdefault(name, []).append(module)
    shared = {name: places for name, places in modules.items() if len(places) > 1 and not name.isupper()}
    assert set(shared) <= {"main"}, shared


def test_no_folder_of_the_library_holds_more_than_about_a_dozen_modules() -> None:
    for folder in {file.parent for file in MODULES.values()}:
        assert len([file for file in folder.glob("*.py") if file.name != "__init__.py"]) <= 13, folder


@pytest.mark.parametrize("folder", ["lib", "scripts", "benchmarks", "tests"])
def test_nothing_is_too_long(folder: str) -> None:
    for file in (REPOSITORY / folder).rglob("*.py"):
        text = file.read_text()
        assert len(text.splitlines()) <= 400, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{file}: {node.name}"


def test_scripts_define_nothing_and_each_is_run_by_a_rule() -> None:
    callers = [*(REPOSITORY / "rules").glob("*.smk"), REPOSITORY / "Makefile"]
    calls = "".join(file.read_text() for file in callers)
    for file in (REPOSITORY / "scripts").glob("*.py"):
        body = ast.parse(file.read_text()).body
        assert not [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)], file
        assert f"scripts/{file.name}" in calls, file
