"""`featurediff init`: what it writes can be followed, by the checks and by snakemake."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from places import REPOSITORY
from workflow.conftest import draw_pictures

from feature_vis.errors import InputError
from feature_vis.files import write_text
from featurediff.cli.init import Answers, guess_format, last_blocks, write_config


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    draw_pictures(tmp_path / "my birds: 2", 0)
    return tmp_path / "my birds: 2"


def test_without_a_terminal_the_options_suffice(run, birds: Path, small_weights: Path, tmp_path: Path) -> None:
    assert "--root" in run("init", tmp_path, status=2).stderr
    out = tmp_path / "out"
    options = ("--root", birds, "--model", "resnet18", "--weights", small_weights, "--layer", "layer4.1=0-3")
    run("init", out, *options, "--layer", "layer3.1", "--epochs", "2", "--size", "64")
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["data"]["my-birds-2"]["root"] == str(birds)
    assert config["visualize"]["layers"] == {"layer4.1": {"channels": "0-3"}, "layer3.1": {"channels": "0-63"}}
    assert config["networks"]["my-birds-2"]["training"]["epochs"] == 2
    run("check", "--directory", out, "--quick")
    run("run", "--directory", out, "-n")
    assert "--force" in run("init", out, *options, status=1).stderr
    run("init", out, *options, "--force")


def test_the_examples_can_be_written(run, tmp_path: Path) -> None:
    result = run("init", tmp_path / "demo", "--example", "demo")
    assert f"featurediff run --directory {tmp_path / 'demo'}" in result.stdout
    assert (tmp_path / "demo" / "config.yaml").read_bytes() == (REPOSITORY / "config.yaml").read_bytes()
    run("init", tmp_path, "--example", "paper")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["results"] == "results/paper"
    result = run("init", tmp_path / "x", "--example", "zzz", status=1)
    assert "there are demo, paper, paper-faithful" in result.stderr


def test_every_value_that_one_may_change_has_a_comment(birds: Path, small_weights: Path, tmp_path: Path) -> None:
    given = {"root": str(birds), "model": "resnet18", "weights": str(small_weights)}
    write_config(tmp_path / "config.yaml", Answers(given))
    lines = (tmp_path / "config.yaml").read_text().splitlines()
    plain = [line for line in lines if line.strip() and not line.endswith(":") and "#" not in line]
    expected = ("data:", "root:", "epochs:", "learning_rate", "batch_size", "resize", "steps:", "layer4.")
    assert all(line.strip().startswith(expected) for line in plain), plain
    assert lines[0].startswith("# featurediff: my birds: 2 fine-tuned from resnet18")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("root", "nowhere", "there is no folder"),
        ("format", "zip", "csv or unlabelled, not 'zip'"),
        ("model", "resnt18", "close names: resnet18"),
        ("epochs", "0", "epochs"),
        ("size", "3", "size"),
    ],
)
def test_answers_that_make_no_config_write_none(
    run, option: str, value: str, message: str, birds: Path, tmp_path: Path
) -> None:
    given = {"root": birds, "model": "resnet18", "weights": "IMAGENET1K_V1", option: value}
    result = run("init", tmp_path / "out", *(part for name in given for part in (f"--{name}", given[name])), status=1)
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_not_given_is_asked_with_a_default(birds: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}
    answers = {"Folder of your pictures": str(birds), "Classifier of torchvision.models": "resnet18"}

    def ask(question: str, default: Any) -> Any:
        asked[question] = default
        return answers.get(question, default)

    write_config(tmp_path / "config.yaml", Answers({"seeds": 2}, ask))
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert asked["Weights: the library's name of them, or a file"] == "IMAGENET1K_V1"
    assert asked["Layers to render, with commas"] == "layer4.0,layer4.1"
    assert asked["First module that learns"] == "layer4.0"
    assert "Pictures of every channel" not in asked
    assert config["seeds"] == 2
    assert config["networks"]["my-birds-2"]["training"]["train_from"] == "layer4.0"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"labels.csv": "id,breed\n", "train/a.jpg": ""}, "kaggle_dogs"),
        ({"labels.csv": "path,label\n"}, "csv"),
        ({"devkit/cars_meta.mat": ""}, "stanford_cars"),
        ({"lists/train_list.mat": "", "Images/a": ""}, "stanford_dogs"),
        ({"a/1.jpg": ""}, "image_folder"),
    ],
)
def test_the_layout_is_seen(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    for name, text in files.items():
        write_text(tmp_path / name, text)
    assert guess_format(tmp_path) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("resnet18", ["layer4.0", "layer4.1"]),
        ("squeezenet1_0", ["features.10", "features.12"]),
        ("vgg11", ["features.16", "features.18"]),
        ("{own}:cnn", ["1", "2"]),
        ("{own}:vit", ["encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1"]),
    ],
)
def test_the_last_blocks(model: str, expected: list[str], own: str) -> None:
    assert last_blocks(model.format(own=own)) == expected


def test_a_users_network_needs_a_file_of_weights(own: str, birds: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name a file of them by --weights"):
        write_config(tmp_path / "config.yaml", Answers({"root": str(birds), "model": f"{own}:cnn"}))
