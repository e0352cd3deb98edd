"""Strips and animations: every frame is where the notes say, and is the picture."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from feature_vis.errors import InputError
from feature_vis.images.png import read_notes, write_picture
from featurediff.report.film_strips import GAP, LARGEST, make_tiles, write_films

EPOCHS = [0, 2, 10]


def picture(number: int, size: tuple[int, int] = (64, 80)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """The films of a layer whose pictures lie below `base` and `store`."""
    for place, folder in enumerate(["base", *(f"store/epoch{epoch}" for epoch in EPOCHS)]):
        for channel in (3, 7):
            write_picture(tmp_path / folder / f"layer4/channel{channel}.png", picture(10 * channel + place), {})
    return write(tmp_path)


def write(folder: Path) -> Path:
    frames = [(channel, epoch) for channel in (3, 7) for epoch in EPOCHS[::-1]]
    rows = pd.DataFrame(frames, columns=["channel", "epoch"]).assign(layer="layer4")
    write_films(rows, folder / "film/layer4", folder / "base", folder / "store")
    return folder / "film/layer4"


def test_each_frame_of_a_strip_and_of_an_animation_is_a_picture(films: Path) -> None:
    notes = read_notes(films / "channel7.png") or {}
    assert notes["frames"] == ["base", *EPOCHS]
    assert (notes["layer"], notes["channel"], notes["width"], notes["height"]) == ("layer4", 7, 80, 64)
    with Image.open(films / "channel7.png") as image:
        assert image.size == (4 * notes["pitch"] - GAP, notes["top"] + 64)
        pixels = np.asarray(image)  # (h, w, 4)
    assert (pixels[:, 80 : notes["pitch"], 3] == 0).all()
    for place in range(4):
        left = place * notes["pitch"]
        frame = pixels[notes["top"] :, left : left + 80]
        np.testing.assert_array_equal(frame[..., :3], picture(70 + place))
        assert (frame[..., 3] == 255).all()
        assert pixels[: notes["top"], left : left + 80, 3].any(), "no label"
    durations = []
    with Image.open(films / "channel3.webp") as animation:
        assert (animation.n_frames, animation.info["loop"]) == (4, 0)
        for place in range(4):
            animation.seek(place)
            shown = np.asarray(animation.convert("RGB"))[-64:, :80].astype(int)
            durations.append(animation.info["duration"])
            assert np.argmin([np.abs(shown - picture(30 + other)).mean() for other in range(4)]) == place
    assert durations[-1] > durations[0]


def test_equal_pictures_give_equal_bytes_and_old_films_are_removed(films: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in films.iterdir()}
    (films / "channel99.png").touch()
    write(tmp_path)
    assert {file.name: file.read_bytes() for file in films.iterdir()} == before
    assert set(before) == {f"channel{channel}.{kind}" for channel in (3, 7) for kind in ("png", "webp")}
    gone = [tmp_path / "base/layer4/channel3.png", tmp_path / "store/epoch2/layer4/channel7.png"]
    for file in gone:
        file.unlink()
    with pytest.raises(InputError, match="run again") as error:
        write(tmp_path)
    assert all(str(file) in str(error.value) for file in gone)


def test_labels_widen_the_pitch_large_pictures_are_shrunk_and_sizes_must_agree() -> None:
    narrow = make_tiles([picture(0, (16, 16)), picture(1, (16, 16))], ["base", 1000])
    assert narrow.layout["width"] == 16
    assert narrow.layout["pitch"] > 16 + GAP
    assert len({tile.size for tile in narrow.images}) == 1
    large = make_tiles([picture(0, (200, 400))], ["base"]).layout
    assert (large["width"], large["height"]) == (LARGEST, LARGEST // 2)
    with pytest.raises(InputError, match="80×64 and 80×65"):
        make_tiles([picture(0), picture(1, (65, 80))], ["base", 0])
