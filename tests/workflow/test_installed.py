"""The wheel alone, in a virtual environment and an empty folder: what a user does after `pip install featurediff`."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from places import REPOSITORY

from feature_vis.networks.models import build

pytestmark = pytest.mark.long

SMALL = ("--size", "32", "--steps", "2", "--seeds", "2")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`featurediff` of an environment that has the wheel, and the packages of the tests' environment behind it."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY)]
    subprocess.run(wheel, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", "--ignore-installed"]
    subprocess.run([*install, str(next(folder.glob("*.whl")))], check=True)
    return python.with_name("featurediff")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few photographs of two classes, and two checkpoints that differ in one channel."""
    folder = tmp_path_factory.mktemp("empty")
    random = np.random.default_rng(0)
    for name in ("blue", "red"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 255, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    torch.manual_seed(0)
    model = build("resnet18", classes=2)
    torch.save(model.state_dict(), folder / "a.pth")
    with torch.no_grad():
        model.layer4[1].conv2.weight[1] *= -1
    torch.save(model.state_dict(), folder / "b.pth")
    return folder


@pytest.fixture(scope="module")
def run(program: Path, folder: Path):
    """One command in the folder, without anything of the checkout; returns its standard output."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_a_config_for_photographs_is_written_checked_and_planned(run) -> None:
    assert "Examples:" in run("--help")
    options = ("--root", "photos", "--name", "birds", "--model", "resnet18", "--weights", "a.pth", "--epochs", "1")
    run("init", "birds", *options, "--layer", "layer4.1=0-1", *SMALL)
    assert "no problem was found" in run("check", "--directory", "birds", "--quick")
    planned = run("run", "--directory", "birds", "-n")
    assert "finetune_birds" in planned
    assert "site-packages/featurediff/workflow/profiles/default" in planned
    assert "featurediff init demo --example demo" in run("run", code=1)
    run("init", "demo", "--example", "demo")
    assert "draw_demo_data" in run("run", "--directory", "demo", "-n")


def test_two_checkpoints_are_compared_and_looked_at(run, folder: Path) -> None:
    output = run("diff", "a.pth", "b.pth", "--model", "resnet18", "--layer", "layer4.1=0-1", *SMALL, "--cores", "2")
    assert "diff-a-b/results/report/index.html\n" in output
    results = folder / "diff-a-b" / "results"
    assert (results / "report" / "index.html").is_file()
    assert '"command":"featurediff run --cores 8"' in (results / "report" / "data" / "run.js").read_text()
    assert "layer4.1" in run("top", "--results", str(results))
    assert "b against base" in run("show", "layer4.1:1", "--results", str(results))
    assert "Nothing to be done" in run("run", "--directory", "diff-a-b")
    run("run", "--directory", "diff-a-b", "--report", "report.html")
    assert "compare/b/ranking.csv" in (folder / "diff-a-b" / "report.html").read_text(encoding="utf-8")


def test_a_channel_is_rendered_without_a_workflow(run, folder: Path) -> None:
    run("render", "--model", "resnet18", "--weights", "a.pth", "--layer", "layer4.1", "--channel", "0", *SMALL[:4])
    assert (folder / "pictures" / "layer4.1" / "channel0.png").is_file()
