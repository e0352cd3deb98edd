"""The table of a layer's pictures: what it reads from them, and that it names them again."""

import hashlib

import numpy as np
import pytest

from feature_vis.errors import InputError
from feature_vis.images.png import write_picture
from featurediff.rendering.picture_table import first_seed, listed_pictures, measure_pictures
from featurediff.runtime.tables import write_table


def test_what_pictures_say_is_listed_and_they_are_named_again(tmp_path) -> None:
    notes = {"activation_start": 0.5, "activation_reached": 2.5}
    folder = tmp_path / "layer4.2"
    paths = [folder / name for name in ("seed1/channel10.png", "channel10.png", "seed1/channel2.png", "channel2.png")]
    for path, channel, value in zip(paths, (10, 10, 2, 2), (140, 140, 128, 128), strict=True):
        write_picture(path, np.full((8, 8, 3), value, np.uint8), {"channel": channel} | notes)
    pictures = measure_pictures(paths, "dogs", "layer4.2")
    assert pictures["sha256"].tolist() == [hashlib.sha256(path.read_bytes()).hexdigest() for path in reversed(paths)]
    rows = pictures.drop(columns="sha256").to_dict("records")
    grey = {"score": 0.0, "contrast": 0.0}
    assert rows[0] == {"network": "dogs", "layer": "layer4.2", "channel": 2, "seed": 0} | grey | notes
    not_grey = {"score": pytest.approx(12 * 192**0.5), "contrast": pytest.approx(12)}
    assert rows[3] == rows[0] | {"channel": 10, "seed": 1} | not_grey
    write_table(pictures, tmp_path / "layer4.2.csv")
    listed = listed_pictures(tmp_path / "layer4.2.csv")
    assert listed == [str(path) for path in reversed(paths)]
    assert first_seed(listed) == [str(paths[3]), str(paths[1])]

    write_picture(paths[0], np.zeros((8, 8, 3), np.uint8), {"channel": 10})
    with pytest.raises(InputError, match="activation_start"):
        measure_pictures(paths, "dogs", "layer4.2")
