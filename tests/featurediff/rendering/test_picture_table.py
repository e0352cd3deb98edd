"""The table of a layer's pictures: what it reads from them, and that it names them again."""

import hashlib

import numpy as np
import pytest

from feature_vis.errors import InputError
from feature_vis.images.png import write_picture
from featurediff.rendering.picture_table import first_seed, listed_pictures, measure_pictures
from featurediff.runtime.tables import write_table


def flat(value: int, size: int = 8) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def test_features_are_read_from_pictures(tmp_path) -> None:
    notes = {"activation_start": 0.5, "activation_reached": 2.5}
    paths = [tmp_path / "seed1" / "channel10.png", tmp_path / "channel2.png"]
    paths[0].parent.mkdir()
    for path, channel, value in zip(paths, (10, 2), (140, 128), strict=True):
        write_picture(path, flat(value), {"channel": channel} | notes)
    features = measure_pictures(paths, "dogs", "layer4")
    assert features["sha256"].tolist() == [hashlib.sha256(path.read_bytes()).hexdigest() for path in reversed(paths)]
    assert features.drop(columns="sha256").to_dict("records") == [
        {"network": "dogs", "layer": "layer4", "channel": 2, "seed": 0, "score": 0.0, "contrast": 0.0} | notes,
        {"network": "dogs", "layer": "layer4", "channel": 10, "seed": 1, "score": pytest.approx(12 * 192**0.5)}
        | {"contrast": pytest.approx(12)}
        | notes,
    ]
    write_picture(paths[0], flat(1), {"channel": 10})
    with pytest.raises(InputError, match="activation_start"):
        measure_pictures(paths, "dogs", "layer4")


def test_a_table_names_its_pictures_beside_it(tmp_path) -> None:
    notes = {"activation_start": 0.5, "activation_reached": 2.5}
    folder = tmp_path / "layer4.2"
    paths = [folder / name for name in ("seed1/channel10.png", "channel10.png", "seed1/channel2.png", "channel2.png")]
    for path, channel in zip(paths, (10, 10, 2, 2), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, flat(140), {"channel": channel} | notes)
    write_table(measure_pictures(paths, "dogs", "layer4.2"), tmp_path / "layer4.2.csv")
    listed = listed_pictures(tmp_path / "layer4.2.csv")
    assert listed == [str(path) for path in reversed(paths)]
    assert first_seed(listed) == [str(paths[3]), str(paths[1])]
