"""The probe images as the network saw them."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from featurediff.report.probe_sheets import shown_images, write_probe_sheets


def test_only_images_in_a_list_of_top_images_are_shown() -> None:
    images = pd.DataFrame({"image": [0, 1, 2, 3], "data": "d", "path": ["a", "b", "c", "d"], "class_name": "x"})
    assert shown_images(images, pd.DataFrame({"image": [3, 1, 3]}))["path"].tolist() == ["b", "d"]
    assert shown_images(images, pd.DataFrame(columns=["layer"])).empty


def test_a_tile_is_the_crop_of_the_network_and_a_lost_file_a_hole(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 40:] = 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    shown = pd.DataFrame({"data": "d", "path": ["half.png", "gone.png"]})
    made = write_probe_sheets(tmp_path, "probe", shown, {"d": str(tmp_path)}, size=32, resize=36)
    assert made == {"tile": 96, "size": 32}
    with Image.open(tmp_path / "probe-0.webp") as sheet:
        drawn = np.asarray(sheet.convert("RGBA"))
    assert drawn[48, 10, 0] < 60
    assert drawn[48, 86, 0] > 200
    assert not drawn[:, 96:192, 3].any()
