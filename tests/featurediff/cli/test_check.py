"""`featurediff check`: every problem at once, each with its line; an estimate from what was measured."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import Result
from made_config import plan_of
from PIL import Image

from feature_vis.networks.models import build
from feature_vis.recipe import Recipe
from featurediff.cli import estimate
from featurediff.cli.estimate import duration, image_steps, rendering_rate, size_on_disk

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where snakemake would run: two classes of four pictures."""
    for name in ("blue", "red"):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((32, 32, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "birds" / name / f"{number}.png")
    return tmp_path


@pytest.fixture
def config(small_weights: Path) -> dict[str, Any]:
    return {
        "data": {"birds": {"format": "image_folder", "root": "birds"}},
        "networks": {
            "base": {"model": "resnet18", "weights": str(small_weights)},
            "birds": {
                "weights": "base",
                "data": "birds",
                "training": {"epochs": 3, "train_from": "layer4.1", "size": 32, "batch_size": 2},
            },
        },
        "visualize": {
            "recipe": {"size": 32, "steps": 10},
            "layers": {"layer3.1": {"channels": "0-2"}, "layer4.1": {"channels": [0, 5]}},
        },
    }


@pytest.fixture
def check(run: Run, folder: Path, workflow: Path) -> Callable[..., Result]:
    def checked(config: Any, *arguments: str) -> Result:
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        (folder / "config.yaml").write_text(text)
        return run("check", "--directory", folder, *arguments)

    return checked


def test_a_sound_config_with_its_estimate(
    check: Callable[..., Result], config: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_SECONDS", 0.2)
    threads = torch.get_num_threads()
    try:
        result = check(config, "--cores", "1")
    finally:
        torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    for line in (
        "no problem was found",
        "2 classes, pictures: 6 train, 2 val",
        "40 pictures of 2 networks, 4 a channel",
        "training birds:",
        "24 pictures, validation counted as training",
        "resnet18 layer4.1:",
        "(160 image-steps at",
        "not counted: embedding, comparison",
    ):
        assert line in result.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["birds", "config.yaml"]  # nothing is written


def test_all_problems_at_once_with_their_lines(check: Callable[..., Result]) -> None:
    text = """\
sed: 1
results: birds/results
data:
  birds: {format: image_folder, root: birds}
  cats: {format: image_folder, root: nowhere}
networks:
  base: {model: resnet18, weights: missing.pth}
  birds:
    weights: base
    data: brids
    epoch: 3
    training:
      epochs: 3
      train_from: layer9
      size: 32
  typo: {model: resnt18, weights: IMAGENET1K_V1}
  many:
    weights: base
    data: birds
    training: {epochs: many}
visualize:
  recipe: {size: 32}
  layers:
    layer4.1: {channels: 510-512}
    layer4.7: {channels: 0-2}
    layer3.1:
      channels: 0-2
      overrides:
        7: {steps: 3}
    layer2.1: {channels: 0, recipe: {start: nowhere.png}}
compare:
  embedder: {model: resnet18, weights: IMAGENET1K_V9}
"""
    result = check(text)
    assert result.exit_code == 1
    expected = {
        1: "did you mean 'seed'",
        2: "lies inside the data set birds",
        5: "there is no folder nowhere",
        7: "networks.base.weights: there is no file missing.pth",
        10: "there is no data set 'brids': did you mean 'birds'",
        11: "3 epochs are trained, 0 to 2, not 3",
        14: "no module 'layer9'",
        16: "close names: resnet18",
        20: "must be a whole number from 1 to 100,000, not 'many'",
        24: "there is no channel 512: the layer has 512, 0 to 511",
        25: "there is no layer 'layer4.7'; close names: layer4.1",
        29: "channel 7 is not rendered",
        30: "there is no file nowhere.png",
        32: "no weights called 'IMAGENET1K_V9'",
    }
    lines = [line.strip() for line in result.stderr.splitlines() if line.startswith("  - ")]
    assert len(lines) == len(expected), result.stderr
    for line, (number, words) in zip(lines, expected.items(), strict=True):
        assert line.startswith(f"- config.yaml:{number}: ")
        assert words in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["visualize"]["recipe"].update(size=16), None),
        (lambda c: c["networks"]["base"].update(model="inception_v3", weights="IMAGENET1K_V1"), "too small"),
        (lambda c: c["networks"]["base"].update(weights="birds/red/0.png"), "cannot be read as weights"),
        (lambda c: c["networks"]["base"].update(model="resnet34"), "do not fit resnet34"),
        (lambda c: c["visualize"]["recipe"].update(colors="images"), "statistics must be a file"),
        (lambda c: c["data"]["birds"].update(format="kaggle_dogs"), "there is no birds/labels.csv"),
        (lambda c: c.update(results="/dev/null/x"), "/dev/null is a file"),
    ],
)
def test_one_problem(
    change: Callable[[dict[str, Any]], Any], message: str | None, check: Callable[..., Result], config: dict[str, Any]
) -> None:
    change(config)
    result = check(config, "--quick")
    assert result.exit_code == (0 if message is None else 1), result.output
    assert message is None or message in result.stderr


