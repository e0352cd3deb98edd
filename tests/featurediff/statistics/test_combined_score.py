"""The combined number against cases with a known answer."""

import numpy as np
import pandas as pd
import pytest

from featurediff.statistics.combined_score import COLUMNS, PARTS, add_combined_score
from featurediff.statistics.empirical_null import fit_null
from featurediff.statistics.multiple_testing import q_values


def layer(rng: np.random.Generator, channels: int = 60, planted: int = 0, size: float = 2.0) -> pd.DataFrame:
    """Parts that each show the planted channels, the first, `size` spreads above the others, and share noise."""
    shared = 0.6 * rng.normal(size=channels) + size * (np.arange(channels) < planted)
    parts = shared + 0.8 * rng.normal(size=(4, channels))
    table = pd.DataFrame({"excess": parts[0], "response_excess": parts[1]})
    return table.assign(correlation=1 - 0.01 * np.exp(0.4 * parts[2]), weight_change=0.05 * np.exp(0.2 * parts[3]))


def test_it_is_the_standardised_mean_of_the_standardised_parts() -> None:
    table = layer(np.random.default_rng(0))
    found = add_combined_score(table)
    distances = np.log(1 - table["correlation"]), np.log(table["weight_change"])
    parts = [table["excess"], table["response_excess"], *(fit_null(d.to_numpy()).score(d) for d in distances)]
    mean = np.mean(parts, 0)
    middle = np.median(mean)
    scale = 1.4826 * np.median(middle - mean[mean < middle])
    assert found["combined"].to_numpy() == pytest.approx((mean - middle) / scale)
    assert set(found["combined_parts"]) == {" + ".join(PARTS)}
    assert set(found["combined_reason"]) == {""}
    assert set(found) - set(table) == set(COLUMNS)


def test_it_sees_what_no_part_sees_alone() -> None:
    tables = [layer(np.random.default_rng(run), 200, planted=20, size=4) for run in range(10)]

    def power(columns: list[str]) -> float:
        p = [add_combined_score(table[columns])["p_combined"].to_numpy() for table in tables]
        return float(np.mean([(q_values(each)[:20] <= 0.05).mean() for each in p]))

    assert power(list(tables[0])) > power(["excess"]) + 0.2


def test_without_change_nothing_is_found() -> None:
    tables = [add_combined_score(layer(np.random.default_rng(run))) for run in range(200)]
    assert np.mean([(q_values(table["p_combined"].to_numpy()) <= 0.05).any() for table in tables]) <= 0.06
    assert 0.01 <= (pd.concat(tables)["p_combined"] <= 0.05).mean() <= 0.05  # cautious: see `empirical_null.TAIL`


def test_a_part_that_the_layer_lacks_is_left_out_and_said() -> None:
    table = layer(np.random.default_rng(2))
    without = add_combined_score(table.assign(correlation=np.nan))
    assert without["combined"].notna().all()
    assert set(without["combined_parts"]) == {"excess + response_excess + weight_change"}
    half = table.assign(correlation=np.where(table.index < 31, 1.0, table["correlation"]))  # exactly unchanged
    dropped = add_combined_score(table.drop(columns="correlation"))["combined"]
    for found in (without, add_combined_score(half)):
        pd.testing.assert_series_equal(found["combined"], dropped)


def test_what_cannot_be_combined_has_a_reason() -> None:
    table = layer(np.random.default_rng(3))
    table.loc[4, ["excess", "correlation"]] = np.nan
    found = add_combined_score(table)
    assert found.loc[4, ["combined", "p_combined"]].isna().all()
    assert found.loc[4, "combined_reason"] == "no excess, correlation"
    assert found.drop(index=4)["combined"].notna().all()
    nothing = {"excess": np.nan, "response_excess": np.nan, "correlation": 1.0, "weight_change": 0.0}
    found = add_combined_score(table.assign(**nothing))
    assert found["combined"].isna().all()
    assert set(found["combined_reason"]) == {"the layer has none of its parts"}
    few = add_combined_score(layer(np.random.default_rng(5), 9))
    assert few["combined"].isna().all()
    assert (few["combined_reason"] != "").all()
    assert len(add_combined_score(table.head(0))) == 0
