"""`featurediff top`."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

Run = Callable[..., Result]


def rows(output: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(output)))


def test_the_planted_channel_is_the_most_changed(run: Run, made_results: Path, planted: int) -> None:
    result = run("top", "--network", "dogs", "-n", "3", "--results", made_results)
    assert result.exit_code == 0
    header, first, *rest = result.output.splitlines()
    assert header.split()[:3] == ["rank", "layer", "channel"]
    assert first.split()[:3] == ["1", "layer4.1", str(planted)]
    assert len(rest) == 2


@pytest.mark.parametrize(
    ("by", "ascending"), [("visual_change", False), ("paired_similarity", True), ("q_excess", True)]
)
def test_sorted_as_pandas_sorts(run: Run, by: str, ascending: bool, made_results: Path) -> None:
    output = run("top", "--network", "dogs", "--by", by, "-n", "99", "--csv", "--results", made_results).output
    ranking = pd.read_csv(made_results / "compare" / "dogs" / "ranking.csv")
    expected = ranking.sort_values(by, ascending=ascending, kind="stable")
    assert [(row["layer"], int(row["channel"])) for row in rows(output)] == [
        *expected[["layer", "channel"]].itertuples(index=False, name=None)
    ]


def test_csv_has_every_column_as_it_stands_of_all_layers_or_of_one(run: Run, made_results: Path) -> None:
    output = run("top", "--network", "dogs", "-n", "28", "--csv", "--results", made_results).output
    assert output == (made_results / "compare" / "dogs" / "ranking.csv").read_text()
    output = run("top", "--network", "cars", "--layer", "layer3.1", "--csv", "--results", made_results).output
    assert {row["layer"] for row in rows(output)} == {"layer3.1"}
    assert len(rows(output)) == 14


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
def test_mistakes(run: Run, arguments: list[str], message: str, made_results: Path) -> None:
    result = run("top", *arguments, "--results", made_results)
    assert result.exit_code == 1
    assert message in result.stderr


def test_no_ranking_yet(run: Run, made_results: Path, tmp_path: Path) -> None:
    table = tmp_path / "compare" / "dogs" / "layer4.1.csv"
    table.parent.mkdir(parents=True)
    table.write_bytes((made_results / "compare" / "dogs" / "layer4.1.csv").read_bytes())
    result = run("top", "--results", tmp_path)
    assert result.exit_code == 1
    assert "dogs has no ranking yet" in result.stderr
