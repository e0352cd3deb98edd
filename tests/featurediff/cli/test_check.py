"""`featurediff check`: every problem at once, each with its line; an estimate from what was measured."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_config import assert_listed, changed, plan_of
from workflow.conftest import draw_pictures

from feature_vis.networks.models import build
from feature_vis.recipe import Recipe
from featurediff.cli import estimate
from featurediff.cli.estimate import duration, image_steps, rendering_rate, size_on_disk

CONFIG = """\
data:
  birds: {format: image_folder, root: birds}
networks:
  base: {model: resnet18, weights: small.pth}
  birds: {weights: base, data: birds, training: {epochs: 3, train_from: layer4.1, size: 32, batch_size: 2}}
visualize:
  recipe: {size: 32, steps: 10}
  layers: {layer3.1: {channels: 0-2}, layer4.1: {channels: [0, 5]}}
"""
COUNTS = {"layer3.1": 256, "layer4.1": 512}


@pytest.fixture
def folder(tmp_path: Path, small_weights: Path) -> Path:
    """Where snakemake would run: two classes of six pictures, and weights."""
    draw_pictures(tmp_path / "birds", 0)
    shutil.copy(small_weights, tmp_path / "small.pth")
    return tmp_path


def config(change: str | dict[str, Any] = "{}") -> dict[str, Any]:
    return changed(change, yaml.safe_load(CONFIG))


@pytest.fixture
def check(run, folder: Path):
    """Of the config with a change."""

    def checked(change: str | dict[str, Any], *options: str, status: int = 0):
        (folder / "config.yaml").write_text(yaml.safe_dump(config(change), sort_keys=False))
        return run("check", "--directory", folder, *options, status=status)

    return checked


def test_a_sound_config_with_its_estimate(check, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_SECONDS", 0.2)
    threads = torch.get_num_threads()
    try:
        output = check("{}", "--cores", "1").stdout
    finally:
        torch.set_num_threads(threads)
    for line in (
        "no problem was found",
        "2 classes, pictures: 10 train, 2 val",
        "40 pictures of 2 networks, 4 a channel",
        "training birds:",
        "36 pictures, validation counted as training",
        "resnet18 layer4.1:",
        "(160 image-steps at",
        "not counted: embedding, comparison",
    ):
        assert line in output
    assert sorted(path.name for path in folder.iterdir()) == ["birds", "config.yaml", "small.pth"]


def test_all_problems_at_once_with_their_lines(check, folder: Path) -> None:
    (folder / "birds" / "red" / "1.png").write_bytes(b"\x89PNG")
    change = """
data:
  cats: {format: image_folder, root: nowhere}
  dogs: {format: kaggle_dogs, root: ./birds}
networks:
  birds: {sweep: {train_from: [layer4.0, layer9]}}
  broken: {model: resnet18, weights: birds/red/0.png}
  other: {model: resnet34, weights: ./small.pth}
