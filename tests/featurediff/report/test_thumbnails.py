"""Sheets: every picture in its own tile, and the notes of its PNG beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.images.png import write_picture
from featurediff.report.thumbnails import ACROSS, PER_SHEET, layer_notes, sheet_name, write_sheets, write_thumbnails


def plain(value: int, size: tuple[int, int] = (24, 24)) -> Image.Image:
    return Image.new("RGB", size, (value, 255 - value, 128))


def write(path: Path, value: int, **notes: object) -> Path:
    given = {"activation_start": 0.5, "activation_reached": 2.0, "steps": 9, "recipe": {"steps": 9, "size": 24}}
    write_picture(path, np.asarray(plain(value)), given | notes)
    return path


def tiles(sheet: Path, tile: int) -> np.ndarray:
    """(rows * ACROSS, 3): the colour in the middle of each tile."""
    with Image.open(sheet) as image:
        return np.asarray(image.convert("RGB"))[tile // 2 :: tile, tile // 2 :: tile].reshape(-1, 3)


def test_each_picture_lies_in_its_own_tile(tmp_path: Path) -> None:
    values = [3 * number % 256 for number in range(PER_SHEET + 3)]
    sources = [lambda value=value: plain(value) for value in values]
    assert write_sheets(tmp_path, "layer", sources, tile=16, workers=2) == 2
    found = np.concatenate([tiles(tmp_path / sheet_name("layer", number), 16) for number in range(2)])
    assert len(found) == PER_SHEET + ACROSS  # the last sheet has only the rows that it needs
    np.testing.assert_allclose(found[: len(values), 0], values, atol=12)  # WebP is lossy


def test_a_picture_keeps_its_shape_and_one_that_is_missing_leaves_a_hole(tmp_path: Path) -> None:
    for folder, workers in ((tmp_path, 1), (tmp_path / "again", 2)):
        write_sheets(folder, "layer", [lambda: plain(200, (40, 20)), lambda: None], tile=16, workers=workers)
    with Image.open(tmp_path / "layer-0.webp") as sheet:
        alpha = np.asarray(sheet.convert("RGBA"))[..., 3]
    assert alpha[:16, :16].any(axis=1).tolist() == [False] * 4 + [True] * 8 + [False] * 4
    assert not alpha[:, 16:].any()
    assert (tmp_path / "again/layer-0.webp").read_bytes() == (tmp_path / "layer-0.webp").read_bytes()


def test_notes_tell_every_seed_and_what_differs_from_the_layers_recipe(tmp_path: Path) -> None:
    own = {"steps": 20, "size": 24}
    paths = [
        write(tmp_path / "seed1/channel2.png", 20, activation_reached=3.0, trajectory=[0.5, 3.0]),
        write(tmp_path / "channel10.png", 10),
        write(tmp_path / "channel2.png", 20),
        write(tmp_path / "channel3.png", 30, recipe=own, steps=20),
    ]
    notes = write_thumbnails(tmp_path / "thumbs", "layer3.1", paths, tile=16)
    assert notes == json.loads((tmp_path / "thumbs/layer3.1.json").read_text())
    assert notes["channels"] == [2, 3, 10]
    assert notes["recipe"] == {"steps": 9, "size": 24}
    assert notes["own"] == {"3": {"steps": 20}}
    assert notes["pictures"]["2"] == [[0, 0.5, 2.0, 9, []], [1, 0.5, 3.0, 9, [0.5, 3.0]]]
    # the first seed's pictures, in the order of channels
    np.testing.assert_allclose(tiles(tmp_path / "thumbs/layer3.1-0.webp", 16)[:3, 0], [20, 30, 10], atol=12)


def test_a_picture_that_says_nothing_of_itself_is_named(tmp_path: Path) -> None:
    plain(3).save(tmp_path / "channel7.png")
    (tmp_path / "channel8.png").touch()
    for name in ("channel7.png", "channel8.png"):
        with pytest.raises(InputError, match=name):
            layer_notes([tmp_path / name])
