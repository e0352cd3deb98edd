"""Every command, link, config, module and file that a document names is there."""

import ast
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator

import click
import pytest
import yaml
from places import REPOSITORY
from snakemake.cli import get_argument_parser

from featurediff.cli.main import main
from featurediff.config import find_mistakes

DOCUMENTS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "config" / "README.md"]
)
FENCED = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", flags=re.MULTILINE | re.DOTALL)
RULES = re.findall(r"^rule (\w+):", "".join(path.read_text() for path in REPOSITORY.glob("rules/*.smk")), flags=re.M)
OURS = ("lib", "scripts", "rules", "tests", "docs", "config", "benchmarks", "profiles", "envs", "notebooks")
pytestmark = pytest.mark.parametrize("document", DOCUMENTS)


def blocks(document: str, *languages: str) -> list[str]:
    """The fenced blocks in one of these languages; the empty one is a fence without a language."""
    found = FENCED.findall((REPOSITORY / document).read_text())
    return [re.sub(rf"^{indent}", "", body, flags=re.M) for indent, _, name, body in found if name.strip() in languages]


def prose(document: str) -> str:
    return FENCED.sub("", (REPOSITORY / document).read_text())


def commands(document: str) -> Iterator[list[str]]:
    """The words of each command in a block, or in the text; `…` stands for what is left out."""
    lines = [line for block in blocks(document, "", "bash") for line in block.splitlines()]
    lines += re.findall(r"`((?:snakemake|featurediff|make|pip install|python|pytest) [^`\n…<]+)`", prose(document))
    for line in lines:
        words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        if words:
            yield words


def check_snakemake(arguments: list[str]) -> None:
    """Snakemake knows the options; targets are rules or results; files of the project are there."""
    options = get_argument_parser().parse_args(["--cores", "1", *arguments])
    assert all(
        target in [*RULES, "all", "pictures", "difference"] or target.startswith("results/")
        for target in options.targets
    )
    assert all((REPOSITORY / file).exists() for file in options.configfile or [] if str(file).startswith("config/"))
    if options.workflow_profile is not None:
        assert (REPOSITORY / "profiles" / options.workflow_profile).is_dir()


def check_featurediff(arguments: list[str]) -> None:
    """The command has these options; what it hands on to Snakemake is Snakemake's."""
    if arguments[0].startswith("-"):
        return
    command = main.commands[arguments[0]]
    context = click.Context(command, info_name=arguments[0], **command.context_settings)
    parsed, *_ = command.make_parser(context).parse_args(arguments[1:])
    handed_on = parsed.get("options")
    check_snakemake(list(handed_on) if isinstance(handed_on, tuple) else [])


def test_every_command_can_be_given(document: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    for program, *arguments in commands(document):
        if program == "make":
            targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.M)
            assert set(arguments) <= set(targets)
        elif program == "snakemake":
            check_snakemake(arguments)
        elif program == "featurediff":
            check_featurediff(arguments)
        elif program == "pip":
            extras = re.findall(r"(?:\.|featurediff)\[(.+?)\]", " ".join(arguments))
            assert set(extras) <= set(project["project"]["optional-dependencies"])
        elif program == "pytest" and "-m" in arguments:
            markers = {one.partition(":")[0] for one in project["tool"]["pytest"]["ini_options"]["markers"]}
            assert set(re.findall(r"\w+", arguments[arguments.index("-m") + 1])) <= markers | {"not", "or", "and"}


def test_every_file_and_module_is_there(document: str) -> None:
    """Those of the project; `<name>` and `*` stand for any."""
    if document == "CHANGELOG.md":
        return  # it names what there was
    words = {word for command in commands(document) for word in command}
    words |= set(re.findall(r"`([^`\n]+)`", prose(document)))
    for word in words:
        if re.fullmatch(rf"({'|'.join(OURS)})/[\w./*<>-]*", word) and not word.startswith("config/config"):
            assert list(REPOSITORY.glob(re.sub(r"<\w+>", "*", word))), word
        elif re.fullmatch(r"(feature_vis|featurediff)(\.\w+)+", word):
            name, _, last = word.rpartition(".")
            assert hasattr(importlib.import_module(name), last) or importlib.import_module(word), word


def anchors(text: str) -> set[str]:
    """Those that GitHub gives to the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", text), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_leads_somewhere(document: str) -> None:
    """Those to other sites are not followed."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        aim = ((REPOSITORY / document).parent / path).resolve() if path else REPOSITORY / document
        assert aim.is_relative_to(REPOSITORY), target
        assert aim.exists(), target
        assert not anchor or aim.suffix != ".md" or anchor in anchors(aim.read_text()), target


def test_every_config_and_every_import_can_be_followed(document: str) -> None:
    """Whole configs against the schema; parts are YAML at least."""
    for block in blocks(document, "yaml"):
        config = yaml.safe_load(block)
        if isinstance(config, dict) and {"networks", "visualize"} <= set(config):
            assert find_mistakes(config, REPOSITORY / "config" / "schema.yaml") == []
    for block in blocks(document, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("feature"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), node.module
