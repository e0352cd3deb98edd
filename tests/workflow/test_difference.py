"""What two networks disagree about: made, made again only where it has to be, and the reason where nothing is made."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock

from workflow.conftest import Experiment, copy_of, draw_pictures, tiny_config

FOLDER = Path("results/dogs/difference")


def difference_config() -> dict[str, Any]:
    """Two networks whose heads tell the same classes apart, and one with a class more; nothing else than is needed."""
    config = tiny_config()
    training = {"epochs": 1, "batch_size": 4, "size": 32}
    config["data"]["second"]["root"] = "pictures/second"
    config["networks"] = {
        "base": {"model": "resnet18", "data": "first", "training": training},
        "dogs": {"weights": "base", "data": "first", "training": {**training, "learning_rate": 0.003}},
        "cars": {"weights": "base", "data": "second", "training": {**training, "train_from": "layer4.1"}},
    }
    config["visualize"]["layers"] = {"layer1.0": {"channels": 0}, "layer2.0": {"channels": 0}}
    config["difference"] = {"starts": 2, "photographs": 2}
    return config


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Experiment:
    """The difference of both networks, and nothing else."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    experiment = Experiment(shared / "difference", difference_config())
    output = shared / "difference.txt"
    with FileLock(shared / "difference.lock"):
        if not output.exists():
            draw_pictures(experiment.folder / "pictures" / "first", 0)
            draw_pictures(experiment.folder / "pictures" / "second", 1, ("pug", "beagle"))
            output.write_text(experiment.run("difference").output)
    experiment.output = output.read_text()
    return experiment


@pytest.fixture
def again(made: Experiment, tmp_path: Path) -> Experiment:
    """A copy to be changed, with the networks that can be compared."""
    config = difference_config()
    del config["networks"]["cars"]
    return Experiment(copy_of(made, tmp_path / "copy"), config)


def pngs(experiment: Experiment) -> dict[str, bytes]:
    folder = experiment.folder / FOLDER
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.png"))}


def table(experiment: Experiment, name: str, network: str = "dogs") -> pd.DataFrame:
    return pd.read_csv(experiment.folder / "results" / network / "difference" / f"{name}.csv")


def summary(experiment: Experiment, network: str = "dogs") -> dict[str, Any]:
    return json.loads((experiment.folder / "results" / network / "difference" / "summary.json").read_text())


def test_pictures_tables_and_the_sentence_are_made_and_nothing_else(made: Experiment) -> None:
    starts, classes = table(made, "starts"), table(made, "classes")
    assert list(starts["picture"][:2]) == ["output/start0.png", "output/start1.png"]
    assert set(pngs(made)) == {*starts["picture"], *(f"output/other{number}.png" for number in range(8))}
    assert set(starts["tuned_name"]) <= {"blue", "red"}
    assert table(made, "candidates")["starts"].sum() == 2
    named = starts[(starts["kind"] == "start") & (starts["tuned_class"] != starts["base_class"])]
    assert classes["starts"].sum() == len(named)
    effects = table(made, "effects")
    assert set(effects["way"]) == {"blended", "pasted"}
    assert set(effects["photographs"]) == {2}  # of the four that validate
    assert len(table(made, "effect")) == 2 * min(max(classes["agreed"].sum(), 1), len(classes))
    assert len(table(made, "photographs")) == 1
    assert summary(made)["comparable"]
    assert summary(made)["sentence"] in made.output
    assert not list(made.folder.glob("results/*/pictures"))


def test_heads_of_other_classes_are_not_compared_and_the_reason_is_said(made: Experiment) -> None:
    """Both have two classes: it is their names that differ."""
    told = summary(made, "cars")
    assert (told["comparable"], told["reason"].startswith("class 0 is 'blue' in the base")) == (False, True)
    assert f"nothing is rendered: {told['reason']}" in made.output
    for name in ("candidates", "starts", "classes", "effects", "effect", "photographs", "flips"):
        assert table(made, name, "cars").empty
    assert not list((made.folder / "results" / "cars" / "difference").rglob("*.png"))


def test_nothing_is_made_again(again: Experiment) -> None:
    assert again.run("difference").nothing_to_do


def test_more_starts_render_the_new_ones_and_what_is_lost(again: Experiment) -> None:
    before = pngs(again)
    (again.folder / FOLDER / "output" / "start1.png").unlink()
    again.config["difference"]["starts"] = 3
    assert 2 <= again.run("difference").rendered <= 3  # another class may be the most named one
    after = pngs(again)
    assert {name for name in after if after[name] != before.get(name) and name.startswith("output")} == {
        "output/start2.png"
    }
    assert (table(again, "classes")["of"] == 3).all()
    assert table(again, "candidates")["starts"].sum() == 3


def test_a_changed_network_is_asked_anew(again: Experiment) -> None:
    before = pngs(again)
    again.config["networks"]["dogs"]["training"]["learning_rate"] = 0.01
    again.run("difference")
    after = pngs(again)
    assert not {name for name in before if name.startswith("output") and before[name] == after[name]}


def test_the_recipe_is_that_of_the_other_pictures_but_for_its_own_settings(again: Experiment) -> None:
    before = pngs(again)
    again.config["difference"]["recipe"] = {"steps": 3}
    again.run("difference")
    assert all(after != before.get(name) for name, after in pngs(again).items())


def test_zero_starts_switch_it_off(again: Experiment) -> None:
    shutil.rmtree(again.folder / FOLDER)
    assert "visualize_difference" in again.run("--dry-run").output
    again.config["difference"]["starts"] = 0
    assert "visualize_difference" not in again.run("--dry-run").output


@pytest.mark.long
def test_the_page_and_snakemakes_report_begin_with_it(made: Experiment, tmp_path: Path) -> None:
    again = Experiment(copy_of(made, tmp_path / "copy"), difference_config())
    again.run()
    run = (again.folder / "results/report/data/run.js").read_text()
    assert summary(again)["sentence"] in run
    assert f'"reason":{json.dumps(summary(again, "cars")["reason"])}' in run
    assert (again.folder / "results/report/data/difference/dogs/output/start0.png").exists()
    again.run("--report", "report.html")
    text = (again.folder / "report.html").read_text()
    assert "Difference" in text
