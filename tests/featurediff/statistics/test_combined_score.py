"""The joined statistic against cases with a known answer."""

import numpy as np
import pandas as pd
import pytest

from featurediff.statistics.combined_score import COLUMNS, PARTS, join_scores
from featurediff.statistics.empirical_null import fit_bulk
from featurediff.statistics.multiple_testing import q_values


def layer(rng: np.random.Generator, channels: int = 60, planted: int = 0, size: float = 2.0) -> pd.DataFrame:
    """Parts that each show the planted channels, the first, `size` spreads above the others, and share noise."""
    shared = rng.normal(size=channels)
    above = size * (np.arange(channels) < planted)

    def part() -> np.ndarray:
        return 0.6 * shared + 0.8 * rng.normal(size=channels) + above

    return pd.DataFrame(
        {
            "excess": part(),
            "response_excess": part(),
            "correlation": 1 - 0.01 * np.exp(0.4 * part()),
            "weight_change": 0.05 * np.exp(0.2 * part()),
        }
    )


def test_it_is_the_standardised_mean_of_the_standardised_parts() -> None:
    table = layer(np.random.default_rng(0))
    found = join_scores(table)
    distances = np.log(1 - table["correlation"]), np.log(table["weight_change"])
    parts = [table["excess"], table["response_excess"], *(fit_bulk(d.to_numpy()).score(d) for d in distances)]
    mean = np.mean(parts, 0)
    middle = np.median(mean)
    scale = 1.4826 * np.median(middle - mean[mean < middle])
    assert found["joined"].to_numpy() == pytest.approx((mean - middle) / scale)
    assert set(found["joined_parts"]) == {" + ".join(PARTS)}
    assert set(found["joined_reason"]) == {""}
    assert set(found) - set(table) == set(COLUMNS)


def test_units_decide_nothing() -> None:
    table = layer(np.random.default_rng(1))
    scaled = table.assign(weight_change=7 * table["weight_change"], correlation=1 - (1 - table["correlation"]) / 9)
    pd.testing.assert_series_equal(join_scores(scaled)["joined"], join_scores(table)["joined"])


def test_joined_sees_what_no_part_sees_alone() -> None:
    tables = [join_scores(layer(np.random.default_rng(run), 200, planted=20, size=4)) for run in range(10)]

    def found(column: str) -> float:
        return float(np.mean([(q_values(table[column].to_numpy())[:20] <= 0.05).mean() for table in tables]))

    alone = [join_scores(layer(np.random.default_rng(run), 200, planted=20, size=4)[["excess"]]) for run in range(10)]
    power_alone = np.mean([(q_values(table["p_joined"].to_numpy())[:20] <= 0.05).mean() for table in alone])
    assert found("p_joined") > power_alone + 0.2


def test_without_change_nothing_is_found() -> None:
    tables = [join_scores(layer(np.random.default_rng(run))) for run in range(200)]
    assert np.mean([(q_values(table["p_joined"].to_numpy()) <= 0.05).any() for table in tables]) <= 0.06
    assert (
        0.01 <= (pd.concat(tables)["p_joined"] <= 0.05).mean() <= 0.05
    )  # cautious: see `featurediff.statistics.empirical_null.TAIL`


def test_a_part_that_the_layer_lacks_is_left_out_and_said() -> None:
    table = layer(np.random.default_rng(2))
    without = join_scores(table.assign(correlation=np.nan))
    assert without["joined"].notna().all()
    assert set(without["joined_parts"]) == {"excess + response_excess + weight_change"}
    pd.testing.assert_series_equal(without["joined"], join_scores(table.drop(columns="correlation"))["joined"])


def test_a_part_that_one_channel_lacks_leaves_it_empty_with_a_reason() -> None:
    table = layer(np.random.default_rng(3))
    table.loc[4, ["excess", "correlation"]] = np.nan
    found = join_scores(table)
    assert found.loc[4, ["joined", "p_joined"]].isna().all()
    assert found.loc[4, "joined_reason"] == "no excess, correlation"
    assert found.drop(index=4)["joined"].notna().all()


def test_what_cannot_be_joined_has_a_reason() -> None:
    frozen = layer(np.random.default_rng(4)).assign(
        excess=np.nan, response_excess=np.nan, correlation=1.0, weight_change=0.0
    )
    found = join_scores(frozen)
    assert found["joined"].isna().all()
    assert set(found["joined_reason"]) == {"the layer has none of its parts"}
    few = join_scores(layer(np.random.default_rng(5), 9))
    assert few["joined"].isna().all()
    assert (few["joined_reason"] != "").all()
    assert len(join_scores(layer(np.random.default_rng(0), 0))) == 0
