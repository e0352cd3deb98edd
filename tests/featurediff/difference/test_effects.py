"""What pictures do to photographs: against NumPy on colours, and the bootstrap against simulated tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from colour_networks import MAGENTA, drawn_colours, flat, networks, outputs_by_hand
from scipy import stats

from feature_vis.images.png import write_picture
from feature_vis.seeding import generator
from featurediff.difference import pictures
from featurediff.difference.effects import (
    CLASS_COLUMNS,
    COLUMNS,
    blended,
    measure_effects,
    pasted,
    two_way_interval,
)
from featurediff.difference.photographs import Photographs, read_photographs
from featurediff.runtime.tables import read_table, write_table
from featurediff.statistics.multiple_testing import share_interval

CPU = torch.device("cpu")
STARTS = {"start0": (255, 0, 255), "start1": (200, 10, 240), "start2": (255, 0, 0)}  # they name 5, 5 and 0
OTHERS = {"other0": (0, 255, 0), "other1": (90, 90, 90)}


def photographs(count: int = 60, size: int = 24) -> tuple[np.ndarray, Photographs]:
    """Colours, (N, 3) in [0, 1], and photographs of them."""
    colours = drawn_colours(count)
    pixels = torch.from_numpy(colours)[:, :, None, None].expand(-1, -1, size, size).contiguous()
    return colours / 255, Photographs(tuple(f"plain/{number}" for number in range(count)), pixels)


def made(folder: Path, others: dict[str, tuple[int, int, int]] = OTHERS) -> None:
    """What `render_difference` leaves: flat pictures, and the tables as far as they are read."""
    for name, colour in {**STARTS, **others}.items():
        write_picture(folder / "output" / f"{name}.png", flat(colour), {})
    write_picture(folder / "classes" / "class5.png", flat((255, 0, 255)), {})
    rows = [(f"output/{name}.png", "start", number) for name, number in zip(STARTS, (5, 5, 0), strict=True)]
    starts = pd.DataFrame([*rows, ("classes/class5.png", "class", 5)], columns=["picture", "kind", "tuned_class"])
    write_table(starts.reindex(columns=list(pictures.COLUMNS)), folder / "starts.csv")
    classes = pd.DataFrame({"class": [5, 0], "name": ["magenta", "red"], "starts": [2, 1], "of": 3})
    write_table(classes.assign(p_value=[0.01, 0.9], agreed=[True, False]), folder / "classes.csv")


def by_hand(picture: tuple[int, int, int], colours: np.ndarray, share: float) -> np.ndarray:
    """The classes that both networks name, (2, N), for photographs of which a share has the picture's colour."""
    mixed = share * np.array(picture) / 255 + (1 - share) * colours
    return outputs_by_hand(mixed).argmax(2)


def test_shares_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    made(tmp_path)
    colours, shown = photographs()
    measure_effects(*networks(), shown, tmp_path, seed=0, device=CPU)
    table = read_table(tmp_path / "effects.csv")
    assert list(table) == list(COLUMNS)
    assert len(table) == 2 * 6
    counted = {"output/start2.png": 0}
    for row in table.itertuples():
        number = counted.get(row.picture, 5)
        colour = {**STARTS, **OTHERS, "class5": MAGENTA}[Path(row.picture).stem]
        share = 0.5 if row.way == "blended" else (9 / 24) ** 2
        base, tuned = by_hand(colour, colours, share) == number
        assert (row._4, row.photographs) == (number, 60)
        assert (row.tuned, row.base) == (pytest.approx(tuned.mean()), pytest.approx(base.mean())), row
        wilson = share_interval(int(tuned.sum()), 60)
        np.testing.assert_allclose((row.tuned_low, row.tuned_high), wilson)
        before = outputs_by_hand(colours).argmax(2) == number
        np.testing.assert_allclose((row.base_before, row.tuned_before), before.mean(1))
    blends = table[(table["way"] == "blended") & (table["class"] == 5)].set_index("picture")
    assert blends.loc["output/start0.png", "tuned"] > 0.9
    assert (blends["base"] == 0).all()
    assert table["name"].tolist() == ["red" if number == 0 else "magenta" for number in table["class"]]


def test_the_class_on_which_starts_agree_has_a_row_for_each_way(tmp_path: Path) -> None:
    made(tmp_path)
    colours, shown = photographs()
    measure_effects(*networks(), shown, tmp_path, seed=0, device=CPU)
    table = read_table(tmp_path / "effect.csv")
    assert list(table) == list(CLASS_COLUMNS)
    assert table[["class", "name", "way", "pictures", "photographs"]].values.tolist() == [
        [5, "magenta", way, 2, 60] for way in ("blended", "pasted")
    ]
    row = table.iloc[0]
    own = np.stack([by_hand(STARTS[name], colours, 0.5)[1] == 5 for name in ("start0", "start1")])
    others = np.stack([by_hand(colour, colours, 0.5)[1] == 5 for colour in OTHERS.values()])
    assert (row["tuned"], row["others"], row["base"]) == (own.mean(), pytest.approx(others.mean()), 0)
    assert row["tuned_low"] <= row["tuned"] <= row["tuned_high"]
    assert row["others_low"] < row["others"] < row["others_high"]
    assert row["clear"] == (row["tuned_low"] > row["others_high"])
    assert row["clear"]
    again = (tmp_path / "effects.csv").read_bytes(), (tmp_path / "effect.csv").read_bytes()
    measure_effects(*networks(), shown, tmp_path, seed=0, device=CPU)
    assert again == ((tmp_path / "effects.csv").read_bytes(), (tmp_path / "effect.csv").read_bytes())
    measure_effects(*networks(), shown, tmp_path, seed=0, device=CPU, most=7)
    assert (read_table(tmp_path / "effects.csv")["photographs"] == 7).all()


