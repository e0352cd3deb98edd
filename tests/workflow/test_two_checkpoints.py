"""`featurediff diff` on two checkpoints of a user's own network: from two files and photographs to the page."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from places import REPOSITORY

from feature_vis.networks.models import build
from workflow.conftest import Experiment

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, of which Lightning wrote one, the file of their network, and photographs, one of them broken."""
    folder = tmp_path_factory.mktemp("pair")
    shutil.copy(REPOSITORY / "tests" / "networks" / "own.py", folder / "nets.py")
    torch.manual_seed(0)
    model = build(f"{folder}/nets:cnn")
    torch.save(model.state_dict(), folder / "before.pth")
    with torch.no_grad():
        model[2].conv.weight[3] = -model[2].conv.weight[3]
        model[2].conv.weight += 0.01 * torch.randn_like(model[2].conv.weight)
    torch.save(
        {"state_dict": {f"model.{key}": value for key, value in model.state_dict().items()}}, folder / "after.ckpt"
    )
    random = np.random.default_rng(0)
    for number in range(12):
        place = folder / "photos" / ("" if number % 2 else "2024")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(place / f"{number}.png")
    (folder / "photos" / "broken.png").write_bytes(b"no picture")
    return folder


def diff(folder: Path, *options: str, tuned: str = "after.ckpt") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "featurediff", "diff", "before.pth", tuned, "--model", "nets:cnn"]
    command += ["--probe", "photos", "--size", "32", "--steps", "2", "--seeds", "1", "--channels", "4"]
    path = os.pathsep.join([str(REPOSITORY / "lib"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*command, "--workflow", str(REPOSITORY), *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def again(folder: Path, *arguments: str) -> str:
    """Run snakemake in the folder that `diff` made; returns what it says."""
    run = Experiment(folder / "diff-before-after", {})
    run.config = yaml.safe_load((run.folder / "config.yaml").read_text())
    return run.run(*arguments).output


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    done = diff(folder, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_it_ends_at_what_they_disagree_about_and_the_page(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    page = folder / done.stdout.splitlines()[-1]
    assert page == folder / "diff-before-after" / "results" / "report" / "index.html"
    assert page.is_file()
    summary = json.loads((page.parents[1] / "after" / "difference" / "summary.json").read_text())
    assert summary["comparable"]
    assert done.stdout.splitlines()[-2] == summary["sentence"]
    assert json.dumps(summary["sentence"], ensure_ascii=False) in (page.parent / "data" / "run.js").read_text()


def test_the_layer_that_moved_is_chosen_and_the_channel_that_moved_is_in_it(folder: Path, done: object) -> None:
    results = folder / "diff-before-after" / "results"
    ranking = pd.read_csv(results / "compare" / "after" / "ranking.csv")
    assert set(ranking["layer"]) == {2}
    assert len(ranking) == 4
    flipped = ranking.set_index("channel").loc[3]
    assert flipped["weight_change"] == ranking["weight_change"].max() > 1.5
    assert flipped["correlation"] < ranking["correlation"].drop(flipped.name, errors="ignore").max()
    images = pd.read_csv(results / "compare" / "after" / "probe" / "images.csv")
    assert len(images) == 12
    assert (results / "data" / "photographs" / "skipped.csv").read_text().count("broken.png") == 1


def test_what_is_made_again(folder: Path, done: object) -> None:
    """One test: what it changes in the folder must not meet another's, whichever the test process runs first."""
    same = diff(folder, "--cores", "2")
    assert same.returncode == 0
    assert "Nothing to be done" in same.stdout + same.stderr
    other = diff(folder, "--channels", "5", "--cores", "2")
    assert other.returncode == 1
    assert "is another config: name another folder by --out" in other.stderr

    source = folder / "nets.py"
    source.write_text(source.read_text().replace("torch.relu(x + ", "torch.relu(0.5 * x + "))
    rendered = re.findall(r"rendered (\d+), reused", again(folder, "pictures"))
    assert [int(count) for count in rendered] == [4, 4], "a changed network is rendered again"

    shutil.copy(folder / "before.pth", folder / "after.ckpt")
    output = again(folder, "-n", "results/after/network.pth")
    assert re.search(r"load_network\s+1\b", output), output


def test_two_equal_checkpoints_have_nothing_to_show(folder: Path) -> None:
    shutil.copy(folder / "before.pth", folder / "same.pth")
    done = diff(folder, tuned="same.pth")
    assert done.returncode == 0, done.stderr
    assert "do not differ: there is nothing to show" in done.stdout
    assert not (folder / "diff-before-same").exists()
