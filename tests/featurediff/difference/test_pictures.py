"""Pictures of what two networks disagree about: what they show, what is kept, and what is counted."""

import copy
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from colour_networks import Colours, flat, networks
from torch import nn

from feature_vis.differences import rise
from feature_vis.errors import InputError
from feature_vis.images.png import read_notes, read_picture, write_picture
from feature_vis.objectives import Objectives
from feature_vis.recipe import Recipe
from feature_vis.render import render
from featurediff.difference.answers import Classifier, both_answers
from featurediff.difference.pictures import CLASS_COLUMNS, COLUMNS, DifferenceSettings, render_difference
from featurediff.difference.search import CANDIDATE_COLUMNS
from featurediff.rendering import batch
from featurediff.runtime.tables import read_table
from featurediff.statistics.class_agreement import agreement_p_value

CPU = torch.device("cpu")
RECIPE = Recipe(size=32, steps=20, learning_rate=0.3, colors="none", seed=7)
SETTINGS = DifferenceSettings(starts=3, others=2, recipe=RECIPE)


def rendered(folder: Path, settings: DifferenceSettings = SETTINGS, tuned: Classifier | None = None) -> str | None:
    base, usual = networks()
    return render_difference(base, tuned or usual, folder, settings, "relu", CPU)


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but the search's store, which remembers more starts than there are."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("[!.]*.*"))}