def test_without_other_pictures_nothing_is_clear(tmp_path: Path) -> None:
    made(tmp_path, {})
    measure_effects(*networks(), photographs()[1], tmp_path, seed=0, device=CPU)
    table = read_table(tmp_path / "effect.csv")
    assert table["others"].isna().all()
    assert not table["clear"].any()


def test_the_most_named_class_is_measured_where_no_starts_agree(tmp_path: Path) -> None:
    made(tmp_path)
    write_table(read_table(tmp_path / "classes.csv").assign(agreed=False), tmp_path / "classes.csv")
    measure_effects(*networks(), photographs()[1], tmp_path, seed=0, device=CPU)
    assert read_table(tmp_path / "effect.csv")["class"].tolist() == [5, 5]


@pytest.mark.parametrize("missing", ["photographs", "pictures"])
def test_without_photographs_or_pictures_the_tables_have_no_rows(tmp_path: Path, missing: str) -> None:
    made(tmp_path)
    shown = photographs()[1] if missing == "pictures" else read_photographs([], {}, 16, None)
    if missing == "pictures":
        for name in ("starts", "classes"):
            write_table(read_table(tmp_path / f"{name}.csv").iloc[:0], tmp_path / f"{name}.csv")
    measure_effects(*networks(), shown, tmp_path, seed=0, device=CPU)
    for name, columns in (("effects", COLUMNS), ("effect", CLASS_COLUMNS)):
        table = read_table(tmp_path / f"{name}.csv")
        assert list(table) == list(columns)
        assert table.empty


def test_a_blend_is_half_of_each_at_the_photographs_size() -> None:
    picture = torch.rand(3, 64, 64, generator=generator("picture"))
    shown = torch.rand(2, 3, 16, 20, generator=generator("photographs"))
    mixed = blended(picture, shown)
    assert mixed.shape == shown.shape
    assert (mixed >= 0).all()
    assert (mixed <= 1).all()
    same = torch.rand(3, 16, 20, generator=generator("same"))
    np.testing.assert_allclose(blended(same, shown), (same.numpy() + shown.numpy()) / 2, atol=1e-6)
    stripes = torch.arange(64).remainder(2).float().expand(3, 64, 64)
    even = blended(stripes, torch.zeros(1, 3, 16, 16))[:, :, 2:-2, 2:-2]
    assert (even - 0.25).abs().max() < 0.02, "made smaller without antialiasing, stripes would stay"


def test_a_patch_lies_at_a_place_that_depends_on_its_seed_alone() -> None:
    picture, shown = torch.ones(3, 40, 40), torch.zeros(30, 3, 32, 48)
    seeds = [("place", number) for number in range(30)]
    changed = pasted(picture, shown, seeds)
    corners = set()
    for one in changed:
        rows, columns = (np.flatnonzero(one[0].sum(axis)) for axis in (1, 0))
        assert len(rows) == len(columns) == 12  # 3/8 of 32
        assert one.sum() == 3 * 12 * 12
        corners.add((int(rows[0]), int(columns[0])))
    assert len(corners) > 20
    assert max(row for row, _ in corners) <= 20
    assert max(column for _, column in corners) > 20
    assert shown.sum() == 0
    np.testing.assert_array_equal(pasted(picture, shown[:2], seeds[7:9]), changed[7:9])


def test_the_two_way_interval_holds_the_share_of_all_pictures_and_photographs() -> None:
    """Each picture and each photograph has its own leaning."""
    rng, held = np.random.default_rng(0), 0
    truth = stats.norm.cdf(-0.5 / np.sqrt(1.5))  # of the probit below
    for repeat in range(100):
        leaning = rng.normal(-0.5, 0.5, (12, 1)) + rng.normal(0, 0.5, (1, 80))
        low, high = two_way_interval(rng.random((12, 80)) < stats.norm.cdf(leaning), repeat)
        held += low <= truth <= high
    assert held >= 85  # with 12 pictures a bootstrap is a little narrow


def test_the_two_way_interval_of_one_value_or_one_picture() -> None:
    assert two_way_interval(np.zeros((8, 50), bool), 0) == share_interval(0, 50)
    assert two_way_interval(np.ones((8, 50), bool), 0) == share_interval(50, 50)
    row = np.arange(50) < 20
    low, high = two_way_interval(row[None], 0)
    assert (low, high) == pytest.approx(stats.binom(50, 0.4).ppf([0.025, 0.975]) / 50, abs=0.021)
    alike = two_way_interval(np.repeat(row[None], 6, 0), 0)
    assert alike == pytest.approx((low, high), abs=0.021), "equal pictures are no more than one"
    assert two_way_interval(row[None], 3) == two_way_interval(row[None], 3)