experiments: [{name: quick, networks: {mine: {weights: gone.pth}, spoilt: {weights: birds/red/2.png}}}]
visualize: {layers: {layer4.1: {channels: 510-512}, layer2.1: {channels: 0, recipe: {colors: images}}}}
sed: 1
results: /dev/null/x
"""
    expected = {
        "root: birds": "data.birds: birds (image_folder): 1 problems",
        "root: nowhere": "there is no folder nowhere",
        "root: ./birds": "there is no birds/labels.csv",
        "train_from: layer4.1": "networks.birds-train_from-layer9.training.train_from: the network uses no module",
        "weights: birds/red/0.png": "networks.broken.weights: birds/red/0.png cannot be read as weights",
        "weights: ./small.pth": "do not fit resnet34",
        "channels: 510-512": "there is no channel 512: the layer has 512, 0 to 511",
        "layer2.1:": "statistics must be a file",
        "weights: gone.pth": "networks.quick-mine.weights: there is no file gone.pth",
        "weights: birds/red/2.png": "networks.quick-spoilt.weights: birds/red/2.png cannot be read as weights",
        "sed: 1": "did you mean 'seed'",
        "results: /dev/null/x": "/dev/null is a file",
    }
    listing = check(change, status=1).stderr
    assert_listed(listing, folder / "config.yaml", expected)
    assert "red/1.png" in listing


def test_quick_decodes_and_measures_nothing(check, folder: Path) -> None:
    (folder / "birds" / "red" / "1.png").write_bytes(b"\x89PNG")
    output = check("{networks: {mine: {weights: small.pth}}, visualize: {recipe: {size: 16}}}", "--quick").stdout
    assert "60 pictures of 3 networks" in output
    assert "time from nothing" not in output


def test_a_users_module_beside_the_config(check, folder: Path, own: str) -> None:
    torch.save(build(f"{own}:cnn").state_dict(), folder / "w.pth")
    (folder / "mine.py").write_text(Path(f"{own}.py").read_text())
    networks = "base: {model: mine:cnn, weights: w.pth}, birds: GONE, other: {weights: w.pth}"
    layers = "{layer3.1: GONE, layer4.1: GONE, '2': {channels: all}}"
    change = f"{{networks: {{{networks}}}, visualize: {{layers: {layers}}}}}"
    assert f"{2 * 12 * 4} pictures of 2 networks" in check(change, "--quick").stdout
    result = check(change.replace("mine:cnn", "mine:cnm"), "--quick", status=1)
    assert "mine.py has no function 'cnm'" in result.stderr


def test_no_config_and_no_folder(run, tmp_path: Path) -> None:
    assert "featurediff init" in run("check", "--directory", tmp_path, status=1).stderr
    assert "there is no folder" in run("check", "--directory", tmp_path / "no", status=1).stderr
    (tmp_path / "mine.yaml").write_text("a: [")
    result = run("check", "--directory", tmp_path, "--config", tmp_path / "mine.yaml", status=1)
    assert result.stderr.startswith("mine.yaml:1: not YAML")


def test_image_steps_count_sizes_seeds_and_growth() -> None:
    overrides = "visualize: {layers: {layer3.1: {overrides: {1: {size: 64}, 2: {steps: 40}}}}}"
    assert image_steps(plan_of(config(overrides), COUNTS), "layer3.1") == 4 * (10 + 4 * 10 + 40)
    plan = plan_of(config("visualize: {recipe: {size: 224, steps: 120, schedule: growing}}"), COUNTS)
    grown = 4 * 2 * (40 * (96 / 224) ** 2 + 30 * (160 / 224) ** 2 + 50)
    assert image_steps(plan, "layer4.1") == pytest.approx(grown)


def test_disk_is_that_of_real_checkpoints(tmp_path: Path) -> None:
    model = build("resnet18", classes=2)
    checkpoints, pictures = size_on_disk(plan_of(config(), COUNTS), {"resnet18": model})
    assert pictures == 40 * 32 * 32 * 3
    optimizer = torch.optim.Adam([*model.layer4[1].parameters(), *model.fc.parameters()])
    model(torch.zeros(1, 3, 32, 32)).sum().backward()
    optimizer.step()
    epoch, network = tmp_path / "epoch.pth", tmp_path / "network.pth"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, epoch)
    torch.save(model.state_dict(), network)
    assert checkpoints == pytest.approx(3 * epoch.stat().st_size + 2 * network.stat().st_size, rel=0.01)


def test_the_rate_counts_what_was_made_after_the_first_steps() -> None:
    recipe = Recipe(size=32, steps=3)
    rate = rendering_rate(build("resnet18"), "layer2.1", [0, 1], recipe, torch.device("cpu"), seconds=0.2)
    assert rate.measured >= 2
    assert rate.measured % 2 == 0
    assert rate.per_second >= rate.measured / 20


def test_durations() -> None:
    found = [duration(seconds) for seconds in (0.2, 89, 90, 7000, 3600 * 80)]
    assert found == ["1 s", "89 s", "2 min", "1.9 h", "3 days"]


@pytest.mark.parametrize("real", [pytest.param(True, marks=pytest.mark.shared_data), False])
def test_a_published_data_set_is_counted(real: bool, check, folder: Path, shared_data: Path) -> None:
    """In Kaggle's layout: the real list over files of no content, or two classes of which one picture is left out."""
    names = [f"{breed}{number}" for breed in ("beagle", "boxer") for number in range(4)]
    labels = "id,breed\n" + "".join(f"{name},{name[:-1]}\n" for name in names)
    if real:
        labels = (shared_data / "dog-breed-identification" / "original" / "labels.csv").read_text()
    (folder / "dogs" / "train").mkdir(parents=True)
    (folder / "dogs" / "labels.csv").write_text(labels)
    for row in labels.splitlines()[1 if real else 2 :]:
        (folder / "dogs" / "train" / f"{row.partition(',')[0]}.jpg").touch()
    change = "data: {birds: {format: kaggle_dogs, root: dogs, on_bad_image: skip}}"
    found = "all 10,222 training photographs, 120" if real else "found 7 of 10,222 training photographs, 2 of 120"
    line = f"data birds: {found} classes of Kaggle's dog-breed-identification"
    assert line in check(change, "--quick").stdout
