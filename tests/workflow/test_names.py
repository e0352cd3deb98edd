"""What data are called: harmless wherever it is written, and the same to all that read it."""

import csv
import json
import re

import pandas as pd
import torch

from featurediff.data.split import read_split
from featurediff.runtime.tables import read_table
from workflow.conftest import NASTY_CLASSES, Experiment


def test_no_table_has_a_cell_that_a_spreadsheet_would_run(finished: Experiment) -> None:
    tables = sorted((finished.folder / "results").rglob("*.csv"))
    assert len(tables) > 15
    named = 0
    for file in tables:
        with file.open(encoding="utf-8", newline="") as text:
            cells = [cell for row in csv.reader(text) for cell in row]
        found = [cell for cell in cells if re.match(r"[=+@\t\r]|-(?![0-9.]|inf$)", cell)]  # a number may be negative
        assert found == [], file
        named += any(cell.startswith("'=cmd") for cell in cells)
    assert named >= 3  # the split, the probe images, the classes that units answer to


def test_every_step_knows_the_classes_by_their_names(finished: Experiment) -> None:
    results = finished.folder / "results"
    assert set(read_split(results / "data/second/split.csv")["label"]) == set(NASTY_CLASSES)
    network = torch.load(results / "dogs/network.pth", weights_only=True)
    assert network["class_names"] == sorted(NASTY_CLASSES)
    images = read_table(results / "compare/dogs/probe/images.csv")
    assert set(NASTY_CLASSES) <= set(images["class_name"])
    assert all(
        (finished.folder / "pictures/second" / path).is_file() for path in images[images["data"] == "second"]["path"]
    )
    selectivity = read_table(results / "compare/dogs/probe/selectivity.csv")
    assert set(selectivity["class_tuned"].dropna()) & set(NASTY_CLASSES)
    run = (results / "report/data/run.js").read_text(encoding="utf-8")
    assert json.dumps(NASTY_CLASSES[0]) in run


def test_nothing_that_is_called_was_run(finished: Experiment) -> None:
    assert not list(finished.folder.rglob("pwned"))
    for file in sorted((finished.folder / "results/report").rglob("*.*")):
        if file.suffix in (".html", ".js") and file.name != "vega.js":
            assert "<img src=x" not in file.read_text(encoding="utf-8"), file


def test_a_parquet_table_has_names_as_they_are(finished: Experiment) -> None:
    tables = [pd.read_parquet(file) for file in sorted((finished.folder / "results").rglob("*.parquet"))]
    assert tables
    assert not any(str(value).startswith("'") for table in tables for value in table.to_numpy().ravel())
