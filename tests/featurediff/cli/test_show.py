"""`featurediff show`."""

import csv
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from made_difference import REASON, SENTENCE, write_difference, write_no_difference

from featurediff.cli.results import ChannelId, Results
from featurediff.cli.show import describe, short, table


def test_pictures_and_numbers_of_every_network(run, made_results: Path, planted: int) -> None:
    output = run("show", f"layer4.1:{planted}", "--results", made_results).output
    for network in ("base", "cars", "dogs"):
        assert f"{made_results / network / 'pictures' / 'layer4.1' / 'seed3'}/channel{planted}.png" in output
    assert f"rank1_channel{planted}.png" in output
    assert "dogs against base, rank 1 of 28" in output
    assert "unbiased MMD²" in output
    alone = run("show", "layer4.1:0", "--network", "dogs", "--results", made_results).output
    assert "dogs against base" in alone
    assert "cars" not in alone


def test_each_number_stands_with_its_floor_interval_and_tests(made_results: Path, planted: int) -> None:
    channel = ChannelId("layer4.1", planted)
    with (made_results / "compare" / "dogs" / "ranking.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if (row["layer"], row["channel"]) == ("layer4.1", str(planted)))
    with (made_results / "compare" / "dogs" / "layer4.1.csv").open() as file:
        further = next(row for row in csv.DictReader(file) if row["channel"] == str(planted))
    lines, missing = describe(Results(made_results), channel, ["dogs"])
    assert missing == []
    first = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert first["paired_similarity"][1:3] == [short(row["paired_similarity"]), short(row["floor"])]
    value, low, high = (short(row[name]) for name in ("visual_change", "visual_change_low", "visual_change_high"))
    tests = [short(row["p_visual"]), short(row["q_visual"])]
    assert first["visual_change"][1:7] == [value, low, "to", high, *tests]
    assert not {"p_visual", "visual_change_low", "floor", "layer"} & set(first)
    # a reason is said, and an empty one is not
    for name, text in further.items():
        assert not name.endswith("reason") or (f"  {name}: {text}" in lines) is bool(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["layer4.1"], "is not a layer and a channel"),
        (["diference"], "is not a layer and a channel"),
        (["layer4.1:14"], "layer4.1:14 was not rendered; rendered channels of layer4.1: 0-13"),
        (["layer4.2:1"], "no layer 'layer4.2'; close names: layer4.1"),
        (["layer4.1:1", "--network", "dosg"], "no network 'dosg'; close names: dogs"),
        (["layer4.1:1", "--network", "zzz"], "there are: base, cars, dogs"),
    ],
)
def test_what_is_not_there(run, arguments: list[str], message: str, made_results: Path) -> None:
    result = run("show", *arguments, "--results", made_results, status=1 if ":" in str(arguments) else 2)
    assert (message in result.stderr, result.stdout) == (True, "")


def test_half_a_results_folder_shows_what_there_is(run, made_results: Path, tmp_path: Path) -> None:
    half = tmp_path / "results"
    shutil.copytree(made_results, half)
    shutil.rmtree(half / "compare" / "cars")
    shutil.rmtree(half / "dogs" / "pictures")
    result = run("show", "layer4.1:1", "--results", half)
    assert "dogs against" in result.stdout
    assert "no picture of layer4.1:1 in dogs" in result.stderr
    assert "no numbers of layer4.1:1 in cars" in result.stderr
    assert "`featurediff run` makes what is missing" in result.stderr


def test_open_takes_the_pair_or_the_first_picture(
    run, made_results: Path, monkeypatch: pytest.MonkeyPatch, planted: int
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", lambda url: opened.append(url) or len(opened) - 1)
    run("show", f"layer4.1:{planted}", "--results", made_results, "--open")
    assert opened[0].endswith(f"most_different/rank1_channel{planted}.png")
    # the second launch fails
    result = run("show", "layer4.1:2", "--results", made_results, "--network", "cars", "--open", status=1)
    assert opened[1].endswith("cars/pictures/layer4.1/channel2.png")
    assert "no viewer could be started" in result.stderr


def test_a_table_leaves_out_columns_without_numbers() -> None:
    lines = list(table([("", "value", "p", ""), ("a", "1", "", "words"), ("long", "22", "", "")]))
    assert lines == ["        value", "  a         1  words", "  long     22"]


@pytest.fixture
def differing(made_results: Path, tmp_path: Path) -> Path:
    """Results with what dogs and the base disagree about; cars cannot be compared."""
    results = tmp_path / "results"
    shutil.copytree(made_results, results)
    write_difference(results / "dogs" / "difference", lambda number: np.full((4, 4, 3), number, np.uint8))
    write_no_difference(results / "cars" / "difference")
    return results


def test_the_difference_of_every_network(run, differing: Path) -> None:
    output = run("show", "difference", "--results", differing).output
    assert output.index("cars against base") < output.index(REASON) < output.index("dogs against base")
    assert SENTENCE in output
    words = {line.split()[0]: line.split() for line in output.splitlines() if line.strip()}
    picture = differing / "dogs" / "difference" / "output" / "start0.png"
    assert words[str(picture)][1:] == ["5", "beagle", "0.9", "pug", "0.4"]
    assert words[str(picture.with_name("start7.png"))][1:] == ["4.3", "class", "3", "0.55", "pug", "0.75"]
    blended, pasted = (line for line in output.splitlines() if line.strip().startswith("class 1, "))
    assert "45 % (40 to 50)" in blended
    assert blended.endswith("0 % (0 to 2)  more than other pictures")
    assert pasted.endswith("not clearly more than other pictures")
    alone = run("show", "difference", "--network", "cars", "--results", differing).output
    assert (REASON in alone, "dogs" in alone) == (True, False)


def test_the_first_picture_of_the_difference_is_opened(run, differing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", lambda url: opened.append(url) or 0)
    run("show", "difference", "--results", differing, "--open")
    assert opened == [str(differing / "dogs" / "difference" / "output" / "start0.png")]
    result = run("show", "difference", "--network", "cars", "--results", differing, "--open", status=1)
    assert "there is no picture of a difference" in result.stderr


def test_where_there_is_no_difference(run, made_results: Path, differing: Path) -> None:
    result = run("show", "difference", "--results", made_results, status=1)
    assert (
        "has no difference yet: `featurediff run` makes it, unless the config says difference: {starts: 0}"
        in result.stderr
    )
    result = run("show", "difference", "--network", "dosg", "--results", differing, status=1)
    assert "no difference of a network 'dosg'; close names: dogs" in result.stderr
    (differing / "cars" / "difference" / "summary.json").write_text("{")
    assert "summary.json cannot be read" in run("show", "difference", "--results", differing, status=1).stderr
