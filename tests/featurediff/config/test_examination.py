"""A whole config, examined before anything runs."""

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import bounded, edits, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import REPOSITORY

from feature_vis.errors import InputError
from featurediff.config import examination
from featurediff.config.examination import ask_in_a_process, examine, make_plan, sound_config
from featurediff.config.file import read_config
from featurediff.config.network_check import answer

SCHEMA = REPOSITORY / "config" / "schema.yaml"
QUESTION: Any = {
    "gpu": False,
    "architectures": {
        "resnet18": {
            "source": "",
            "weights": [],
            "layers": {"layer4": [{"shape": [32, 32], "transforms": "none"}]},
            "trainings": [],
        }
    },
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo's, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def written(config: dict[str, Any]) -> list:
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return [read_config("config.yaml")]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    networks: dict = {}
    monkeypatch.setattr(examination, "ask_in_a_process", lambda question, cache: answer(question, networks))


@pytest.mark.usefixtures("in_this_process")
def test_the_demo_has_a_plan(config) -> None:
    plan = make_plan(config, SCHEMA, written(config))
    assert plan.channels["layer3.1"] == list(range(12))


@pytest.mark.usefixtures("in_this_process")
def test_mistakes_of_every_kind_come_at_once_in_the_files_order_with_their_lines(config) -> None:
    config["sed"] = 1
    config["results"] = "birds/results"
    config["data"]["birds"] = {"format": "csv", "root": "birds"}
    config["networks"]["base"]["training"]["size"] = "64"
    config["networks"]["dogs"]["training"]["train_from"] = "layer9"
    config["visualize"]["layers"]["layer4.1"]["channels"] = "0-512"
    config["visualize"]["layers"]["layer4.7"] = {"channels": 0}
    config["gpu"] = "required"
    with pytest.raises(InputError) as caught:
        make_plan(config, SCHEMA, written(config))
    lines = Path("config.yaml").read_text().splitlines()
    first, *rest = str(caught.value).splitlines()
    assert first == "the config cannot be followed:"
    expected = {
        "results": "results: birds/results lies inside the data set birds",
        "size: '64'": "networks.base.training.size: must be a whole number from 16 to 8,192, not '64'",
        "train_from: layer9": "networks.dogs.training.train_from: the network has no module 'layer9'",
        "channels: 0-512": "visualize.layers.layer4.1.channels: there is no channel 512",
        "layer4.7": "visualize.layers.layer4.7: resnet18: there is no layer 'layer4.7'",
        "sed: 1": "the config has an unknown key 'sed': did you mean 'seed'?",
        "gpu: required": "gpu: required, but torch",
    }
    assert len(rest) == len(expected), caught.value
    for line, (place, words) in zip(rest, expected.items(), strict=True):
        number = next(n for n, text in enumerate(lines, 1) if text.strip().startswith(place))
        assert line.startswith(f"  - config.yaml:{number}: {words}"), line


@pytest.mark.usefixtures("in_this_process")
def test_a_key_that_is_there_twice_is_a_mistake(config) -> None:
    files = written(config)
    Path("config.yaml").write_text(Path("config.yaml").read_text() + "seed: 3\n")
    with pytest.raises(InputError, match="seed is there twice, on lines 1 and"):
        make_plan(config, SCHEMA, [read_config("config.yaml"), *files])


@pytest.mark.usefixtures("in_this_process")
def test_a_job_is_not_told_of_files_that_went_meanwhile(config) -> None:
    config |= {"gpu": "required"}
    config["compare"]["embedder"] = {"model": "resnet18", "weights": "gone.pth"}
    with pytest.raises(InputError, match=r"there is no file gone\.pth"):
        make_plan(config, SCHEMA)
    make_plan(config, SCHEMA, first=False)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list:
    """The processes that were started."""
    started: list = []
    run = examination.subprocess.run
    monkeypatch.setattr(examination.subprocess, "run", lambda *a, **k: started.append(a) or run(*a, **k))
    return started


def test_a_process_answers_as_this_one_would_and_is_asked_once(tmp_path: Path, calls: list) -> None:
    found = ask_in_a_process(QUESTION, tmp_path / "cache")
    assert found == answer(QUESTION)
    assert ask_in_a_process(QUESTION, tmp_path / "cache") == found
    assert len(calls) == 1
    # what is damaged is asked for again
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{")
    assert ask_in_a_process(QUESTION, tmp_path / "cache") == found
    assert len(calls) == 2


def test_whether_there_is_a_gpu_is_asked_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        returncode, stdout = 0, '{"no_gpu": "sees none", "architectures": {}}'

    asked: list = []
    monkeypatch.setattr(examination.subprocess, "run", lambda *_, **given: asked.append(given["input"]) or Done())
    question = {**copy.deepcopy(QUESTION), "gpu": True}
    for _ in range(2):
        assert ask_in_a_process(question, tmp_path)["no_gpu"] == "sees none"
    assert len(asked) == 2
    assert ask_in_a_process(QUESTION, tmp_path)["no_gpu"] == ""  # and the rest was kept
    assert len(asked) == 2


def test_a_folder_that_cannot_be_written_to_keeps_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    question = {"gpu": False, "architectures": {}}
    assert ask_in_a_process(question, tmp_path / "file" / "cache") == {"no_gpu": "", "architectures": {}}


def test_without_torch_there_is_no_answer_and_a_plan_all_the_same(config, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoTorch:
        returncode = 4

    monkeypatch.setattr(examination.subprocess, "run", lambda *_, **__: NoTorch())
    assert ask_in_a_process(QUESTION, Path("cache")) is None
    config["visualize"]["layers"]["layer9"] = {"channels": "0-3"}
    assert make_plan(config, SCHEMA).channels["layer9"] == [0, 1, 2, 3]


def test_nothing_is_asked_of_what_the_schema_refuses(config) -> None:
    config["visualize"] = 3
    mistakes, sound = sound_config(config, SCHEMA, ".")
    assert [mistake.path for mistake in mistakes] == [("visualize",)]
    asked: list = []
    assert examine(sound, lambda question: asked.append(question) or None) == ([], {})
    assert all(one["layers"] == {} for one in asked[0]["architectures"].values())


@pytest.mark.usefixtures("in_this_process")
def test_a_mistake_in_what_a_sweep_or_an_experiment_makes_has_the_line_it_was_written_on(config) -> None:
    config["networks"]["dogs"]["sweep"] = {"train_from": ["layer3.1", "layer9"]}
    config["experiments"] = [{"name": "late", "networks": {"cars": {"weights": "gone.pth"}}}]
    with pytest.raises(InputError) as caught:
        make_plan(config, SCHEMA, written(config))
    lines = [line.partition(": ")[2] for line in str(caught.value).splitlines()[1:]]
    assert len(lines) == 2, caught.value
    assert "no module 'layer9'" in lines[0]
    assert "there is no file gone.pth" in lines[1]
    numbers = [int(line.split(":")[1]) for line in str(caught.value).splitlines()[1:]]
    text = Path("config.yaml").read_text().splitlines()
    assert [text[number - 1].strip() for number in numbers] == ["train_from: layer3.1", "weights: gone.pth"]


def test_a_sweep_without_end_is_not_spelled_out(config) -> None:
    config["networks"]["dogs"]["sweep"] = {f"key{number}": list(range(50)) for number in range(12)}
    with pytest.raises(InputError, match="there are more than 1,000 networks"):
        make_plan(config, SCHEMA)


DEMO = (REPOSITORY / "config.yaml").read_text()
PARSED = yaml.safe_load(DEMO)
scalars = st.sampled_from(
    [None, True, -1, 0, 1, 3, 10**6, 10**30, 0.5, float("nan"), float("inf"), datetime.date(2020, 1, 1), b"x"]
)
words = st.sampled_from(
    [
        *("", "x", "all", "0-5", "5-0", "0-99999999999", "²", "base", "dogs", "resnet18", "layer4.1", "required"),
        *("../x", "/", "~", ".", "a\0b", "\ud800", "x" * 5000, "a{b}", "-x", "1e-4", "IMAGENET1K_V1", "results"),
    ]
)
keys = words | st.sampled_from([None, 1, 1.5, True, "channels", "recipe", "training", "weights", "model", "draw"])
values = st.recursive(
    scalars | words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=2), max_leaves=4
)


def places(config: Any) -> list[tuple[Any, Any]]:
    """Every mapping or list of a config with each of its keys."""
    if not isinstance(config, dict | list):
        return []
    here = list(config) if isinstance(config, dict) else list(range(len(config)))
    return [*((config, key) for key in here), *(place for key in here for place in places(config[key]))]


@pytest.fixture(scope="module")
def ask() -> Any:
    """In this process, and never the same twice."""
    networks: dict = {}
    kept: dict = {}

    def answered(question: Any) -> Any:
        text = json.dumps(question, sort_keys=True)
        if text not in kept:
            kept[text] = answer(question, networks)
        return kept[text]

    return answered


def plan_or_message(config: Any, files: list, ask: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(examination, "ask_in_a_process", lambda question, cache: ask(question))
    try:
        plan = make_plan(config, SCHEMA, files)
    except InputError as error:
        return str(error)
    # what the rules ask of a plan
    assert plan.batches()
    assert [plan.recipes(layer, tuple(plan.channels[layer])) for layer in plan.layers]
    assert all(plan.training(network) and plan.epochs(network) for network in plan.trained)
    assert all(plan.architecture(network) for network in plan.networks)
    assert all(plan.probe(network) for network in plan.tuned)
    assert all(plan.film(network) and plan.film_epochs(network) is not None for network in plan.filmed)
    return ""


@given(data=st.data())
@settings(bounded(250), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_demos_config_there_is_a_plan_or_a_message(
    data: st.DataObject, ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(PARSED)
    for _ in range(data.draw(st.integers(1, 3))):
        if not (there := places(config)):
            break
        parent, key = there[data.draw(st.integers(0, 10_000)) % len(there)]
        change = data.draw(st.sampled_from(["value", "value", "key", "more", "away"]))
        if change == "value":
            parent[key] = data.draw(values)
        elif change == "away":
            del parent[key]
        elif isinstance(parent, dict):
            parent[data.draw(keys)] = parent.pop(key) if change == "key" else data.draw(values)
    message = plan_or_message(config, [], ask, monkeypatch)
    assert message == "" or message.startswith("the config cannot be followed:\n  - ")
    assert list(tmp_path.iterdir()) == []


@given(edits=edits)
@settings(bounded(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_demos_file_holds_there_is_a_plan_or_a_message(
    edits: list, ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_bytes(mutated(DEMO.encode(), edits))
    try:
        read = read_config("config.yaml")
    except InputError as error:
        message = str(error)
    else:
        message = plan_or_message(read.config, [read], ask, monkeypatch)
    assert message == "" or "config" in message
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
