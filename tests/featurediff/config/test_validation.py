"""Everything that is wrong with a config, said at once: by itself, in its folders and files, and with its lines."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_config import SCHEMA, assert_listed, expansion, mistakes_after
from places import REPOSITORY

from feature_vis.errors import InputError
from featurediff.config import validation
from featurediff.config.file import read_config
from featurediff.config.network_check import answer
from featurediff.config.validation import check_alone, check_surroundings, make_plan

# What is laid over the small config, where the mistake is, and what its text has.
CONTROL = (
    "networks: {again: {weights: base, data: d, control_of: tuned, training: {epochs: 3, train_from: layer4, seed: 1}}}"
)
EXPERIMENT = "experiments: [{name: a, networks: {tuned: {weights: base, data: d, training: {epochs: 1}}}}]"
ENDLESS = {"networks": {"tuned": {"sweep": {key: list(range(50)) for key in "abcdefghijkl"}}}}
MISTAKES = [
    ("bad_channels: {}", "bad_channels", "unknown key 'bad_channels': it is called 'failed_pictures' now"),
    ("networks: {../x: {}}", "networks.../x", "'../x': A letter, then letters, digits, - and _."),
    ("networks: {plots: {weights: base}}", "networks.plots", "the results have a folder of that name"),
    ("networks: {mine: {checkpoint: b.pth}}", "networks.mine.checkpoint", "did you mean 'weights'?"),
    ("base: bass", "base", "there is no network 'bass': did you mean 'base'?"),
    ("networks: {base: {data: e}}", "networks.base.data", "there is no data set 'e'"),
    ("networks: {base: {data: GONE}}", "networks.base", "training needs data"),
    ("data: {d: {format: unlabelled}}", "networks.base.data", "d has no classes to train on: an unlabelled data set"),
    ("networks: {base: {training: GONE}}", "networks.base", "has neither weights nor training"),
    ("networks: {base: {model: GONE}}", "networks.base", "needs a model"),
    ("networks: {base: {weights: tuned}}", "networks.base.weights", "tuned starts from base itself"),
    ("networks: {base: {epoch: 2}}", "networks.base.epoch", "2 epochs are trained, 0 to 1, not 2"),
    ("networks: {base: {training: {warmup_epochs: 2}}}", "networks.base.training.warmup_epochs", "takes 2 of 2 epochs"),
    ("film: {channels: {layer5: [0]}}", "film.channels.layer5", "layer5 is not among visualize.layers"),
    ("{seeds: 2, film: {seeds: 3}}", "film.seeds", "3 is more than seeds, 2"),
    ("film: {epochs: [3]}", "film.epochs", "none of them is an epoch of tuned, 0 to 2"),
    (CONTROL.replace("of: tuned", "of: tunde"), "networks.again.control_of", "did you mean 'tuned'?"),
    (CONTROL.replace("of: tuned", "of: base"), "networks.again.control_of", "two fine-tuned networks are compared"),
    (CONTROL.replace("weights: base", "model: vgg11"), "networks.again.control_of", "must have the same weights, data"),
    (CONTROL.replace("epochs: 3", "epochs: 9"), "networks.again.control_of", "the same weights, data and training"),
    (CONTROL.replace("seed: 1", "seed: 0"), "networks.again.control_of", "give its training a seed of its own"),
    ("compare: {probe: {data: photos}}", "compare.probe.data", "there is no data set 'photos'"),
    ("compare: {embedder: {network: bse}}", "compare.embedder.network", "there is no network 'bse'"),
    ("compare: {embedder: {model: vgg11}}", "compare.embedder", "model and weights go together"),
    ("compare: {embedder: {network: base, model: vgg11, weights: w}}", "compare.embedder", "either network, or model"),
    ("networks: {tuned: {sweep: {mmentum: [1]}}}", "networks.tuned.training.mmentum", "did you mean 'momentum'"),
    ("networks: {tuned: {sweep: {momentum: [0.1, 1]}}}", "networks.tuned.training.momentum", "below 1, not 1"),
    ("networks: {tuned: {sweep: {size: [32, 32]}}}", "networks.tuned.sweep.size", "has the same value twice"),
    (ENDLESS, "networks.tuned", "there are more than 1,000 networks"),
    ("experiments: [{networks: {x: {weights: base}}}]", "experiments.0.name", "the key 'name' is missing"),
    (EXPERIMENT.replace("data: d", "data: x"), "experiments.0.networks.tuned.data", "there is no data set 'x'"),
    (f"{{{EXPERIMENT}, networks: {{a-tuned: {{weights: base}}}}}}", "experiments.0.networks.tuned", "is there already"),
]


@pytest.mark.parametrize(("change", "path", "words"), MISTAKES)
def test_mistakes_are_said_in_words_where_they_stand(change: str | dict[str, Any], path: str, words: str) -> None:
    found = mistakes_after(change)
    assert words in found[path], found


def test_a_control_and_an_experiment_without_mistakes() -> None:
    assert mistakes_after({}) == {}
    other_pace = CONTROL.replace("seed: 1", "seed: 1, workers: 2, cache_mb: 5, threads: 1")
    assert mistakes_after(f"{{{other_pace}, {EXPERIMENT}}}") == {}


BOTH = EXPERIMENT.replace("data: d", "data: e").replace("}}}}", "}}, y: {weights: base, training: {size: 1}}}}")
OTHERS = "networks: {base: {epochs: 3}, tuned: {data: e}, other: {weights: tuned, model: 3}}"


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        (OTHERS, ["networks.base.epochs", "networks.other.model", "networks.tuned.data"]),
        (BOTH, [f"experiments.0.networks.{place}" for place in ("tuned.data", "y.training.epochs", "y.training.size")]),
        # where a whole part is wrong, no name is unknown
        ("data: 3", ["data"]),
        ("networks: 3", ["networks"]),
        ("visualize: 3", ["visualize"]),
    ],
)
def test_one_mistake_neither_hides_another_nor_makes_one(change: str, paths: list[str]) -> None:
    assert sorted(mistakes_after(change)) == paths


def test_what_is_wrong_is_left_out_of_what_comes_after(config) -> None:
    config["networks"]["tuned"]["training"]["epochs"] = 0
    config["networks"] |= {"base": 3, "other": {"weights": "bse", "data": "d"}}
    config["visualize"]["layers"]["layer3"]["channels"] = [-1]
    before = copy.deepcopy(config)
    mistakes, found = check_alone(config, SCHEMA)
    assert config == before
    networks = ["networks.base", "networks.other.weights", "networks.tuned.training.epochs"]
    assert sorted(".".join(mistake.path) for mistake in mistakes) == [*networks, "visualize.layers.layer3.channels.0"]
    networks = found.config["networks"]
    assert networks["base"] == {"epoch": "best"}
    assert (networks["tuned"]["training"]["train_from"], "epochs" in networks["tuned"]["training"]) == ("layer4", False)
    assert networks["other"] == {"data": "d", "epoch": "best"}
    assert "channels" not in found.config["visualize"]["layers"]["layer3"]


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo's config, in an empty folder; its networks are looked at in this process."""
    networks: dict = {}
    monkeypatch.setattr(validation, "ask_in_a_process", lambda question, cache: answer(question, networks))
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def test_a_plan_or_all_mistakes_at_once_with_their_lines(demo) -> None:
    assert make_plan(demo, SCHEMA).channels["layer3.1"] == list(range(12))
    demo |= {"gpu": "required", "sed": 1}
    demo["networks"]["dogs"]["training"]["train_from"] = "layer3.0"
    demo["networks"]["dogs"]["sweep"] = {"train_from": ["layer3.1", "layer9"]}
    demo["experiments"] = [{"name": "late", "networks": {"cars": {"weights": "gone.pth"}}}]
    file = Path("config.yaml")
    file.write_text(yaml.safe_dump(demo, sort_keys=False) + "seed: 3\n")
    with pytest.raises(InputError) as caught:
        make_plan(demo, SCHEMA, [read_config(file)])
    assert str(caught.value).startswith("the config cannot be followed:\n  - ")
    expected = {
        "seed": "seed is there twice, on lines 1 and",
        "train_from: layer3.0": "no module 'layer9'",
        "gpu: required": "gpu: required, but torch",
        "sed: 1": "the config has an unknown key 'sed'",
        "weights: gone.pth": "there is no file gone.pth",
    }
    assert_listed(str(caught.value), file, expected)
    # a job is not told of files that went meanwhile, nor of its machine
    del demo["sed"], demo["networks"]["dogs"]["sweep"]
    make_plan(demo, SCHEMA, first=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "birds" / "red").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "birds" / "red")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def around(config: dict[str, Any]) -> dict[str, str]:
    """What is wrong with the folders and files of a part of a config."""
    mistakes, _ = check_surroundings(expansion(config), lambda _: None)
    return {".".join(mistake.path): mistake.text for mistake in mistakes}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("root", "results", "place"),
    [
        *[("birds", "birds", "results"), ("birds", "birds/red/../x", "results"), ("birds", "link/x", "results")],
        *[(".", "results", "results"), ("results/birds", "results", "data.birds.root"), ("birds", "results", "")],
        *[("birds", "birds-results", ""), ("../x", "results", ""), ("circle/x", "circle/y", "")],
    ],
)
def test_neither_results_nor_data_lie_inside_the_others(root: str, results: str, place: str) -> None:
    data = {"format": "csv", "root": root}
    found = around({"results": results, "data": {"birds": data}})
    text = {
        "results": f"results: {results} lies inside the data set birds ({root}), whose pictures it would become",
        "data.birds.root": f"data.birds.root: {root} lies inside {results}",
    }
    assert set(found) == ({place} if place else set())
    assert not place or text[place] in found[place]
    # what is drawn belongs to the results, but nothing else may lie in it
    drawn = around({"results": results, "data": {"birds": data | {"draw": {"kind": "dogs"}}}})
    assert drawn == (found if place == "results" else {})


