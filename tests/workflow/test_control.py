"""Another run of a fine-tuning as control: the rule that compares the two, for real."""

import numpy as np
import pandas as pd
import yaml

from workflow.conftest import Experiment


def test_two_runs_are_compared(experiment: Experiment) -> None:
    networks = experiment.config["networks"]
    networks["cars"] |= {"training": {**networks["dogs"]["training"], "seed": 1}, "control_of": "dogs"}
    # the other rules would train again, now with this seed: here the networks that are there will do
    experiment.run("results/compare/cars/control.csv", "--allowed-rules", "compare_runs")
    results = experiment.folder / "results/compare"
    table = pd.read_csv(results / "cars/control.csv")
    assert table[["network", "control"]].drop_duplicates().to_numpy().tolist() == [["dogs", "cars"]]
    assert set(yaml.safe_load((results / "cars/control_columns.yaml").read_text())) == set(table)
    rows = table.set_index(["layer", "measure"])
    for column, name in (("median_network", "dogs"), ("median_control", "cars")):
        ranking = pd.read_csv(results / name / "ranking.csv")
        expected = ranking.loc[ranking["layer"] == "layer4.1", "weight_cosine"].median()
        assert np.isclose(rows.loc[("layer4.1", "weight_cosine"), column], expected)
    assert rows.loc[("layer3.1", "weight_cosine"), "median_between"] == 1
    assert rows.loc[("layer4.1", "weight_cosine"), "median_between"] < 1
    assert (rows["reason"] != "").all(), "two channels are too few for a rank correlation"
