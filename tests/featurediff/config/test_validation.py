"""Everything that is wrong with a config, said at once: by itself, in its folders and files, and with its lines."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_config import SCHEMA, expanded
from places import REPOSITORY

from feature_vis.errors import InputError
from featurediff.config import validation
from featurediff.config.expand import Expanded
from featurediff.config.file import read_config
from featurediff.config.network_check import answer
from featurediff.config.validation import check_alone, check_surroundings, find_mistakes, make_plan

DEMO = (REPOSITORY / "config.yaml").read_text()


# What is laid over the small config (GONE takes a key away), where the mistake is, and what its text has.
CONTROL = (
    "networks: {again: {weights: base, data: d, control_of: tuned, training: {epochs: 3, train_from: layer4, seed: 1}}}"
)
EXPERIMENT = "experiments: [{name: a, networks: {tuned: {weights: base, data: d, training: {epochs: 1}}}}]"
MISTAKES = [
    ("sed: 1", "sed", "the config has an unknown key 'sed': did you mean 'seed'?"),
    ("bad_channels: {}", "bad_channels", "unknown key 'bad_channels': it is called 'failed_pictures' now"),
    ("visualize: {recipe: {steps: 0}}", "visualize.recipe.steps", "must be a whole number of at least 1, not 0"),
    ("visualize: {layers: {../x: {channels: 0}}}", "visualize.layers.../x", "cannot have the key '../x'"),
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
    (
        "networks: {tuned: {sweep: {learning_rat: [1]}}}",
        "networks.tuned.training.learning_rat",
        "did you mean 'learning_rate'",
    ),
    ("networks: {tuned: {sweep: {momentum: [0.1, 1]}}}", "networks.tuned.training.momentum", "below 1, not 1"),
    ("networks: {tuned: {sweep: {size: [32, 32]}}}", "networks.tuned.sweep.size", "has the same value twice"),
    ("experiments: [{networks: {x: {weights: base}}}]", "experiments.0.name", "the key 'name' is missing"),
    (EXPERIMENT.replace("data: d", "data: x"), "experiments.0.networks.tuned.data", "there is no data set 'x'"),
    (f"{{{EXPERIMENT}, networks: {{a-tuned: {{weights: base}}}}}}", "experiments.0.networks.tuned", "is there already"),
]


def lay_over(config: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if value == "GONE":
            del config[key]
        elif isinstance(value, dict) and isinstance(config.get(key), dict):
            lay_over(config[key], value)
        else:
            config[key] = value


@pytest.mark.parametrize(("change", "path", "words"), MISTAKES)
def test_mistakes_are_said_in_words_where_they_stand(change: str, path: str, words: str, config) -> None:
    lay_over(config, yaml.safe_load(change))
    found = {".".join(mistake.path): mistake.text for mistake in find_mistakes(config, SCHEMA)}
    assert words in found[path], found


def test_a_control_and_an_experiment_without_mistakes(config) -> None:
    assert find_mistakes(config, SCHEMA) == []
    other_pace = CONTROL.replace("seed: 1", "seed: 1, workers: 2, cache_mb: 5, threads: 1")
    lay_over(config, yaml.safe_load(f"{{{other_pace}, {EXPERIMENT}}}"))
    assert find_mistakes(config, SCHEMA) == []


def test_names_are_looked_up_in_what_the_schema_allows(config) -> None:
    config["networks"]["base"]["epochs"] = 3  # belongs into `training`
    config["networks"]["tuned"]["data"] = "e"
    config["networks"]["other"] = {"weights": "tuned", "model": 3}
    paths = {mistake.path for mistake in find_mistakes(config, SCHEMA)}
    assert paths == {("networks", "base", "epochs"), ("networks", "tuned", "data"), ("networks", "other", "model")}


def test_what_is_wrong_is_left_out_of_what_comes_after(config) -> None:
    config["networks"]["tuned"]["training"]["epochs"] = 0
    config["networks"]["base"] = 3
    config["networks"]["other"] = {"weights": "bse", "data": "d"}
    config["visualize"]["layers"]["layer3"]["channels"] = [-1]
    before = copy.deepcopy(config)
    mistakes, found = check_alone(config, SCHEMA)
    assert config == before
    assert {mistake.path for mistake in mistakes} == {
        ("networks", "tuned", "training", "epochs"),
        ("networks", "base"),
        ("networks", "other", "weights"),
        ("visualize", "layers", "layer3", "channels", "0"),
    }
    networks = found.config["networks"]
    assert networks["base"] == {"epoch": "best"}
    assert (networks["tuned"]["training"]["train_from"], "epochs" in networks["tuned"]["training"]) == ("layer4", False)
    assert networks["other"] == {"data": "d", "epoch": "best"}
    assert "channels" not in found.config["visualize"]["layers"]["layer3"]


def test_a_mistake_within_an_experiment_hides_no_other(config) -> None:
    first, second = ({"weights": "base", "data": "d", "training": {"epochs": 1, **more}} for more in ({}, {"size": 1}))
    config["experiments"] = [{"name": "a", "networks": {"x": first | {"data": "e"}, "y": second}}]
    assert {mistake.path[-2:] for mistake in find_mistakes(config, SCHEMA)} == {("x", "data"), ("training", "size")}


@pytest.mark.parametrize("part", ["data", "networks"])
def test_a_whole_part_that_is_wrong_makes_no_name_unknown(config, part: str) -> None:
    config[part] = 3
    assert [mistake.path for mistake in find_mistakes(config, SCHEMA)] == [(part,)]


def test_nothing_is_asked_of_what_the_schema_refuses(config) -> None:
    config["visualize"] = 3
    mistakes, found = check_alone(config, SCHEMA)
    assert [mistake.path for mistake in mistakes] == [("visualize",)]
    asked: list = []
    assert check_surroundings(found, lambda question: asked.append(question) or None) == ([], {})
    assert asked[0]["layers"] == {}


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo's config, in an empty folder; its networks are looked at in this process."""
    networks: dict = {}
    monkeypatch.setattr(validation, "ask_in_a_process", lambda question, cache: answer(question, networks))
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load(DEMO)


