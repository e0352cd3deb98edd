"""What the project says of itself: its rules, its version and licence, what the catalog is told."""

import re
import tomllib

import yaml
from places import REPOSITORY
from snakemake.cli import get_argument_parser


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
    deployment, rules = usage["software-stack-deployment"], [*REPOSITORY.glob("rules/*.smk")]
    assert deployment["conda"] is (REPOSITORY / "envs").is_dir()
    assert deployment["report"] is any("report(" in path.read_text() for path in rules)
    get_argument_parser().parse_args(["--cores", "1", *usage["mandatory-flags"]["flags"].split()])