def test_sweeps_experiments_and_a_pair_of_files(
    check: Callable[..., Result], config: dict[str, Any], small_weights: Path
) -> None:
    config["networks"]["mine"] = {"weights": str(small_weights)}
    config["networks"]["birds"]["sweep"] = {"train_from": ["layer4.0", "layer9"]}
    config["experiments"] = [{"name": "quick", "networks": {"mine": {"weights": "gone.pth"}}}]
    result = check(config, "--quick")
    assert result.exit_code == 1
    lines = [line.strip() for line in result.stderr.splitlines() if line.startswith("  - ")]
    text = yaml.safe_dump(config, sort_keys=False).splitlines()
    assert len(lines) == 2, result.stderr
    swept = next(number for number, line in enumerate(text, start=1) if "train_from: layer4.1" in line)
    gone = next(number for number, line in enumerate(text, start=1) if "gone.pth" in line)
    assert lines[0].startswith(f"- config.yaml:{swept}: networks.birds-train_from-layer9.training.train_from")
    assert lines[1].startswith(f"- config.yaml:{gone}: networks.quick-mine.weights: there is no file gone.pth")


def test_a_users_module_beside_the_config(
    check: Callable[..., Result], config: dict[str, Any], folder: Path, own: str
) -> None:
    model = build(f"{own}:cnn")
    torch.save(model.state_dict(), folder / "w.pth")
    (folder / "mine.py").write_text(Path(f"{own}.py").read_text())
    config["networks"] = {"base": {"model": "mine:cnn", "weights": "w.pth"}, "other": {"weights": "w.pth"}}
    config["visualize"]["layers"] = {"2": {"channels": "all"}}
    result = check(config, "--quick")
    assert result.exit_code == 0, result.output
    assert f"{2 * 12 * 4} pictures of 2 networks" in result.stdout
    config["networks"]["base"]["model"] = "mine:cnm"
    result = check(config, "--quick")
    assert "mine.py has no function 'cnm'" in result.stderr


def test_a_picture_that_cannot_be_read_is_named(
    check: Callable[..., Result], config: dict[str, Any], folder: Path
) -> None:
    (folder / "birds" / "red" / "1.png").write_bytes(b"\x89PNG")
    result = check(config)
    assert result.exit_code == 1
    assert "red/1.png" in result.stderr
    assert check(config, "--quick").exit_code == 0  # nothing was decoded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "config.yaml:1: not YAML"),
        ("!!python/object:os.system x", "not YAML"),
        ("", "config.yaml: the config: the key 'networks' is missing"),
        ("networks: 3", "config.yaml:1: networks: must be keys with their values, not 3"),
    ],
)
def test_what_is_no_config(text: str, message: str, check: Callable[..., Result]) -> None:
    result = check(text)
    assert result.exit_code == 1
    assert message in result.stderr


def test_no_config_and_no_folder(run: Run, tmp_path: Path) -> None:
    result = run("check", "--directory", tmp_path)
    assert (result.exit_code, "featurediff init" in result.stderr) == (1, True)
    assert run("check", "--directory", tmp_path / "no").exit_code == 1


