"""A small form of the proof: planted channels are found among drifting ones, and in drift alone nothing is."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import planted as proof
import pytest
import torch
from planting import UNCHANGED, draw_changes, drifted, planted

from feature_vis.networks.models import build
from feature_vis.recipe import Recipe
from featurediff.measures.embedder import Embedder

LAYER, FROM, SIZE = "layer2.0", "layer2.0", (32, 32)  # no shortcut without weights: the filters make the channel
CHANGES = draw_changes(128, 5, 20, 0)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> proof.Setting:
    """A network that nobody trained: its filters are as unlike as any."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build("resnet18", classes=8)
        photos = torch.randn(24, 3, *SIZE)
    cache = tmp_path_factory.mktemp("pictures")
    return proof.Setting(LAYER, Recipe(size=32, steps=8), Embedder(model, blocks=[]), photos=photos, cache=cache)


@pytest.fixture(scope="module")
def base(setting: proof.Setting) -> proof.View:
    return proof.look(setting, setting.embedder.model, [change.channel for change in CHANGES], range(2))


@pytest.fixture(scope="module")
def tables(setting: proof.Setting, base: proof.View) -> dict[str, pd.DataFrame]:
    """At a noise of 5 %, with two seeds."""
    tuned = drifted(planted(base.model, LAYER, CHANGES, SIZE), FROM, 0.05, 0)
    view = proof.look(setting, tuned, base.channels.tolist(), range(2))
    pair = proof.pair_up(setting, base, view)
    return proof.study(setting, pair, proof.unpaired_similarity(base, view), CHANGES, 2)


def test_planted_channels_are_told_from_drifting_ones_and_alone(tables: dict[str, pd.DataFrame]) -> None:
    for kind, least in {"replaced": 0.99, "half": 0.95, "quarter": 0.85}.items():
        assert tables[kind]["kind"].value_counts().to_dict() == {UNCHANGED: 20, kind: 5}
        assert proof.measure_auc(tables[kind], "picture_correlation")[0] >= least
    known = tables["half"].dropna(subset="combined")  # two channels answer to none of the photographs
    assert len(known) == 23
    assert proof.measure_auc(known, "combined")[0] >= 0.99
    original = proof.measure_auc(tables["half"], "original's recipe: one unpaired picture")[0]
    assert original < proof.measure_auc(tables["half"], "picture_correlation")[0]
    assert proof.discoveries(tables["replaced"])["response"] == (25, 0, 5)
    for test in ("response", "combined"):
        tested, false, right = proof.discoveries(tables[UNCHANGED])[test]
        assert tested >= 18  # a channel may answer to none of the photographs
        assert (false, right) == (0, 0)


def test_cases_without_change(setting: proof.Setting, base: proof.View, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"nulls": 1, "null_seeds": 2, "null_channels": 12, "response_nulls": 3, "seeds": 2}
    options = Namespace(**counts, noise=[0.1], train_from=FROM, seed=0, other_seeds=True)
    (drift, (of_drift,)), (_, of_answers), (same, (of_same,)) = proof.nulls(setting, base, CHANGES, options)
    assert "noise 10%" in drift
    assert "base against base" in same
    assert len(of_drift) == 12
    assert [proof.discoveries(table)["response"] for table in of_answers] == [(20, 0, 0)] * 3
    assert of_answers[0]["picture_correlation"].tolist() != of_answers[1]["picture_correlation"].tolist()
    assert len(of_same) == 20
    assert (of_same["weight_change"] == 0).all()
    assert of_same["picture_correlation"].min() == 1  # the pictures differ, the network does not
    assert proof.discoveries(of_same)["visual"][1] == 0
    monkeypatch.setattr(proof, "render", None)  # a second look renders nothing
    again = proof.look(setting, base.model, base.channels.tolist(), range(2))
    np.testing.assert_array_equal(again.pictures, base.pictures)


def test_what_is_printed(tables: dict[str, pd.DataFrame], capsys: pytest.CaptureFixture[str]) -> None:
    results = {0.05: {2: tables}}
    proof.show_auc(results)
    proof.show_curve(results)
    proof.show_discoveries([("half", [tables["half"]]), ("nothing", [tables[UNCHANGED]])])
    lines = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines()]
    rows = {cells[1]: cells for cells in lines if len(cells) > 3}
    assert rows["weight_change"][2] == "1.000 ± 0.000"
    assert "(" in rows["half"][5]
    assert "(" not in rows["nothing"][5]


@pytest.mark.shared_data
def test_photographs_are_spread_over_the_folder(shared_data: Path) -> None:
    photos = proof.photographs(shared_data / "imagenet_sample" / "train", 32, 5)
    assert photos.shape == (5, 3, 32, 32)
    assert len(torch.unique(photos, dim=0)) == 5
