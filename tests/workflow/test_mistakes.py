"""A user's mistakes: one clear message, before hours are spent, and no traceback."""

import pytest
import yaml
from made_config import assert_listed

from workflow.conftest import Experiment, draw_pictures, tiny_config


@pytest.fixture
def fresh(tmp_path) -> Experiment:
    draw_pictures(tmp_path / "pictures" / "first", 0)
    draw_pictures(tmp_path / "pictures" / "second", 1)
    return Experiment(tmp_path, tiny_config())


def test_all_mistakes_of_a_config_are_named_at_once_with_their_lines(fresh: Experiment) -> None:
    fresh.config["visualise"] = {}
    fresh.config["results"] = "pictures/first/results"
    fresh.config["networks"]["dogs"]["training"]["epochs"] = "many"
    fresh.config["networks"]["cars"]["training"]["train_from"] = "layer9"
    layers = {"layer4.7": {"channels": "0-2"}, "layer4.1": {"channels": "500-512"}}
    fresh.config["visualize"] = {"recipe": {"size": 32, "steps": 2}, "layers": layers}
    output = fresh.run("-n", check=False).output
    expected = {
        "epochs: many": "networks.dogs.training.epochs: must be a whole number from 1 to 100,000, not 'many'",
        "train_from: layer9": "networks.cars.training.train_from: the network uses no module 'layer9'",
        "layer4.7:": "there is no layer 'layer4.7'; close names: layer4.1",
        "channels: 500-512": "there is no channel 512: the layer has 512, 0 to 511",
        "visualise:": "the config has an unknown key 'visualise': did you mean 'visualize'?",
        "results:": "results: pictures/first/results lies inside the data set first",
    }
    assert_listed(output, fresh.folder / "config.yaml", expected)
    assert "Traceback" not in output
    assert not (fresh.folder / "results").exists()


def test_all_channels(fresh: Experiment) -> None:
    fresh.config["visualize"]["layers"]["layer4.1"]["channels"] = "all"
    assert "results/dogs/pictures/layer4.1/channel511.png" in fresh.run("-n").output


def test_a_config_file_takes_the_place_of_the_demo(fresh: Experiment) -> None:
    (fresh.folder / "mine.yaml").write_text(yaml.safe_dump(fresh.config))
    fresh.config = {"networks": {"unwanted": {"model": "resnet18", "weights": "w.pth"}}}
    output = fresh.run("-n", "--configfile", "mine.yaml").output
    assert "finetune_dogs" in output
    assert "unwanted" not in output


def test_every_bad_picture_is_named(fresh: Experiment) -> None:
    for name in ("2.png", "4.png"):
        file = fresh.folder / "pictures/first/red" / name
        file.write_bytes(file.read_bytes()[:60])
    output = fresh.run("results/data/first/split.csv", check=False).output
    assert "red/2.png" in output
    assert "red/4.png" in output
    assert "on_bad_image: skip" in output
    assert "Traceback" not in output
    fresh.config["data"]["first"]["on_bad_image"] = "skip"
    fresh.run("results/data/first/split.csv")
    skipped = (fresh.folder / "results/data/first/skipped.csv").read_text()
    assert "red/2.png" in skipped
    assert "red/4.png" in skipped


def test_a_missing_data_set_is_named(fresh: Experiment) -> None:
    fresh.config["data"]["second"]["root"] = "pictures/nowhere"
    output = fresh.run("results/data/second/split.csv", check=False).output
    assert "pictures/nowhere" in output
    assert "Traceback" not in output
