"""The drawn data sets: real formats, the same bytes each time, pictures that do not depend on how many there are."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from feature_vis.errors import InputError
from featurediff.data.demo.canvas import Canvas, Pose, ellipse, hsv, jpeg, mix, rounded, shade, smooth
from featurediff.data.demo.cars import MODELS
from featurediff.data.demo.datasets import KINDS, draw_data_set
from featurediff.data.demo.dogs import BREEDS
from featurediff.data.demo.shapes import SHAPES
from featurediff.data.split import make_split, read_samples

FORMATS = {"shapes": "image_folder", "dogs": "kaggle_dogs", "cars": "stanford_cars"}
CLASSES = {"shapes": set(SHAPES), "dogs": set(BREEDS), "cars": set(MODELS)}
# Fields that MATLAB files of one structure share, whatever their values.
DEVKIT = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]


def draw(kind: str, root: Path, per_class: int = 1, size: int = 16, seed: int = 0) -> list[str]:
    return draw_data_set(kind, root, seed=seed, per_class=per_class, size=size)


def digests(root: Path, paths: list[str]) -> dict[str, str]:
    return {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module", params=list(KINDS))
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, list[str]]:
    """Each data set with three pictures a class: its kind, root and files."""
    root = tmp_path_factory.mktemp(request.param)
    return request.param, root, draw(request.param, root, 3, 32)


def test_the_readers_find_every_picture_and_all_differ(drawn: tuple[str, Path, list[str]]) -> None:
    kind, root, paths = drawn
    table, skipped = make_split(FORMATS[kind], root, val_fraction=0.3, seed=0)
    assert skipped.empty
    assert set(table["label"]) == CLASSES[kind]
    assert (table.groupby("label").size() == 3).all()
    there = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert paths == sorted(path.relative_to(root).as_posix() for path in there)
    for path in table["path"]:
        with Image.open(root / path) as picture:
            assert (picture.size, picture.mode, picture.format) == ((32, 32), "RGB", "JPEG")
            assert np.asarray(picture).std() > 5  # something is drawn
    assert len(set(digests(root, table["path"]).values())) == len(table)


def test_a_picture_depends_on_the_seed_and_its_number_alone(drawn: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    kind, root, paths = drawn
    there = digests(root, paths)
    assert digests(tmp_path / "again", draw(kind, tmp_path / "again", 3, 32)) == there
    fewer = [path for path in draw(kind, tmp_path / "fewer", 2, 32) if path.endswith(".jpg")]
    assert digests(tmp_path / "fewer", fewer).items() <= there.items()
    assert len(fewer) == 2 * len(CLASSES[kind])
    labels = {sample.path: sample.label for sample in read_samples(FORMATS[kind], root)[0]}
    assert all(labels[sample.path] == sample.label for sample in read_samples(FORMATS[kind], tmp_path / "fewer")[0])
    other = [path for path in draw(kind, tmp_path / "other", 1, 32, seed=1) if path.endswith(".jpg")]
    assert not {*digests(tmp_path / "other", other).values()} & {*there.values()}


def test_drawing_again_removes_and_replaces_what_was_drawn_alone(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside.jpg"
    root.mkdir()
    outside.write_bytes(b"kept")
    (root / "labels.csv").write_text("id,breed\nmine,mine\n")
    with pytest.raises(InputError, match=r"already holds labels\.csv"):
        draw("dogs", root)
    assert [path.name for path in root.iterdir()] == ["labels.csv"]
    (root / ".drawn").write_text(f"labels.csv\n../outside.jpg\n{outside}\n")
    draw("dogs", root, 2)
    (root / "train" / "my own.jpg").write_bytes(b"kept")
    paths = draw("dogs", root, seed=1)
    there = {path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.is_file()}
    assert there - {".drawn"} == {*paths, "train/my own.jpg"}
    assert outside.exists()


def test_dog_labels_are_as_kaggles(tmp_path: Path) -> None:
    draw("dogs", tmp_path, 2)
    table = pd.read_csv(tmp_path / "labels.csv", dtype=str)
    assert list(table.columns) == ["id", "breed"]
    assert table["id"].tolist() == sorted({*table["id"]})
    assert table["id"].str.fullmatch("[0-9a-f]{32}").all()


def test_car_boxes_lie_in_the_picture_and_hold_the_car(tmp_path: Path) -> None:
    draw("cars", tmp_path, 4, 64)
    annotations = scipy.io.loadmat(tmp_path / "devkit" / "cars_train_annos.mat")["annotations"]
    assert annotations.shape == (1, 4 * len(MODELS))
    for row in annotations[0]:
        left, top, right, bottom = (int(row[field][0, 0]) for field in DEVKIT[:4])
        assert 1 <= left < right <= 64
        assert 1 <= top < bottom <= 64
        assert right - left > 35  # even the shortest model
        assert 1 <= row["class"][0, 0] <= len(MODELS)


@pytest.mark.shared_data
def test_the_devkit_has_the_structure_of_the_real_one(tmp_path: Path, shared_data: Path) -> None:
    draw("cars", tmp_path, 26)  # as many pictures as need two bytes to count
    kits = shared_data / "stanford_cars" / "devkit_original", tmp_path / "devkit"
    for name, file in (("annotations", "cars_train_annos.mat"), ("class_names", "cars_meta.mat")):
        real, ours = (scipy.io.loadmat(kit / file) for kit in kits)
        assert set(ours) == set(real)
        assert ours[name].dtype == real[name].dtype
        assert ours[name].shape[0] == real[name].shape[0] == 1
        real, ours = real[name][0, 0], ours[name][0, 0]
        if name == "annotations":
            assert list(ours.dtype.names) == DEVKIT
        for field in DEVKIT if name == "annotations" else [()]:
            assert ours[field].shape == real[field].shape
            assert ours[field].dtype.kind == real[field].dtype.kind


def test_unknown_kinds_and_numbers_out_of_range_are_named(tmp_path: Path) -> None:
    for kind, number, size, words in (
        ("boats", 1, 16, "'boats': choose one of shapes, dogs, cars"),
        ("dogs", 0, 16, "per_class"),
        ("cars", 1, 15, "size"),
    ):
        with pytest.raises(InputError, match=words):
            draw(kind, tmp_path, number, size)
    assert not list(tmp_path.iterdir())


def test_a_pose_turns_clockwise_mirrors_and_moves_and_curves_pass_where_they_must() -> None:
    assert np.allclose(Pose(angle=90).place([(1, 0)]), [(0, 1)])
    assert np.allclose(Pose(mirror=True, x=0.5).place([(1, 0)]), [(-0.5, 0)])
    assert np.allclose(Pose(scale=0.5, stretch=2).place([(1, 1)]), [(1, 0.5)])
    square = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    assert np.allclose(smooth(square)[::6], square)
    corners = rounded(square, 0.2)
    assert np.abs(corners).max() == 1
    assert not any((corners == corner).all(1).any() for corner in np.array(square))


def test_edges_are_antialiased_and_what_is_drawn_inside_stays_inside() -> None:
    canvas = Canvas(32)
    canvas.fill(ellipse(0, 0, 0.5), (255, 255, 255))
    assert len(np.unique(canvas.finished())) > 4
    assert canvas.box() == (9, 9, 24, 24)
    canvas = Canvas(32)
    with canvas.inside([(-1, -1), (0, -1), (0, 1), (-1, 1)]):
        canvas.fill(ellipse(0, 0, 0.9), (255, 0, 0))
    pixels = canvas.finished()
    assert pixels[16, 8, 0] == 255
    assert pixels[:, 17:].max() == 0


def test_colors() -> None:
    assert [hsv(hue, 1, 1) for hue in (0, 1 / 3, 2 / 3, 1)] == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 0)]
    assert hsv(0.3, 0, 0.5) == (128, 128, 128)
    assert shade((100, 200, 255), 1.5) == (150, 255, 255)
    assert mix((0, 0, 0), (200, 100, 50), 0.5) == (100, 50, 25)
    grey = np.full((16, 16, 3), 127.0)
    assert np.abs(np.asarray(Image.open(io.BytesIO(jpeg(grey))), float) - 127).max() <= 1
