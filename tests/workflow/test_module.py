"""Another workflow uses this one by Snakemake's `module` statement, with rules and a config of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from feature_vis.networks.models import build
from workflow.conftest import environment

SNAKEFILE = """
from featurediff.cli.workflow import find_workflow

configfile: "outer.yaml"

module featurediff:
    snakefile: str(find_workflow() / "Snakefile")
    config: config["channels"]

use rule * from featurediff as fd_*

rule count_pictures:
    default_target: True
    input: "out/base/pictures/layer4.1.csv"
    output: "count.txt"
    shell: "wc -l < {input} > {output}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two networks that are loaded and two channels, in a section of the outer workflow's config."""
    torch.manual_seed(0)
    torch.save(build("resnet18", classes=2).state_dict(), tmp_path / "weights.pth")
    channels = {
        "threads": 1,
        "seeds": 1,
        "results": "out",
        "networks": {
            "base": {"model": "resnet18", "weights": "weights.pth"},
            "other": {"weights": "weights.pth"},
        },
        "visualize": {"recipe": {"size": 32, "steps": 2}, "layers": {"layer4.1": {"channels": "0-1"}}},
    }
    (tmp_path / "outer.yaml").write_text(yaml.safe_dump({"samples": ["a"], "channels": channels}))
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def snakemake(folder: Path, *options: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_all_rules_are_planned_under_the_name_that_the_outer_workflow_gives(folder: Path) -> None:
    planned = snakemake(folder, "-n", "fd_all")
    assert all(f"rule fd_{name}:" in planned for name in ("load_network", "visualize_0", "compare_pictures", "report"))


def test_mistakes_are_said_without_lines_of_the_outer_config(folder: Path) -> None:
    config = yaml.safe_load((folder / "outer.yaml").read_text())
    config["channels"]["networks"]["other"]["weights"] = "gone.pth"
    (folder / "outer.yaml").write_text(yaml.safe_dump(config))
    assert "- networks.other.weights: there is no file gone.pth" in snakemake(folder, "-n", code=1)


@pytest.mark.long
def test_pictures_are_rendered_and_the_outer_rule_reads_their_table(folder: Path) -> None:
    output = snakemake(folder)
    assert "rendered 2, reused 0" in output
    assert (folder / "count.txt").read_text().strip() == "3"
    assert sorted(path.name for path in folder.glob("out/base/pictures/layer4.1/*.png")) == [
        "channel0.png",
        "channel1.png",
    ]
