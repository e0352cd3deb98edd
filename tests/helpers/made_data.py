"""Small data sets in each format, as their authors made them."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from feature_vis.errors import InputError
from featurediff.data.split import make_split


def picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), "teal").save(file)


def table(file: Path, *rows: tuple[str, ...]) -> None:
    with file.open("w", newline="", encoding="utf-8") as text:
        csv.writer(text).writerows(rows)


def cell(values: list) -> np.ndarray:
    """A MATLAB cell array, n x 1, as the authors' files have it."""
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


def car_annotations(file: Path, rows: list[tuple[str, int]]) -> None:
    kinds = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    array = np.array([(1.0, 2.0, 3.0, 4.0, float(number), name) for name, number in rows], dtype=kinds)
    file.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(file, {"annotations": array.reshape(1, -1)})


def car_names(root: Path, names: list[str]) -> None:
    scipy.io.savemat(root / "devkit" / "cars_meta.mat", {"class_names": cell(names).T})


def image_folder(root: Path) -> None:
    for label in ("ant", "bee"):
        for number in range(3):
            picture(root / label / f"{number}.png")


def kaggle_dogs(root: Path) -> None:
    rows = [(f"{number:03x}", ("pug", "boxer")[number % 2]) for number in range(6)]
    for name, _ in rows:
        picture(root / "train" / f"{name}.jpg")
    picture(root / "test" / "unlabelled.jpg")
    table(root / "labels.csv", ("id", "breed"), *rows)


def stanford_dogs(root: Path) -> None:
    breeds = ("n02085620-Chihuahua", "n02086240-Shih-Tzu")
    for part, count in (("train", 3), ("test", 2)):
        names = [f"{breed}/{breed[:9]}_{part}{index}.jpg" for breed in breeds for index in range(count)]
        for name in names:
            picture(root / "Images" / name)
        dog_list(root, part, names, [1] * count + [2] * count)


def dog_list(root: Path, part: str, names: list[str], numbers: list[int]) -> None:
    (root / "lists").mkdir(parents=True, exist_ok=True)
    content = {
        "file_list": cell(names),
        "annotation_list": cell([name.removesuffix(".jpg") for name in names]),
        "labels": np.array(numbers, dtype=np.uint8).reshape(-1, 1),
    }
    scipy.io.savemat(root / "lists" / f"{part}_list.mat", content)


CARS = ["Ram C/V Cargo Van 2012", "Audi TT 2011"]


def stanford_cars(root: Path) -> None:
    rows = [(f"{number:05}.jpg", number % 2 + 1) for number in range(1, 7)]
    for part, count in (("train", 6), ("test", 4)):
        for name, _ in rows[:count]:
            picture(root / f"cars_{part}" / name)
    car_annotations(root / "devkit" / "cars_train_annos.mat", rows)
    car_annotations(root / "cars_test_annos_withlabels.mat", rows[:4])
    car_names(root, CARS)


def csv_format(root: Path) -> None:
    rows = [(f"{label}s/deep/{number}.png", label) for label in ("cup", "jug") for number in range(3)]
    for path, _ in rows:
        picture(root / path)
    table(root / "labels.csv", ("path", "label"), *rows)


MAKERS: dict[str, Callable[[Path], None]] = {
    "image_folder": image_folder,
    "kaggle_dogs": kaggle_dogs,
    "stanford_dogs": stanford_dogs,
    "stanford_cars": stanford_cars,
    "csv": csv_format,
}


def split(name: str, root: Path, **settings: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    return make_split(name, root, **{"val_fraction": 0.34, "seed": 0} | settings)


def message(name: str, root: Path, **settings: object) -> str:
    """Of the InputError that the split ends with."""
    with pytest.raises(InputError) as caught:
        split(name, root, **settings)
    return str(caught.value)
