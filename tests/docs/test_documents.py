"""What documents say can be done: every command, link, config and import in them has what it names."""

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
from featurediff.config.check import find_mistakes

DOCUMENTS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "config" / "README.md"]
)
# Programs of the system's own or of others, of which no option is ours to check.
OTHERS = {"apt-get", "apptainer", "cd", "docker", "eval", "export", "git", "kaggle", "mkdir", "tmux", "unzip", "zip"}
# What the reader makes or has: no file of the repository.
READERS = {"birds.yaml", "birds", "/data/birds", "mine.yaml", "photos", "photos/"}


def blocks(document: str, *languages: str) -> list[str]:
    """The fenced blocks in one of these languages; the empty one is a fence without a language."""
    text = (REPOSITORY / document).read_text()
    found = re.findall(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.M) for indent, _, name, body in found if name.strip() in languages]


def commands(document: str) -> Iterator[str]:
    """Commands in blocks, and such in the text as begin with one of our programs; `…` stands for what is left out."""
    for block in blocks(document, "", "bash", "console"):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())
    prose = re.sub(r"^( *)(`{3,}).*?^\1\2 *$", "", (REPOSITORY / document).read_text(), flags=re.M | re.S)
    for code in re.findall(r"`((?:snakemake|featurediff|make|pip install|python|pytest) [^`\n]+)`", prose):
        if "…" not in code:
            yield code