def written(config: dict[str, Any]) -> list:
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return [read_config("config.yaml")]


def test_the_demo_has_a_plan(demo) -> None:
    assert make_plan(demo, SCHEMA, written(demo)).channels["layer3.1"] == list(range(12))


def test_mistakes_of_every_kind_come_at_once_in_the_files_order_with_their_lines(demo) -> None:
    demo["sed"] = 1
    demo["results"] = "birds/results"
    demo["data"]["birds"] = {"format": "csv", "root": "birds"}
    demo["networks"]["base"]["training"]["size"] = "64"
    demo["networks"]["dogs"]["training"]["train_from"] = "layer9"
    demo["visualize"]["layers"]["layer4.1"]["channels"] = "0-512"
    demo["visualize"]["layers"]["layer4.7"] = {"channels": 0}
    demo["gpu"] = "required"
    with pytest.raises(InputError) as caught:
        make_plan(demo, SCHEMA, written(demo))
    lines = Path("config.yaml").read_text().splitlines()
    first, *rest = str(caught.value).splitlines()
    assert first == "the config cannot be followed:"
    expected = {
        "results": "results: birds/results lies inside the data set birds",
        "size: '64'": "networks.base.training.size: must be a whole number from 16 to 8,192, not '64'",
        "train_from: layer9": "networks.dogs.training.train_from: the network uses no module 'layer9'",
        "channels: 0-512": "visualize.layers.layer4.1.channels: there is no channel 512",
        "layer4.7": "visualize.layers.layer4.7: resnet18: there is no layer 'layer4.7'",
        "sed: 1": "the config has an unknown key 'sed': did you mean 'seed'?",
        "gpu: required": "gpu: required, but torch",
    }
    assert len(rest) == len(expected), caught.value
    for line, (place, words) in zip(rest, expected.items(), strict=True):
        number = next(n for n, text in enumerate(lines, 1) if text.strip().startswith(place))
        assert line.startswith(f"  - config.yaml:{number}: {words}"), line


def test_a_key_that_is_there_twice_is_a_mistake(demo) -> None:
    files = written(demo)
    Path("config.yaml").write_text(Path("config.yaml").read_text() + "seed: 3\n")
    with pytest.raises(InputError, match="seed is there twice, on lines 1 and"):
        make_plan(demo, SCHEMA, [read_config("config.yaml"), *files])


def test_a_job_is_not_told_of_files_that_went_meanwhile(demo) -> None:
    demo |= {"gpu": "required"}
    demo["compare"]["embedder"] = {"model": "resnet18", "weights": "gone.pth"}
    with pytest.raises(InputError, match=r"there is no file gone\.pth"):
        make_plan(demo, SCHEMA)
    make_plan(demo, SCHEMA, first=False)


