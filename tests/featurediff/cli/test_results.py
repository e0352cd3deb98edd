"""Reading a results folder, whole, half made, or spoilt."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_vis.errors import InputError
from feature_vis.files import write_text
from featurediff.cli.results import ChannelId, Results, parse_channel_id

part = st.text("abcXYZ019_", min_size=1, max_size=12)
names = st.lists(part, min_size=1, max_size=5).map(".".join)


@given(names, st.integers(0, 999_999_999))
def test_a_channel_is_read_as_it_is_written(layer: str, channel: int) -> None:
    assert parse_channel_id(str(ChannelId(layer, channel))) == ChannelId(layer, channel)


@given(st.text(max_size=40))
def test_anything_else_is_refused_and_leads_to_no_file(text: str) -> None:
    try:
        channel = parse_channel_id(text)
    except InputError:
        return
    assert not set(channel.layer) & set("/\\:\0 \n")
    assert ".." not in channel.layer
    assert str(channel.number).isdigit()


def test_what_is_no_channel() -> None:
    for text in ("", "layer4", "layer4:", ":3", "layer4:-1", "a/b:1", "..:1", "a..b:1", "l:1e3", "l:١"):
        with pytest.raises(InputError, match=r"layer4\.2:1276"):
            parse_channel_id(text)


def test_networks_layers_and_pictures_by_seed(made_results: Path, tmp_path: Path) -> None:
    results = Results(made_results)
    assert (results.base, results.tuned) == ("base", ["cars", "dogs"])
    assert results.layers() == ["layer3.1", "layer4.1"]
    pictures = results.pictures("dogs", ChannelId("layer4.1", 3))
    folder = made_results / "dogs" / "pictures" / "layer4.1"
    assert pictures == [folder / "channel3.png", *(folder / f"seed{seed}" / "channel3.png" for seed in (1, 2, 3))]
    for seed in (10, 2, 1):
        write_text(tmp_path / "base" / "pictures" / "l" / f"seed{seed}" / "channel0.png", "")
    found = Results(tmp_path).pictures("base", ChannelId("l", 0))
    assert [path.parent.name for path in found] == ["seed1", "seed2", "seed10"]


def test_no_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run the workflow first"):
        Results(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no pictures"):
        Results(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "layer,channel\n", "layer,channel\nlayer4.1\n", "layer,channel\nl,x\n", "layer,channel\nl,1,2\n", "\0"]
)
def test_a_table_that_is_not_whole_names_its_file(text: str, tmp_path: Path) -> None:
    write_text(tmp_path / "compare" / "dogs" / "ranking.csv", text)
    with pytest.raises(InputError, match=r"ranking\.csv is not a whole table"):
        Results(tmp_path).rows("dogs")


def test_the_layers_table_serves_until_there_is_a_ranking(unranked: Path) -> None:
    row = Results(unranked).row("dogs", ChannelId("layer4.1", 5))
    assert row is not None
    assert (row["cosine"], row.get("rank", "")) == ("0.5", "")
