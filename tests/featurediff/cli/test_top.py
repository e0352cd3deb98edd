"""`featurediff top`."""

import csv
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture
def top(run, made_results: Path):
    return lambda *arguments, status=0: run("top", *arguments, "--results", made_results, status=status)


def test_the_planted_channel_is_the_most_changed(top, planted: int) -> None:
    header, first, *rest = top("--network", "dogs", "-n", "3").output.splitlines()
    assert header.split()[:3] == ["rank", "layer", "channel"]
    assert first.split()[:3] == ["1", "layer4.1", str(planted)]
    assert len(rest) == 2


@pytest.mark.parametrize(
    ("by", "ascending"), [("visual_change", False), ("paired_similarity", True), ("q_excess", True)]
)
def test_sorted_as_pandas_sorts(top, by: str, ascending: bool, made_results: Path) -> None:
    output = top("--network", "dogs", "--by", by, "-n", "99", "--csv").output
    ranking = pd.read_csv(made_results / "compare" / "dogs" / "ranking.csv")
    expected = ranking.sort_values(by, ascending=ascending, kind="stable")
    found = [(row["layer"], int(row["channel"])) for row in csv.DictReader(output.splitlines())]
    assert found == list(expected[["layer", "channel"]].itertuples(index=False, name=None))


def test_csv_has_every_column_as_it_stands_of_all_layers_or_of_one(top, made_results: Path) -> None:
    output = top("--network", "dogs", "-n", "28", "--csv").output
    assert output == (made_results / "compare" / "dogs" / "ranking.csv").read_text()
    rows = list(csv.DictReader(top("--network", "cars", "--layer", "layer3.1", "--csv").output.splitlines()))
    assert [row["layer"] for row in rows] == ["layer3.1"] * 14


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a network by --network: there are cars, dogs"),
        (["--network", "dgs"], "close names: dogs"),
        (["--network", "zzz"], "there are: cars, dogs"),
        (["--network", "dogs", "--layer", "layer4.7"], "close names: layer4.1"),
        (["--network", "dogs", "--by", "exces"], "close names: excess"),
        (["--network", "dogs", "--by", "reason"], "cannot be sorted by 'reason'"),
    ],
)
def test_mistakes(top, arguments: list[str], message: str) -> None:
    assert message in top(*arguments, status=1).stderr


def test_no_ranking_yet(run, unranked: Path) -> None:
    assert "dogs has no ranking yet" in run("top", "--results", unranked, status=1).stderr