def wrong_with(command: str) -> Iterator[str]:
    """What in a line of commands names something that is not there."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, "|"]:
        if set(word) <= set("|&;"):
            yield from _wrong_with_one(words)
            words = []
        else:
            words.append(word)


def _wrong_with_one(words: list[str]) -> Iterator[str]:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words or words[0] in OTHERS:
        return
    program, *arguments = words
    arguments = arguments[: next((n for n, word in enumerate(arguments) if set(word) <= set("<>")), len(arguments))]
    checks = {
        "make": _make,
        "snakemake": _snakemake,
        "featurediff": _featurediff,
        "pip": _pip,
        "python": _python,
        "pytest": _pytest,
    }
    if program not in checks:
        yield f"{program} is no program that we know"
        return
    yield from checks[program](arguments)


def _make(arguments: list[str]) -> Iterator[str]:
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.M)
    yield from (f"make has no target {name}" for name in arguments if name not in targets)


def _snakemake(arguments: list[str]) -> Iterator[str]:
    parser = get_argument_parser()
    rules = [path.read_text() for path in [REPOSITORY / "Snakefile", *REPOSITORY.glob("rules/*.smk")]]
    known_rules = "|".join(re.findall(r"^rule (\w+):", "\n".join(rules), flags=re.M))
    option = ""
    for word in arguments:
        if word == "--":
            option = ""
        elif word.startswith("-"):
            option = word
            if option not in parser._option_string_actions:
                yield f"snakemake has no option {option}"
        elif option in ("--configfile", "--snakefile", "--workflow-profile"):
            folder = REPOSITORY / "profiles" if option == "--workflow-profile" else REPOSITORY
            if word not in READERS and word[0] != "/" and not (folder / word).exists():
                yield f"{option} {word}: no such file"
        elif option in ("", "-n", "-c", "--cores") and not re.fullmatch(rf"\d+|results/.*|{known_rules}", word):
            yield f"{word} is neither a rule nor one of the results"


def _featurediff(arguments: list[str]) -> Iterator[str]:
    if not arguments or arguments[0].startswith("-"):
        return
    command = main.commands.get(arguments[0])
    if command is None:
        yield f"featurediff has no command {arguments[0]}"
        return
    context = click.Context(command, info_name=arguments[0], **command.context_settings)
    try:
        parsed, *_ = command.make_parser(context).parse_args(arguments[1:])
    except click.UsageError as error:
        yield error.format_message()
        return
    passed_on = parsed.get("options")  # by `featurediff diff`
    yield from _snakemake(list(passed_on) if isinstance(passed_on, tuple) else [])
    for name in (word for word in arguments[1:] if word.startswith(("config/", "benchmarks/"))):
        if not (REPOSITORY / name).exists():
            yield f"there is no {name}"


def _pip(arguments: list[str]) -> Iterator[str]:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in arguments:
        if named := re.fullmatch(r"(?:\.|featurediff)\[(.+)\]", word):
            yield from (f"there is no extra {extra}" for extra in named.group(1).split(",") if extra not in extras)


def _python(arguments: list[str]) -> Iterator[str]:
    script = next((word for word in arguments if word.endswith(".py")), None)
    if script is None or not (REPOSITORY / script).exists():
        yield f"there is no {script}"
        return
    text = (REPOSITORY / script).read_text()
    yield from (f"{script} has no {word}" for word in arguments if word.startswith("--") and f'"{word}"' not in text)


def _pytest(arguments: list[str]) -> Iterator[str]:
    for before, word in zip(["", *arguments], arguments, strict=False):
        if word.startswith("tests") and not (REPOSITORY / word).exists():
            yield f"there is no {word}"
        if before == "-m":
            known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"][
                "markers"
            ]
            markers = {each.partition(":")[0] for each in known}
            yield from (f"no marker {m}" for m in set(re.findall(r"\w+", word)) - {"not", "or", "and"} - markers)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_has_what_it_names(document: str) -> None:
    problems = [f"{command.strip()}: {problem}" for command in commands(document) for problem in wrong_with(command)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("make dmeo", "no target dmeo"),
        ("snakemake --cores 8 --confgfile config/paper.yaml", "no option --confgfile"),
        ("snakemake --cores 8 --configfile config/papre.yaml", "no such file"),
        ("snakemake --cores 8 pitcures", "neither a rule"),
        ("snakemake --workflow-profile slrum", "no such file"),
        ("featurediff shwo layer4.2:1", "no command shwo"),
        ("featurediff top --netwrk dogs", "No such option"),
        ("cd birds && featurediff check --config config/papre.yaml", "there is no config/papre.yaml"),
        ("pip install '.[slrum]'", "no extra slrum"),
        ("python benchmarks/planted.py --nosie 3", "has no --nosie"),
        ("pytest tests/clutser", "there is no tests/clutser"),
        ("pytest -m 'not lnog'", "no marker lnog"),
        ("OMP_NUM_THREADS=1 snakmake -n", "no program that we know"),
    ],
)
def test_mistakes_in_commands_are_seen(command: str, words: str) -> None:
    assert words in "\n".join(wrong_with(command))


def anchors(text: str) -> set[str]:
    """Those that GitHub gives to the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    """Those to other sites are not followed."""
    file = REPOSITORY / document
    problems = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^( *)```.*?^\1```", "", file.read_text(), flags=re.M | re.S)):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        aim = (file.parent / path).resolve() if path else file
        there = aim.is_relative_to(REPOSITORY) and aim.exists()
        if not there or (anchor and aim.suffix == ".md" and anchor not in anchors(aim.read_text())):
            problems.append(target)
    assert not problems


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_config_can_be_followed(document: str) -> None:
    """Whole ones against the schema; parts are YAML at least."""
    for block in blocks(document, "yaml"):
        config = yaml.safe_load(block)
        if isinstance(config, dict) and {"networks", "visualize"} <= set(config):
            assert find_mistakes(config, REPOSITORY / "config" / "schema.yaml") == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_import_is_there(document: str) -> None:
    for block in blocks(document, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("feature"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), node.module


def test_the_table_of_rules_is_that_of_the_workflow() -> None:
    page = (REPOSITORY / "docs" / "reference" / "workflow.md").read_text().split("\n## Rules")[1].split("\n## ")[0]
    listed = {
        file: set(re.findall(r"`([^`]+)`", names))
        for names, file in re.findall(r"^\| (.+?) \| `(rules/.+?)` \|", page, flags=re.M)
    }
    found = {}
    for path in sorted(REPOSITORY.glob("rules/*.smk")):
        named = re.findall(r'^rule (\w+):|name:\s+f"([^"]+)"', path.read_text(), flags=re.M)
        names = {re.sub(r"\{(\w+)\}", r"<\1>", rule or name) for rule, name in named}
        found |= {f"rules/{path.name}": names} if names else {}
    assert listed == found


def test_the_citation_names_the_version_and_the_licence() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    assert "MIT License" in (REPOSITORY / "LICENSE").read_text()
    assert f"## {project['version']}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_catalog_says_what_is_true() -> None:
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is (REPOSITORY / "envs").is_dir()
    assert usage["report"] is any("report(" in path.read_text() for path in REPOSITORY.glob("rules/*.smk"))
    assert not list(wrong_with(f"snakemake {usage['mandatory-flags']['flags']}"))
