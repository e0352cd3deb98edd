"""`featurediff render`."""

from pathlib import Path

import pytest
from places import python

from feature_vis.images.png import read_picture


def options(file: Path, out: Path, **changed: str) -> list[str]:
    given = {"model": "resnet18", "weights": str(file), "layer": "layer2.1", "channel": "0", "size": "32"}
    given |= {"steps": "2", "out": str(out), "device": "cpu"} | changed
    return ["render", *(part for name, value in given.items() for part in (f"--{name}", value))]


def test_pictures_with_notes_and_only_the_missing_ones_again(run, small_weights: Path, tmp_path: Path) -> None:
    first = run(*options(small_weights, tmp_path, channel="0,2"))
    folder = tmp_path / "layer2.1"
    assert first.stdout.splitlines() == [str(folder / f"channel{k}.png") for k in (0, 2)]
    assert "rendered 2, reused 0" in first.stderr
    before = {path.name: path.read_bytes() for path in folder.glob("*")}
    pixels, notes = read_picture(folder / "channel2.png")
    assert pixels.shape == (32, 32, 3)
    assert (notes["layer"], notes["channel"], notes["recipe"]["steps"]) == ("layer2.1", 2, 2)
    assert "rendered 1, reused 2" in run(*options(small_weights, tmp_path, channel="0-2")).stderr
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert "rendered 1, reused 0" in run(*options(small_weights, tmp_path, seed="1")).stderr
    assert (folder / "channel0.png").read_bytes() != before["channel0.png"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights", "nowhere.pth", "the weights file nowhere.pth does not exist"),
        ("weights", "IMAGENET", "no weights called 'IMAGENET': torchvision has IMAGENET1K_V1"),
        ("model", "resnt18", "close names: resnet18"),
        ("model", "resnet34", "do not fit resnet34"),
        ("layer", "layer4.2", "there is no layer 'layer4.2'; close names: layer4.1"),
        ("channel", "128", "there is no channel 128: the layer has 128"),
        ("channel", "x", "neither 'all', a number, nor a range"),
        ("steps", "0", "steps must be at least 1"),
        ("transforms", "smal", "smal"),
        ("device", "cuda:77", "the device 'cuda:77' cannot be used"),
        ("device", "gpu", "the device 'gpu' cannot be used"),
    ],
)
def test_mistakes(run, name: str, value: str, message: str, small_weights: Path, tmp_path: Path) -> None:
    assert message in run(*options(small_weights, tmp_path, **{name: value}), status=1).stderr
    assert "--weights" in run("render", "--model", "resnet18", status=2).stderr


def test_rendering_needs_few_packages(small_weights: Path, tmp_path: Path) -> None:
    """The renderer, and the command around it, work where nothing that only the workflow needs can be imported."""
    workflow_only = ("snakemake", "pyarrow", "matplotlib", "vl_convert", "pandas", "scipy", "jsonschema", "jinja2")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({workflow_only}))\n"
        "from feature_vis.render import render\n"
        "from featurediff.cli.main import main\n"
        "main(sys.argv[1:])"
    )
    assert python(code, *options(small_weights, tmp_path)).wait(timeout=60) == 0
    assert (tmp_path / "layer2.1" / "channel0.png").is_file()