FILES = """
data: {birds: {format: csv, root: nowhere}, drawn: {root: results/x, draw: {}}}
networks:
  base: {model: resnet18, weights: base.pth}
  tuned: {weights: base, data: birds, training: {epochs: 1}}
  named: {model: resnet18, weights: IMAGENET1K_V1}
visualize:
  layers:
    layer4: {channels: 0, recipe: {start: a.png}, overrides: {0: {start: %s}}}
    layer3: {channels: 0, recipe: {colors: images, statistics: s.npz}}
    layer2: {channels: 0, recipe: {colors: images}} # is a mistake by itself
difference: {recipe: {start: b.png}}
compare: {embedder: {model: resnet18, weights: dino.pth}}
"""


def test_files_that_are_absent_but_not_those_that_an_earlier_run_has_read(folder: Path) -> None:
    found = around(yaml.safe_load(FILES % ("x" * 300)))
    places = ["networks.base.weights", "compare.embedder.weights", "visualize.layers.layer4", "visualize.layers.layer3"]
    places.append("difference")
    assert list(found) == places
    assert found["networks.base.weights"] == "networks.base.weights: there is no file base.pth"
    for file in ("results/base/network.pth", "dino.pth", "a.png", "s.npz", "b.png"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    assert around(yaml.safe_load(FILES % "a.png")) == {}
