"""How differently two networks answer on photographs: against NumPy, on photographs of one colour each."""

from pathlib import Path

import numpy as np
import pytest
import torch
from colour_networks import NAMES, drawn_colours, networks, outputs_by_hand, photographs_of
from scipy import special, stats

from feature_vis.errors import InputError
from featurediff.difference.answers import Classifier
from featurediff.difference.photographs import (
    COLUMNS,
    FLIP_COLUMNS,
    Photographs,
    measure_photographs,
    read_photographs,
)
from featurediff.runtime.tables import read_table

CPU = torch.device("cpu")


def of_colours(colours: np.ndarray, size: int = 20) -> Photographs:
    pixels = torch.from_numpy(colours)[:, :, None, None].expand(-1, -1, size, size)
    return Photographs(tuple(f"plain/{number}" for number in range(len(colours))), pixels)


def test_photographs_are_read_evenly_spread_from_all_data_sets(tmp_path: Path) -> None:
    colours = drawn_colours(12)
    first, second = (photographs_of(tmp_path / name, part) for name, part in (("a", colours[:8]), ("b", colours[8:])))
    splits, roots = first[0] + second[0], {"a": first[1]["plain"], "b": second[1]["plain"]}
    found = read_photographs(splits, roots, size=16, resize=None)
    assert found.names == tuple(f"{data}/{n:03}.png" for data, count in (("a", 8), ("b", 4)) for n in range(count))
    assert found.pixels.shape == (12, 3, 16, 16)
    np.testing.assert_array_equal(found.pixels[:, :, 5, 5], colours)
    for some in (read_photographs(splits, roots, size=16, resize=20, most=4), found.some(4)):
        assert some.names == ("a/000.png", "a/004.png", "a/007.png", "b/003.png")
        np.testing.assert_array_equal(some.pixels[:, :, 0, 0], colours[[0, 4, 7, 11]])
    assert len(found.some(100)) == 12
    none = read_photographs([], {}, size=16, resize=None)
    assert len(none) == len(none.some(5)) == 0
    (tmp_path / "b" / "photographs" / "003.png").unlink()
    with pytest.raises(InputError, match=r"003\.png"):
        read_photographs(splits, roots, size=16, resize=None)


def test_divergence_and_flips_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    colours = drawn_colours(75)
    measure_photographs(*networks(), of_colours(colours), tmp_path, seed=0, device=CPU)
    base, tuned = outputs_by_hand(colours / 255)
    divergence = stats.entropy(special.softmax(tuned, 1), special.softmax(base, 1), axis=1)
    flipped = base.argmax(1) != tuned.argmax(1)
    row = read_table(tmp_path / "photographs.csv").iloc[0]
    assert list(row.index) == list(COLUMNS)
    assert row["photographs"] == 75
    assert row["divergence"] == pytest.approx(divergence.mean(), rel=1e-5)
    spread = divergence.std() / np.sqrt(75)
    assert row["divergence_low"] == pytest.approx(divergence.mean() - 1.96 * spread, abs=spread / 3)
    assert row["divergence_high"] == pytest.approx(divergence.mean() + 1.96 * spread, abs=spread / 3)
    wilson = stats.binomtest(int(flipped.sum()), 75).proportion_ci(0.95, "wilson")
    np.testing.assert_allclose(row[["flipped", "flipped_low", "flipped_high"]].astype(float), [flipped.mean(), *wilson])
    flips = read_table(tmp_path / "flips.csv")
    assert list(flips) == list(FLIP_COLUMNS)
    assert flips["photographs"].sum() == flipped.sum() > 20
    assert flips["photographs"].is_monotonic_decreasing
    for flip in flips.itertuples():
        assert flip.photographs == ((base.argmax(1) == flip.from_class) & (tuned.argmax(1) == flip.to_class)).sum()
        assert (flip.from_name, flip.to_name) == (NAMES[flip.from_class], NAMES[flip.to_class])


def test_equal_networks_do_not_differ(tmp_path: Path) -> None:
    base, _ = networks()
    measure_photographs(base, Classifier(base.model), of_colours(drawn_colours(1)), tmp_path, seed=0, device=CPU)
    row = read_table(tmp_path / "photographs.csv").iloc[0]
    assert (row["photographs"], row["divergence"], row["flipped"]) == (1, 0, 0)
    assert np.isnan(row["divergence_low"]), "one photograph has no spread"
    assert read_table(tmp_path / "flips.csv").empty


def test_without_photographs_the_tables_have_no_rows(tmp_path: Path) -> None:
    measure_photographs(*networks(), read_photographs([], {}, 16, None), tmp_path, seed=0, device=CPU)
    for name, columns in (("photographs", COLUMNS), ("flips", FLIP_COLUMNS)):
        table = read_table(tmp_path / f"{name}.csv")
        assert list(table) == list(columns)
        assert table.empty
