"""`featurediff diff`: the config that it writes, and how it calls snakemake; tests/workflow runs it for real."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_config import SCHEMA
from workflow.conftest import draw_pictures

from feature_vis.networks.models import build
from featurediff.cli.diff import Pair, write_diff_config
from featurediff.config import find_mistakes
from featurediff.networks import load_weights


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run; each ends with 0, or with 7 where one of its options is `--fail`."""
    commands: list[list[str]] = []

    def run(_workflow: Path, folder: Path, options: Sequence[str]) -> int:
        commands.append([str(folder), *options])
        return 7 if "--fail" in options else 0

    monkeypatch.setattr("featurediff.cli.workflow.run_snakemake", run)
    return commands


@pytest.fixture
def pair(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two checkpoints in the working folder; in the second, filter 5 of block 2 is another one."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = build(f"{own}:cnn")
    torch.save(model.state_dict(), "a.pth")
    model[2].conv.weight.data[5] *= -1
    torch.save(model.state_dict(), "b.v2.pth")
    return ["diff", "a.pth", "b.v2.pth", "--model", f"{own}:cnn", "--size", "32"]


def written(folder: Path) -> dict[str, Any]:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert find_mistakes(config, SCHEMA) == []
    return config


def test_layers_and_channels_are_chosen_by_weights_where_there_are_no_photographs(
    run, pair: list[str], called: list[list[str]], tmp_path: Path, own: str
) -> None:
    result = run(*pair, "--channels", "2", "--cores", "3", "-n", "--config", "threads=2")
    assert "2: the weights of its channels moved by" in result.stderr
    config = written(tmp_path / "diff-a-b.v2")
    assert config["networks"] == {
        "base": {"model": f"{own}:cnn", "weights": str(tmp_path / "a.pth")},
        "b-v2": {"weights": str(tmp_path / "b.v2.pth")},
    }
    assert list(config["visualize"]["layers"]) == ["2"]
    channels = config["visualize"]["layers"]["2"]["channels"]
    assert (5 in channels, len(channels)) == (True, 2)
    assert called == [["diff-a-b.v2", "--cores", "3", "-n", "--config", "threads=2"]]


@pytest.mark.usefixtures("called")
def test_named_layers_and_photographs(run, pair: list[str], tmp_path: Path) -> None:
    draw_pictures(tmp_path / "photos", 0)
    run(*pair, "--layer", "1=0-3", "--layer", "2", "--channels", "4", "--probe", "photos", "--out", "mine")
    config = written(tmp_path / "mine")
    assert config["visualize"]["layers"]["1"] == {"channels": "0-3"}
    assert 5 in config["visualize"]["layers"]["2"]["channels"]
    assert config["data"]["photographs"]["root"] == str(tmp_path / "photos")
    assert config["compare"]["probe"] == {"data": "photographs", "size": 32, "resize": 37}


def test_the_users_mistakes_and_snakemakes_exit_status(run, pair: list[str], called: list, tmp_path: Path) -> None:
    assert "there is no workflow in" in run(*pair, "--workflow", tmp_path, status=1).stderr
    errors = run("diff", "gone.pth", "away.pth", *pair[3:], status=1).stderr
    assert all(f"the weights file {name}.pth does not exist" in errors for name in ("gone", "away"))
    assert "there is no layer '3.1'" in run(*pair, "--layer", "3.1", status=1).stderr
    run("diff", "a.pth", *pair[3:], status=2)
    assert called == []
    assert run(*pair, "--layer", "2=0", "--fail", status=7).stdout == ""


def test_a_librarys_weights_have_no_path(small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_weights("resnet18", str(small_weights))
    monkeypatch.setattr("featurediff.cli.diff.load_weights", lambda _model, _weights: loaded)
    named = Pair("resnet18", "IMAGENET1K_V1", "IMAGENET1K_V1", None, ("layer4.1=0",), None, 5, 1, 4)
    write_diff_config(named, tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    weights = {"model": "resnet18", "weights": "IMAGENET1K_V1"}
    assert config["networks"] == {"base": weights, "tuned": weights}
    assert find_mistakes(config, SCHEMA) == []
    assert config["visualize"] == {"recipe": {"size": 224, "steps": 5}, "layers": {"layer4.1": {"channels": "0"}}}