def test_a_mistake_in_what_a_sweep_or_an_experiment_makes_has_the_line_it_was_written_on(demo) -> None:
    demo["networks"]["dogs"]["sweep"] = {"train_from": ["layer3.1", "layer9"]}
    demo["experiments"] = [{"name": "late", "networks": {"cars": {"weights": "gone.pth"}}}]
    with pytest.raises(InputError) as caught:
        make_plan(demo, SCHEMA, written(demo))
    lines = [line.partition(": ")[2] for line in str(caught.value).splitlines()[1:]]
    assert len(lines) == 2, caught.value
    assert "no module 'layer9'" in lines[0]
    assert "there is no file gone.pth" in lines[1]
    numbers = [int(line.split(":")[1]) for line in str(caught.value).splitlines()[1:]]
    text = Path("config.yaml").read_text().splitlines()
    assert [text[number - 1].strip() for number in numbers] == ["train_from: layer3.1", "weights: gone.pth"]


def test_a_sweep_without_end_is_not_spelled_out(demo) -> None:
    demo["networks"]["dogs"]["sweep"] = {f"key{number}": list(range(50)) for number in range(12)}
    with pytest.raises(InputError, match="there are more than 1,000 networks"):
        make_plan(demo, SCHEMA)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "birds" / "red").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def around(config: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """What is wrong with the folders and files of a part of a config."""
    found = Expanded(expanded(config), {}, [])
    return {mistake.path: mistake.text for mistake in check_surroundings(found, lambda _: None)[0]}


def birds(root: str, results: str = "results", **data: Any) -> dict[str, Any]:
    return {"results": results, "data": {"birds": {"format": "csv", "root": root, **data}}}


@pytest.mark.parametrize(
    ("root", "results"), [("birds", "birds"), ("birds", "birds/red/../x"), (".", "results"), ("birds", "link/x")]
)
def test_results_inside_the_data(root: str, results: str, folder: Path) -> None:
    (folder / "link").symlink_to(folder / "birds" / "red")
    text = f"results: {results} lies inside the data set birds ({root}), whose pictures it would become"
    assert around(birds(root, results)) == {("results",): text}
    # what is drawn there would not be alone either
    assert around(birds(root, results, draw={"kind": "dogs"})) == {("results",): text}


@pytest.mark.usefixtures("folder")
def test_data_inside_the_results() -> None:
    ((path, text),) = around(birds("results/birds")).items()
    assert path == ("data", "birds", "root")
    assert "data.birds.root: results/birds lies inside results" in text
    assert around(birds("results/birds", draw={"kind": "dogs"})) == {}


@pytest.mark.parametrize(
    ("root", "results"),
    [("birds", "birds-results"), ("birds", "results"), ("../x", "results"), ("circle/x", "circle/y")],
)
def test_folders_beside_one_another(root: str, results: str, folder: Path) -> None:
    (folder / "circle").symlink_to(folder / "circle")
    assert around(birds(root, results)) == {}


def whole() -> dict[str, Any]:
    return {
        "data": {"birds": {"format": "csv", "root": "nowhere"}, "drawn": {"root": "results/x", "draw": {}}},
        "networks": {
            "base": {"model": "resnet18", "weights": "base.pth"},
            "tuned": {"weights": "base", "data": "birds", "training": {"epochs": 1}},
            "named": {"model": "resnet18", "weights": "IMAGENET1K_V1"},
        },
        "visualize": {
            "layers": {
                "layer4": {"channels": 0, "recipe": {"start": "a.png"}, "overrides": {0: {"start": "x" * 300}}},
                "layer3": {"channels": 0, "recipe": {"colors": "images", "statistics": "s.npz"}},
                "layer2": {"channels": 0, "recipe": {"colors": "images"}},  # is a mistake by itself
            }
        },
        "compare": {"embedder": {"model": "resnet18", "weights": "dino.pth"}},
    }


@pytest.mark.usefixtures("folder")
def test_all_files_that_are_absent() -> None:
    found = around(whole())
    assert set(found) == {
        ("networks", "base", "weights"),
        ("compare", "embedder", "weights"),
        ("visualize", "layers", "layer4"),
        ("visualize", "layers", "layer3"),
    }
    assert found["networks", "base", "weights"] == "networks.base.weights: there is no file base.pth"


def test_what_an_earlier_run_has_read_may_be_gone(folder: Path) -> None:
    for file in ("results/base/network.pth", "dino.pth", "a.png", "s.npz"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    config = whole()
    del config["visualize"]["layers"]["layer4"]["overrides"]
    assert around(config) == {}