def test_image_steps_count_sizes_seeds_and_growth(config: dict[str, Any]) -> None:
    config["visualize"]["layers"]["layer3.1"]["overrides"] = {1: {"size": 64}, 2: {"steps": 40}}
    plan = plan_of(config, {"layer3.1": 256, "layer4.1": 512})
    assert image_steps(plan, "layer3.1") == 4 * (10 + 4 * 10 + 40)
    config["visualize"]["recipe"] = {"size": 224, "steps": 120, "schedule": "growing"}
    grown = image_steps(plan_of(config, {"layer3.1": 256, "layer4.1": 512}), "layer4.1")
    assert grown == pytest.approx(4 * 2 * (40 * (96 / 224) ** 2 + 30 * (160 / 224) ** 2 + 50))


def test_disk_is_that_of_real_checkpoints(config: dict[str, Any], tmp_path: Path) -> None:
    plan = plan_of(config, {"layer3.1": 256, "layer4.1": 512})
    model = build("resnet18", classes=2)
    checkpoints, pictures = size_on_disk(plan, {"resnet18": model})
    assert pictures == 40 * 32 * 32 * 3
    learning = [*model.layer4[1].parameters(), *model.fc.parameters()]
    optimizer = torch.optim.Adam(learning)
    model(torch.zeros(1, 3, 32, 32)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "epoch.pth")
    torch.save(model.state_dict(), tmp_path / "network.pth")
    written = 3 * os.path.getsize(tmp_path / "epoch.pth") + 2 * os.path.getsize(tmp_path / "network.pth")  # noqa: PTH202
    assert checkpoints == pytest.approx(written, rel=0.01)


def test_the_rate_counts_what_was_made_after_the_first_steps() -> None:
    rate = rendering_rate(
        build("resnet18", classes=2), "layer2.1", [0, 1], Recipe(size=32, steps=3), torch.device("cpu"), seconds=0.2
    )
    assert rate.measured >= 2
    assert rate.measured % 2 == 0
    assert rate.per_second >= rate.measured / 20


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (7000, "1.9 h"), (3600 * 80, "3 days")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_published_data_set_is_counted(check: Callable[..., Result], config: dict[str, Any], folder: Path) -> None:
    """Two classes in Kaggle's layout, of which one picture is left out."""
    root = folder / "dogs"
    (root / "train").mkdir(parents=True)
    names = [f"{breed}{number}" for breed in ("beagle", "boxer") for number in range(4)]
    (root / "labels.csv").write_text("id,breed\n" + "".join(f"{name},{name[:-1]}\n" for name in names))
    for name in names[1:]:
        Image.new("RGB", (32, 32)).save(root / "train" / f"{name}.jpg")
    config["data"]["birds"] = {"format": "kaggle_dogs", "root": "dogs", "on_bad_image": "skip"}
    result = check(config, "--quick")
    assert result.exit_code == 0, result.output
    wanted = "found 7 of 10,222 training photographs, 2 of 120 classes of Kaggle's dog-breed-identification"
    assert f"data birds: {wanted}" in result.stdout


@pytest.mark.shared_data
def test_the_published_data_sets_are_found_whole(
    check: Callable[..., Result], config: dict[str, Any], folder: Path, shared_data: Path
) -> None:
    """The real lists of both, over files of no content: --quick does not decode."""
    dogs, cars = folder / "dogs", folder / "cars"
    (dogs / "train").mkdir(parents=True)
    shutil.copyfile(shared_data / "dog-breed-identification" / "original" / "labels.csv", dogs / "labels.csv")
    for row in (dogs / "labels.csv").read_text().splitlines()[1:]:
        (dogs / "train" / f"{row.partition(',')[0]}.jpg").touch()
    shutil.copytree(shared_data / "stanford_cars" / "devkit_original", cars / "devkit")
    for part, count in (("train", 8144), ("test", 8041)):
        (cars / f"cars_{part}").mkdir()
        for number in range(1, count + 1):
            (cars / f"cars_{part}" / f"{number:05}.jpg").touch()
    config["data"] |= {
        "dogs": {"format": "kaggle_dogs", "root": "dogs"},
        "cars": {"format": "stanford_cars", "root": "cars"},
    }
    result = check(config, "--quick")
    assert result.exit_code == 0, result.output
    assert (
        "data dogs: all 10,222 training photographs, 120 classes of Kaggle's dog-breed-identification" in result.stdout
    )
    assert (
        "data cars: all 8,144 training photographs, 8,041 test photographs, 196 classes of Stanford Cars"
        in result.stdout
    )
