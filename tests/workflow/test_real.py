"""The whole workflow on real weights and photographs: the experiment of benchmarks/real.py, smaller."""

from pathlib import Path

import pandas as pd
import pytest
import real

from featurediff.runtime.tables import read_table
from workflow.conftest import Experiment

CHANNELS = 16
TUNED = ("dogs", "cars")

pytestmark = [pytest.mark.long, pytest.mark.shared_data]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Of a ResNet-50 that learned from 1,360 dogs and 1,124 cars for two epochs."""
    folder = tmp_path_factory.mktemp("real")
    config = real.experiment(
        shared_data, channels=list(range(CHANNELS)), size=64, steps=32, seeds=1, pixels=80, epochs=2
    )
    Experiment(folder, config | {"threads": 1, "gpu": 0}).run()  # two jobs side by side
    return folder / "results"


def test_it_learned_and_no_picture_is_grey_and_every_table_is_whole(results: Path) -> None:
    # One test, so that one process makes the run.
    learned = real.accuracies(results, list(TUNED))
    assert learned.loc["dogs", "accuracy"] > learned.loc["dogs", "chance"] + 0.15
    assert learned.loc["cars", "accuracy"] > learned.loc["cars", "chance"] + 0.03

    assert read_table(results / "failed_pictures.csv").empty
    for network in ("base", *TUNED):
        pictures = read_table(results / network / "pictures" / "layer4.2.csv")
        assert len(pictures) == CHANNELS
        assert (pictures["activation_reached"] > pictures["activation_start"]).all()

    for network in TUNED:
        tables = {
            layer: read_table(results / "compare" / network / f"{layer}.csv") for layer in ("layer3.5", "layer4.2")
        }
        frozen, tuned = tables.values()
        assert frozen["frozen"].all()
        assert (frozen[["cosine", "correlation"]] == 1).all(axis=None)
        assert tuned["channel"].tolist() == list(range(CHANNELS))
        assert (tuned["cosine"] < 1).all()
        assert (tuned["correlation"] < 1).all()
        assert (tuned["weight_change"] > 0).all()
        ranking = read_table(results / "compare" / network / "ranking.csv")
        assert len(ranking) == CHANNELS + 2
        top = read_table(results / "compare" / network / "probe" / "top_images.csv")
        assert set(top["channel"]) >= set(range(CHANNELS))
        assert len(list((results / "compare" / network / "layer4.2" / "most_different").glob("*.png"))) == 10

    page = results / "report"
    assert (page / "index.html").stat().st_size > 0
    assert all((page / "thumbs" / network).is_dir() for network in ("base", *TUNED))
    summary = pd.concat(read_table(results / "compare" / network / "summary.csv") for network in TUNED)
    assert set(summary["layer"]) == {"layer3.5", "layer4.2", "all"}
