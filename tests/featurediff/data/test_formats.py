"""Every format is read as its authors made it."""

import shutil
from pathlib import Path

import pytest
from made_data import CARS, MAKERS, car_annotations, car_names, dog_list, message, stanford_cars, stanford_dogs

from featurediff.data.formats import FORMATS, read_samples
from featurediff.data.listing import MISSING, Sample

pytestmark = pytest.mark.usefixtures("mat_files_in_this_process")


def test_labels_of_each_format(tmp_path) -> None:
    expected = {
        "image_folder": Sample("ant/0.png", "ant", "train"),
        "kaggle_dogs": Sample("train/001.jpg", "boxer", "train"),
        "stanford_dogs": Sample("Images/n02086240-Shih-Tzu/n02086240_test1.jpg", "Shih-Tzu", "test"),
        "stanford_cars": Sample("cars_test/00004.jpg", CARS[0], "test"),
        "csv": Sample("jugs/deep/2.png", "jug", "train"),
    }
    assert {*MAKERS, "unlabelled"} == {*expected, "unlabelled"} == set(FORMATS)
    for name, sample in expected.items():
        MAKERS[name](tmp_path / name)
        assert sample in read_samples(name, tmp_path / name)[0]


def test_cars_labels_in_the_devkit_of_one_car_alone_or_absent(tmp_path) -> None:
    stanford_cars(tmp_path)
    labels = tmp_path / "cars_test_annos_withlabels.mat"
    labels = labels.rename(tmp_path / "devkit" / labels.name)
    assert len(read_samples("stanford_cars", tmp_path)[0]) == 10
    car_annotations(labels, [("00001.jpg", 1)])
    samples, problems = read_samples("stanford_cars", tmp_path)
    assert [sample.path for sample in samples if sample.part == "test"] == ["cars_test/00001.jpg"]
    assert [problem.path for problem in problems] == [f"cars_test/0000{number}.jpg" for number in (2, 3, 4)]
    labels.unlink()
    samples, problems = read_samples("stanford_cars", tmp_path)
    assert (len(samples), problems) == (6, [])  # the unlabelled test part is no offender


LACKS = {
    "kaggle_dogs": ["labels.csv", "train"],
    "stanford_dogs": ["train_list.mat", "test_list.mat", "Images"],
    "stanford_cars": ["cars_meta.mat", "cars_train_annos.mat", "cars_train"],
    "csv": ["labels.csv"],
}


@pytest.mark.parametrize("name", LACKS)
def test_all_that_a_format_lacks_is_named(tmp_path, name) -> None:
    text = message(name, tmp_path, on_bad_image="skip")
    assert f"{tmp_path}/" in text
    assert all(part in text for part in LACKS[name])
    assert "there is no folder" in message(name, tmp_path / "nowhere")
    assert "image_folder, kaggle_dogs" in message("images", tmp_path)


def test_lists_that_contradict_each_other_or_themselves(tmp_path) -> None:
    stanford_dogs(tmp_path)
    dog_list(tmp_path, "test", ["n1-a/x.jpg", "n1-a/y.jpg"], [1, 1, 1])
    assert "2 files but 3 labels" in message("stanford_dogs", tmp_path)
    stanford_cars(tmp_path)
    for names in (["a", "a"], ["a", " "], []):
        car_names(tmp_path, names)
        assert "class names must be different" in message("stanford_cars", tmp_path)
    car_names(tmp_path, CARS[:1])
    car_annotations(tmp_path / "devkit" / "cars_train_annos.mat", [("00001.jpg", 1), ("00002.jpg", 2)])
    assert "cars_train_annos.mat row 2: class 2, but cars_meta.mat has 1 to 1" in message("stanford_cars", tmp_path)


@pytest.mark.shared_data
def test_the_real_devkit_of_stanford_cars(shared_data, tmp_path) -> None:
    """The full annotation files over no pictures: each of the 8,144 and 8,041 is named."""
    shutil.copytree(shared_data / "stanford_cars" / "devkit_original", tmp_path / "devkit")
    for part in ("train", "test"):
        (tmp_path / f"cars_{part}").mkdir()
    samples, problems = read_samples("stanford_cars", tmp_path)
    assert samples == []
    assert {problem.kind for problem in problems} == {MISSING}
    paths = [problem.path for problem in problems]
    assert sum(path.startswith("cars_train/") for path in paths) == 8144
    assert sum(path.startswith("cars_test/") for path in paths) == 8041


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("kaggle_dogs", "labels.csv"),
        ("kaggle_dogs", "train"),
        ("csv", "labels.csv"),
        ("stanford_dogs", "lists"),
        ("stanford_dogs", "lists/test_list.mat"),
        ("stanford_cars", "devkit"),
        ("stanford_cars", "cars_test_annos_withlabels.mat"),
    ],
)
def test_neither_a_list_nor_the_folder_of_pictures_may_be_elsewhere(tmp_path: Path, name: str, part: str) -> None:
    root = tmp_path / "data"
    MAKERS[name](root)
    (root / part).rename(tmp_path / "elsewhere")
    (root / part).symlink_to(tmp_path / "elsewhere")
    text = message(name, root)
    assert f"{root}/{part}" in text
    assert "is a link out of the data set's root" in text
