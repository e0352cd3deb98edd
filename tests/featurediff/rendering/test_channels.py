"""Channels as they are written, and where their pictures lie."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_vis.errors import InputError
from featurediff.rendering.channels import number_ranges, parse_channels, ranges_text
from featurediff.rendering.paths import picture_paths


def test_channels() -> None:
    specs = [3, "3", "0-2", [5, "1-2", 1], "all", "1,4-5"]
    expected = [[3], [3], [0, 1, 2], [1, 2, 5], list(range(8)), [1, 4, 5]]
    assert [parse_channels(spec, 8) for spec in specs] == expected


@pytest.mark.parametrize("spec", ["x", "3-1", "-1", "1-", "8", [1, "7-9"], "1.5", "²", "1" * 5000, "", "all"])
@pytest.mark.parametrize("count", [8, None])
def test_channels_that_cannot_be(spec: Any, count: int | None) -> None:
    if spec not in (["8", [1, "7-9"]] if count is None else ["all"]):
        with pytest.raises(InputError):
            parse_channels(spec, count)


@pytest.mark.parametrize("spec", ["0-999999999999999999", ["0-3", "7-999999999999999999"]])
def test_a_range_without_end_is_not_counted_out(spec: Any) -> None:
    with pytest.raises(InputError, match="there is no channel 8, 9, 10, 11, 12, …: the layer has 8, 0 to 7"):
        parse_channels(spec, 8)
    with pytest.raises(InputError, match="no layer has so many"):
        parse_channels(spec, None)


@given(st.sets(st.integers(0, 40)))
def test_ranges_are_short_and_read_back(channels: set[int]) -> None:
    assert not channels or parse_channels(ranges_text(channels), None) == sorted(channels)
    assert number_ranges([8, 0, 1, 2, 5, 7]) == [[0, 2], [5, 5], [7, 8]]
    assert ranges_text([0, 1, 2, 5, 7, 8], ", ") == "0-2, 5, 7-8"
    assert ranges_text([]) == ""


def test_pictures_of_the_first_seed_lie_in_the_layers_folder() -> None:
    expected = [f"f/{{layer}}/{seed}channel{channel}.png" for seed in ("", "seed2/") for channel in (3, 1)]
    assert picture_paths("f/{layer}", [3, 1], [0, 2]) == expected
