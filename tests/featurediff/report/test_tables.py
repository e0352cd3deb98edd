"""Tables in the page's order, and values as JSON has them."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_vis.errors import InputError
from featurediff.report.tables import column_meanings, json_value, network_table, picture_table

PICTURES = {"0": [[0, 0.1, 2.0, 8, []], [1, 0.1, 9.0, 8, []]], "7": [[0, 0.2, 3.0, 8, []]]}
NOTES = {
    "layer4.1": {"channels": [0, 7], "pictures": PICTURES},
    "layer3.0": {"channels": [5], "pictures": {"5": [[0, 0.3, 4.0, 8, []]]}},
}
ROWS = [("dogs", "layer4.1", 7, 0), ("dogs", "layer4.1", 7, 1), ("base", "layer4.1", 0, 0)]
FAILED = pd.DataFrame(ROWS, columns=["network", "layer", "channel", "seed"])


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A ranking, most changed first, and the tables of its layers."""
    ranking = pd.DataFrame({"network": "dogs", "layer": ["layer3.0", "layer4.1", "layer4.1"], "channel": [5, 7, 0]})
    ranking.assign(q_excess=[0.01, 0.2, None], rank=[1, 2, None]).to_csv(tmp_path / "ranking.csv", index=False)
    for layer, rows in ranking.groupby("layer"):
        rows.assign(cosine=rows["channel"] / 10, rank=9).to_csv(tmp_path / f"{layer}.csv", index=False)
    return tmp_path / "ranking.csv", [tmp_path / "layer4.1.csv", tmp_path / "layer3.0.csv"]


def test_rows_stand_in_the_order_of_layers_and_channels(written: tuple[Path, list[Path]]) -> None:
    table = network_table(picture_table(NOTES, FAILED, "dogs"), *written)
    assert table[["layer", "channel"]].values.tolist() == [["layer4.1", 0], ["layer4.1", 7], ["layer3.0", 5]]
    assert table["rank"].tolist()[1:] == [2, 1]  # the ranking's, not the layer's
    assert math.isnan(table["rank"].iloc[0])
    assert table["cosine"].tolist() == [0, 0.7, 0.5]
    assert table["activation_reached"].tolist() == [2.0, 3.0, 4.0]  # of the first seed
    assert table["failed"].tolist() == [0, 2, 0]
    pictures = NOTES["layer3.0"]["pictures"] | {"6": [[0, 0, 1, 8, []]]}
    more = {**NOTES, "layer3.0": {"channels": [5, 6], "pictures": pictures}}
    with pytest.raises(InputError, match=r"no channel 6 of layer3\.0"):
        network_table(picture_table(more, FAILED, "dogs"), *written)


def test_a_meaning_may_be_a_patterns(tmp_path: Path) -> None:
    columns = tmp_path / "columns.yaml"
    columns.write_text("gram_<block>: {unit: '', meaning: a distance}\nrank: {unit: '', meaning: a place}\n")
    found = column_meanings([columns], ["gram_layer1.0", "rank", "failed", "other"])
    assert found["gram_layer1.0"]["meaning"] == "a distance"
    assert found["rank"]["meaning"] == "a place"
    assert found["failed"]["unit"] == "pictures"
    assert found["other"] == {"unit": "", "meaning": ""}
    columns.write_text("")
    with pytest.raises(InputError, match=r"columns\.yaml .*delete it and run again"):
        column_meanings([columns], ["rank"])


def test_values_are_what_json_has() -> None:
    values = [np.float64(1 / 3), 2.0, np.int64(7), np.bool_(True), float("nan"), float("inf"), None, pd.NA, "a", 1e-20]
    assert [json_value(value) for value in values] == [0.333333, 2, 7, True, None, None, None, None, "a", 1e-20]
    json.dumps([json_value(value) for value in values], allow_nan=False)
