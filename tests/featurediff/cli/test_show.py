"""`featurediff show`."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from featurediff.cli.results import ChannelId, Results
from featurediff.cli.show import describe, short, table

Run = Callable[..., Result]


def test_pictures_and_numbers_of_every_network(run: Run, made_results: Path, planted: int) -> None:
    result = run("show", f"layer4.1:{planted}", "--results", made_results)
    assert result.exit_code == 0
    for network in ("base", "cars", "dogs"):
        assert (
            str(made_results / network / "pictures" / "layer4.1" / "seed3" / f"channel{planted}.png") in result.output
        )
    assert f"rank1_channel{planted}.png" in result.output
    assert "dogs against base, rank 1 of 28" in result.output
    assert "unbiased MMD²" in result.output
    alone = run("show", "layer4.1:0", "--network", "dogs", "--results", made_results).output
    assert "dogs against base" in alone
    assert "cars" not in alone


def test_each_number_stands_with_its_floor_interval_and_tests(made_results: Path, planted: int) -> None:
    with (made_results / "compare" / "dogs" / "ranking.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if (row["layer"], row["channel"]) == ("layer4.1", str(planted)))
    lines, missing = describe(Results(made_results), ChannelId("layer4.1", planted), ["dogs"])
    assert missing == []
    similarity = next(line for line in lines if line.split()[:1] == ["paired_similarity"]).split()
    assert similarity[1:3] == [short(row["paired_similarity"]), short(row["floor"])]
    change = next(line for line in lines if line.split()[:1] == ["visual_change"])
    numbers = [short(row[name]) for name in ("visual_change", "visual_change_low", "visual_change_high")]
    assert change.split()[1:5] == [numbers[0], numbers[1], "to", numbers[2]]
    assert change.split()[5:7] == [short(row["p_visual"]), short(row["q_visual"])]
    assert not any(line.split()[:1] in (["p_visual"], ["visual_change_low"], ["floor"]) for line in lines)


def test_a_reason_is_said_and_an_empty_one_is_not(made_results: Path, planted: int) -> None:
    with (made_results / "compare" / "dogs" / "layer4.1.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["channel"] == str(planted))
    reasons = {name: text for name, text in row.items() if name.endswith("reason")}
    lines, _ = describe(Results(made_results), ChannelId("layer4.1", planted), ["dogs"])
    for name, text in reasons.items():
        assert (f"  {name}: {text}" in lines) is bool(text)
    assert not [line for line in lines if line.startswith("  layer: ")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layer4.1:14"], "layer4.1:14 was not rendered; rendered channels of layer4.1: 0-13"),
        (["layer4.2:1"], "no layer 'layer4.2'; close names: layer4.1"),
        (["layer4.1:1", "--network", "dosg"], "no network 'dosg'; close names: dogs"),
        (["layer4.1:1", "--network", "zzz"], "there are: base, cars, dogs"),
    ],
)
def test_what_is_not_there_ends_with_1_and_close_names(
    run: Run, arguments: list[str], message: str, made_results: Path
) -> None:
    result = run("show", *arguments, "--results", made_results)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stdout == ""


def test_what_cannot_be_parsed_is_a_usage_error(run: Run) -> None:
    assert run("show", "layer4.1").exit_code == 2
    assert run("show").exit_code == 2


def test_half_a_results_folder_shows_what_there_is(run: Run, made_results: Path, tmp_path: Path) -> None:
    half = tmp_path / "results"
    shutil.copytree(made_results, half)
    shutil.rmtree(half / "compare" / "cars")
    shutil.rmtree(half / "dogs" / "pictures")
    result = run("show", "layer4.1:1", "--results", half)
    assert result.exit_code == 0
    assert "dogs against" in result.stdout
    assert "no picture of layer4.1:1 in dogs" in result.stderr
    assert "`featurediff run` makes what is missing" in result.stderr


def test_open_takes_the_pair_or_the_first_picture(
    run: Run, made_results: Path, monkeypatch: pytest.MonkeyPatch, planted: int
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", lambda url: opened.append(url) or len(opened) - 1)
    assert run("show", f"layer4.1:{planted}", "--results", made_results, "--open").exit_code == 0
    assert opened[0].endswith(f"most_different/rank1_channel{planted}.png")
    result = run("show", "layer4.1:2", "--results", made_results, "--network", "cars", "--open")
    assert opened[1].endswith("cars/pictures/layer4.1/channel2.png")
    assert result.exit_code == 1  # the second launch failed
    assert "no viewer could be started" in result.stderr


def test_a_table_leaves_out_columns_without_numbers() -> None:
    lines = list(table([("", "value", "p", ""), ("a", "1", "", "words"), ("long", "22", "", "")]))
    assert lines == ["        value", "  a         1  words", "  long     22"]
