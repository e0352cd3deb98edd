"""`featurediff render`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from feature_vis.images.png import read_picture

Run = Callable[..., Result]
SMALL = ("--size", "32", "--steps", "2")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def test_pictures_with_notes_and_only_the_missing_ones_again(run: Run, small_weights: Path, tmp_path: Path) -> None:
    common = ("render", "--model", "resnet18", "--weights", small_weights, "--layer", "layer2.1")
    common += ("--out", tmp_path, *SMALL)
    first = run(*common, "--channel", "0,2", "--device", "cpu")
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines() == [str(tmp_path / "layer2.1" / f"channel{k}.png") for k in (0, 2)]
    assert "rendered 2, reused 0" in first.stderr
    before = contents(tmp_path / "layer2.1")
    pixels, notes = read_picture(tmp_path / "layer2.1" / "channel2.png")
    assert pixels.shape == (32, 32, 3)
    assert (notes["layer"], notes["channel"], notes["recipe"]["steps"]) == ("layer2.1", 2, 2)
    again = run(*common, "--channel", "0-2", "--device", "cpu")
    assert "rendered 1, reused 2" in again.stderr
    after = contents(tmp_path / "layer2.1")
    assert {name: after[name] for name in before} == before
    other = run(*common, "--channel", "0", "--seed", "1", "--device", "cpu")
    assert "rendered 1, reused 0" in other.stderr
    assert contents(tmp_path / "layer2.1")["channel0.png"] != before["channel0.png"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--weights": "nowhere.pth"}, "the weights file nowhere.pth does not exist"),
        ({"--weights": "IMAGENET"}, "no weights called 'IMAGENET': torchvision has IMAGENET1K_V1"),
        ({"--model": "resnt18"}, "close names: resnet18"),
        ({"--model": "resnet34"}, "do not fit resnet34"),
        ({"--layer": "layer4.2"}, "there is no layer 'layer4.2'; close names: layer4.1"),
        ({"--channel": "510-512"}, "there is no channel 512: the layer has 512"),
        ({"--channel": "x"}, "neither 'all', a number, nor a range"),
        ({"--steps": "0"}, "steps must be at least 1"),
        ({"--transforms": "smal"}, "smal"),
        ({"--device": "cuda:77"}, "the device 'cuda:77' cannot be used"),
        ({"--device": "gpu"}, "the device 'gpu' cannot be used"),
    ],
)
def test_mistakes_end_with_1_and_no_traceback(
    run: Run, changed: dict[str, str], message: str, small_weights: Path, tmp_path: Path
) -> None:
    options = {"--model": "resnet18", "--weights": small_weights, "--layer": "layer4.1", "--channel": "0"}
    options |= {"--size": "32", "--steps": "2", "--out": tmp_path} | changed
    result = run("render", *(part for option in options.items() for part in option))
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_rendering_needs_few_packages(small_weights: Path, tmp_path: Path) -> None:
    """The renderer, and the command around it, work where nothing that only the workflow needs can be imported."""
    workflow_only = ("snakemake", "pyarrow", "matplotlib", "vl_convert", "pandas", "scipy", "jsonschema", "jinja2")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({workflow_only}))\n"
        "from feature_vis.render import render\n"
        "from featurediff.cli.main import main\n"
        "main(sys.argv[1:])"
    )
    options = ("--model", "resnet18", "--weights", small_weights, "--layer", "layer2.1", "--channel", "0", *SMALL)
    command = [sys.executable, "-c", code, "render", *options, "--out", tmp_path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "layer2.1" / "channel0.png").is_file()


def test_a_missing_option_is_a_usage_error(run: Run) -> None:
    result = run("render", "--model", "resnet18")
    assert result.exit_code == 2
    assert "--weights" in result.stderr