def times(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*.png")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    assert rendered(folder) is None
    return folder


def test_the_pictures_show_what_only_the_tuned_network_knows(pair: Path) -> None:
    assert sorted(times(pair)) == [
        "classes/class5.png",
        *(f"output/{name}.png" for name in ("other0", "other1", "start0", "start1", "start2")),
    ]
    for path in ("output/start0.png", "output/start1.png", "output/start2.png", "classes/class5.png"):
        red, green, blue = read_picture(pair / path)[0].mean((0, 1))
        assert min(red, blue) > green + 30, path


def test_starts_have_their_answers_in_a_table(pair: Path) -> None:
    table = read_table(pair / "starts.csv")
    assert list(table) == list(COLUMNS)
    assert table["kind"].tolist() == ["start"] * 3 + ["class"]
    assert (table["tuned_class"] == 5).all()
    assert (table["rose_class"] == 5).all()
    assert (table["tuned_name"] == "magenta").all()
    for row in table.itertuples():
        shown = torch.from_numpy(read_picture(pair / row.picture)[0].copy()).permute(2, 0, 1)[None]
        found = both_answers(*networks(), shown)
        values = found.divergence[0], found.base.argmax(), found.base_probability.max(), found.tuned_probability.max()
        seen = row.divergence, row.base_class, row.base_probability, row.tuned_probability
        np.testing.assert_allclose(seen, values, rtol=1e-6)
        assert row.rise == pytest.approx(found.rise.max())
        notes = read_notes(pair / row.picture)
        assert notes is not None
        assert row.asked_class == 5
        assert row.rise == pytest.approx(notes["activation_reached"], rel=1e-4)
        assert notes["activation_start"] < notes["activation_reached"]
    classes = read_table(pair / "classes.csv")
    assert list(classes) == list(CLASS_COLUMNS)
    p_value = agreement_p_value(3, 3, 6)
    assert classes.values.tolist() == [[5, "magenta", 3, 3, pytest.approx(p_value), p_value <= 0.05]]


def test_a_start_is_rendered_as_if_it_were_alone(pair: Path, tmp_path: Path) -> None:
    rendered(tmp_path, replace(SETTINGS, starts=1, others=0))
    assert (tmp_path / "output/start0.png").read_bytes() == (pair / "output/start0.png").read_bytes()
    base, tuned = (Objectives(each.model) for each in networks())
    alone = next(render([rise(tuned, base, 5)], replace(RECIPE, seed=RECIPE.seed + 2)))
    np.testing.assert_array_equal(read_picture(pair / "output/start2.png")[0], alone.picture)


def test_equal_inputs_give_equal_bytes(pair: Path, tmp_path: Path) -> None:
    rendered(tmp_path)
    assert contents(tmp_path) == contents(pair)


def test_what_is_current_is_kept_and_what_is_no_longer_wanted_removed(tmp_path: Path) -> None:
    rendered(tmp_path, replace(SETTINGS, starts=2))
    before, first = times(tmp_path), contents(tmp_path)
    rendered(tmp_path, replace(SETTINGS, starts=2))
    assert times(tmp_path) == before
    rendered(tmp_path, replace(SETTINGS, starts=3, others=3))
    after = times(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2
    write_picture(tmp_path / "classes/class3.png", flat((1, 2, 3)), {})
    rendered(tmp_path, replace(SETTINGS, starts=2))
    assert contents(tmp_path) == first
    rendered(tmp_path, replace(SETTINGS, starts=2), Classifier(Colours(20.0).eval()))
    other = contents(tmp_path)
    assert all(other[name] != first[name] for name in ("output/start0.png", "output/start1.png", "classes/class5.png"))
    assert not (tmp_path / ".staging").exists()


def test_an_interrupted_run_goes_on(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = batch.render, []

    def watched(objectives, *args, **kwargs):  # type: ignore[no-untyped-def]
        made.append(len(objectives))
        return real(objectives, *args, **kwargs)

    def crash_after_two(*args, **kwargs):  # type: ignore[no-untyped-def]
        yield from itertools.islice(real(*args, **kwargs), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "render", crash_after_two)
    with pytest.raises(KeyboardInterrupt):
        rendered(tmp_path)
    monkeypatch.setattr(batch, "render", watched)
    rendered(tmp_path)
    assert made == [3, 1], "two of the five were finished before; then comes the class's"
    assert contents(tmp_path) == contents(pair)


class Mute(nn.Module):
    """Of 40 classes, of which a different one wins for each start: the tuned network permutes them by noise."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 12, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(48, 40)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(pictures))


def test_the_most_named_class_is_pictured_where_no_starts_agree(tmp_path: Path) -> None:
    base, tuned = (Classifier(Mute(seed).eval()) for seed in (0, 1))
    settings = DifferenceSettings(starts=4, others=3, recipe=Recipe(size=16, steps=1))
    render_difference(base, tuned, tmp_path, settings, "body.0", CPU)
    starts, classes = read_table(tmp_path / "starts.csv"), read_table(tmp_path / "classes.csv")
    of_starts = starts[starts["kind"] == "start"]
    counts = of_starts.loc[of_starts["tuned_class"] != of_starts["base_class"], "tuned_class"].value_counts()
    assert len(of_starts) == 4 == classes["of"].unique()
    assert dict(zip(classes["class"], classes["starts"], strict=True)) == counts.to_dict()
    assert classes["starts"].is_monotonic_decreasing
    np.testing.assert_allclose(classes["p_value"], [agreement_p_value(n, 4, 40) for n in classes["starts"]])
    agreed = classes.loc[classes["agreed"], "class"].tolist()[:3] or [classes["class"][0]]
    assert {file.name for file in (tmp_path / "classes").iterdir()} == {f"class{number}.png" for number in agreed}
    assert starts["tuned_name"].isna().all()
    channels = [(read_notes(file) or {})["channel"] for file in sorted(tmp_path.glob("output/other*.png"))]
    assert len(set(channels)) == 3
    assert set(channels) <= set(range(12))


def test_what_both_networks_name_is_no_difference(tmp_path: Path) -> None:
    """Networks that hardly differ call all pictures by one class, which is none that they disagree about."""
    base = Classifier(Mute(0).eval())
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        tuned.model.head.weight.mul_(1.000001)
    settings = DifferenceSettings(starts=4, others=1, recipe=Recipe(size=16, steps=2))
    assert render_difference(base, tuned, tmp_path, settings, "body.0", CPU) is None
    starts = read_table(tmp_path / "starts.csv")
    assert (starts["tuned_class"] == starts["base_class"]).all()
    assert starts["kind"].tolist() == ["start"] * 4
    assert read_table(tmp_path / "classes.csv").empty
    assert not [*(tmp_path / "classes").iterdir()]


def test_networks_that_cannot_be_compared_leave_empty_tables_and_folders(pair: Path, tmp_path: Path) -> None:
    rendered(tmp_path)
    reason = rendered(tmp_path, tuned=Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())))
    assert reason == "the base has 6 classes and the tuned network 3"
    assert not [*(tmp_path / "output").iterdir(), *(tmp_path / "classes").iterdir()]
    tables = (("candidates", CANDIDATE_COLUMNS), ("starts", COLUMNS), ("classes", CLASS_COLUMNS))
    for name, columns in tables:
        table = read_table(tmp_path / f"{name}.csv")
        assert list(table) == list(columns)
        assert table.empty


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    for wrong in ({"starts": 0}, {"others": -1}):
        with pytest.raises(InputError, match="at least 1 start and 0 others"):
            DifferenceSettings(**wrong)
    with pytest.raises(InputError, match="nowhere"):
        render_difference(*networks(), tmp_path, SETTINGS, "nowhere", CPU)
