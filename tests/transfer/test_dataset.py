"""Every format is read as its authors made it; every offender is named; the split is stratified and repeatable."""

import csv
import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from feature_vis.errors import InputError
from transfer import dataset
from transfer.dataset import FORMATS, Sample, make_split, read_samples, read_split, write_split


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


def stanford_dogs(root: Path, parts: tuple[str, ...] = ("train", "test")) -> None:
    for part in parts:
        names, numbers = [], []
        for number, breed in enumerate(("n02085620-Chihuahua", "n02086240-Shih-Tzu")):
            for index in range(3 if part == "train" else 2):
                names.append(f"{breed}/{breed[:9]}_{part}{index}.jpg")
                numbers.append(number + 1)
        for name in names:
            picture(root / "Images" / name)
        dog_list(root, part, names, numbers)


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
    names = np.array(CARS, dtype=object).reshape(1, -1)
    scipy.io.savemat(root / "devkit" / "cars_meta.mat", {"class_names": names})


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
    with pytest.raises(InputError) as caught:
        split(name, root, **settings)
    return str(caught.value)


def test_every_format_is_tested() -> None:
    assert set(MAKERS) == set(FORMATS)


@pytest.mark.parametrize("name", MAKERS)
def test_each_format(tmp_path, name) -> None:
    MAKERS[name](tmp_path)
    samples, problems = read_samples(name, tmp_path)
    assert problems == []
    assert samples == sorted(samples)
    train = [sample for sample in samples if sample.part == "train"]
    assert len(train) == 6
    got, skipped = split(name, tmp_path)
    assert skipped.empty
    assert list(skipped.columns) == ["path", "reason"]
    assert list(got.columns) == ["path", "label", "class_index", "split"]
    assert got["path"].tolist() == sorted(got["path"])
    assert set(got[got["split"] != "test"].groupby("label")["split"].value_counts()) == {1, 2}
    classes = sorted(set(got["label"]))
    assert [classes[number] for number in got["class_index"]] == got["label"].tolist()


def test_labels_of_each_format(tmp_path) -> None:
    expected = {
        "image_folder": Sample("ant/0.png", "ant", "train"),
        "kaggle_dogs": Sample("train/001.jpg", "boxer", "train"),
        "stanford_dogs": Sample("Images/n02086240-Shih-Tzu/n02086240_test1.jpg", "Shih-Tzu", "test"),
        "stanford_cars": Sample("cars_test/00004.jpg", CARS[0], "test"),
        "csv": Sample("jugs/deep/2.png", "jug", "train"),
    }
    for name, sample in expected.items():
        MAKERS[name](tmp_path / name)
        assert sample in read_samples(name, tmp_path / name)[0]


@pytest.mark.parametrize("name", ["stanford_dogs", "stanford_cars"])
def test_the_official_part_validates_or_tests(tmp_path, name) -> None:
    MAKERS[name](tmp_path)
    seeded, _ = split(name, tmp_path)
    official, _ = split(name, tmp_path, validation="official")
    assert seeded["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 4}
    assert official["split"].value_counts().to_dict() == {"train": 6, "val": 4}
    assert official[official["split"] == "val"]["path"].str.contains("test").all()


@pytest.mark.parametrize("name", ["image_folder", "kaggle_dogs", "csv"])
def test_no_official_part(tmp_path, name) -> None:
    MAKERS[name](tmp_path)
    assert "validation: seeded" in message(name, tmp_path, validation="official")


def test_cars_labels_in_the_devkit_or_absent(tmp_path) -> None:
    stanford_cars(tmp_path)
    labels = tmp_path / "cars_test_annos_withlabels.mat"
    labels.rename(tmp_path / "devkit" / labels.name)
    assert len(read_samples("stanford_cars", tmp_path)[0]) == 10
    (tmp_path / "devkit" / labels.name).unlink()
    samples, problems = read_samples("stanford_cars", tmp_path)
    assert (len(samples), problems) == (6, [])  # the unlabelled test part is no offender


def test_one_car_alone_is_still_a_list(tmp_path) -> None:
    stanford_cars(tmp_path)
    car_annotations(tmp_path / "cars_test_annos_withlabels.mat", [("00001.jpg", 1)])
    samples, problems = read_samples("stanford_cars", tmp_path)
    assert sum(sample.part == "test" for sample in samples) == 1
    assert [problem.path for problem in problems] == [f"cars_test/0000{number}.jpg" for number in (2, 3, 4)]


# Each case spoils a data set; the named files must all be in the message, and be what `skip` leaves out.
def spoil_folder(root: Path) -> set[str]:
    picture(root / "astray.png")
    picture(root / "ant" / "inner" / "x.png")
    (root / "cat").mkdir()
    (root / "empty but for a note").mkdir()
    (root / "empty but for a note" / "note.txt").write_text("hello")
    picture(root / "dodo" / "only.png")
    (root / "bee" / "words.png").write_text("words")
    (root / "bee" / "words.pdf").write_text("words")
    data = (root / "bee" / "1.png").read_bytes()
    (root / "bee" / "cut.png").write_bytes(data[:-30])
    outside = root.parent / "outside.png"
    picture(outside)
    (root / "bee" / "link.png").symlink_to(outside)
    (root / "bee" / "dead.png").symlink_to(root / "nothing.png")
    (root / "far").symlink_to(root.parent)
    os.mkfifo(root / "ant" / "pipe.png")
    (root / "ant" / "new\nline.png").write_bytes(data)
    (root / "ant" / os.fsdecode(b"latin\xe9.png")).write_bytes(data)
    names = {"astray.png", "ant/inner", "cat", "empty but for a note", "dodo/only.png", "bee/words.png"}
    names |= {"bee/words.pdf", "bee/cut.png", "bee/link.png", "bee/dead.png", "far", "ant/pipe.png"}
    return names | {r"'ant/new\nline.png'", r"'ant/latin\udce9.png'"}


def spoil_kaggle(root: Path) -> set[str]:
    picture(root / "train" / "stray.jpg")
    picture(root / "train" / "blank.jpg")
    picture(root / "train" / "comma.jpg")
    picture(root / "secret.jpg")
    (root / "train" / "inner").mkdir()
    with (root / "labels.csv").open("a") as text:
        text.write("absent,pug\n../secret,pug\n../../secret,pug\n/etc/passwd,pug\n")
        text.write("000,pug\n000,boxer\nblank,\n,pug\ncomma,Shih, Tzu\ninner.jpg/../../../../x,pug\n")
    names = {"train/absent.jpg", "../secret", "../../secret", "/etc/passwd", "train/000.jpg", "train/blank.jpg"}
    return names | {
        "(labels.csv line 15)",
        "train/stray.jpg",
        "train/comma.jpg",
        "train/inner",
        "train/inner.jpg/../../../../x.jpg",
    }


def spoil_stanford_dogs(root: Path) -> set[str]:
    content = scipy.io.loadmat(root / "lists" / "test_list.mat")
    names = [str(name[0][0]) for name in content["file_list"]]
    names += ["n02085620-Chihuahua/absent.jpg", "../../x.jpg", names[0], "nobreed/x.jpg", "n02085620-Chihuahua/w.jpg"]
    picture(root / "Images" / "nobreed" / "x.jpg")
    picture(root / "Images" / "n02085620-Chihuahua" / "w.jpg")
    picture(root / "Images" / "n02085620-Chihuahua" / "stray.jpg")
    picture(root / "Images" / "stray.jpg")
    (root / "Images" / "n1-empty").mkdir()
    dog_list(root, "test", names, [*content["labels"].ravel(), 1, 1, 1, 3, 2])
    found = {f"Images/{name}" for name in (*names[-3:], "n02085620-Chihuahua/absent.jpg", "n1-empty")}
    return found | {"../../x.jpg", "Images/n02085620-Chihuahua/stray.jpg", "Images/stray.jpg"}


def spoil_cars(root: Path) -> set[str]:
    rows = [(f"{number:05}.jpg", number % 2 + 1) for number in range(1, 7)]
    rows += [("absent.jpg", 1), ("odd.jpg", 4), ("half.jpg", 1.5), ("../../x.jpg", 1), ("00001.jpg", 2)]
    car_annotations(root / "devkit" / "cars_train_annos.mat", rows)
    for name in ("odd", "half", "stray"):
        picture(root / "cars_train" / f"{name}.jpg")
    names = np.array([*CARS, "Nobody's Car 1999"], dtype=object).reshape(1, -1)
    scipy.io.savemat(root / "devkit" / "cars_meta.mat", {"class_names": names})
    listed = ("absent", "odd", "half", "stray", "00001")
    return {f"cars_train/{name}.jpg" for name in listed} | {"../../x.jpg", "Nobody's Car 1999"}


def spoil_csv(root: Path) -> set[str]:
    picture(root / "other" / "stray.png")
    picture(root / "real" / "a.png")
    (root / "circle").symlink_to(root)
    outside = root.parent / "outside"
    picture(outside / "x.png")
    (root / "away").symlink_to(outside)
    with (root / "labels.csv").open("a") as text:
        text.write("absent.png,cup\n../outside/x.png,cup\naway/x.png,cup\n")
        text.write("cups/deep/../deep/0.png,jug\nother,cup\nonly,cup,3\n")
        text.write(f"{root}/real/a.png,cup\n{'x' * 300}.png,cup\nnul\0.png,cup\n")
    names = {"absent.png", "../outside/x.png", "away/x.png", "away", "cups/deep/0.png", "other", "only"}
    return names | {f"{root}/real/a.png", f"{'x' * 300}.png", "real/a.png", "other/stray.png", r"'nul\x00.png'"}


SPOILERS = {
    "image_folder": spoil_folder,
    "kaggle_dogs": spoil_kaggle,
    "stanford_dogs": spoil_stanford_dogs,
    "stanford_cars": spoil_cars,
    "csv": spoil_csv,
}


@pytest.mark.parametrize("name", SPOILERS)
def test_every_offender_is_named_and_skipped(tmp_path, name) -> None:
    root = tmp_path / "data"
    MAKERS[name](root)
    whole, _ = split(name, root)
    offenders = SPOILERS[name](root)
    text = message(name, root)
    assert f"{len(offenders)} things" in text
    assert "on_bad_image: skip" in text
    lines = text.splitlines()
    for offender in offenders:
        assert sum(line == f"  {offender}" or line.startswith(f"  {offender} (") for line in lines) == 1, offender
    got, skipped = split(name, root, on_bad_image="skip")
    assert set(skipped["path"]) == offenders
    assert len(skipped) == len(offenders)
    assert skipped["reason"].str.len().min() > 5
    assert set(got["path"]) == set(whole["path"]) - offenders
    skipped.to_csv(tmp_path / "skipped.csv", index=False)  # its names can be written
    write_split(tmp_path / "split.csv", got)
    pd.testing.assert_frame_equal(read_split(tmp_path / "split.csv"), got)


def test_offenders_are_grouped_by_kind(tmp_path) -> None:
    image_folder(tmp_path)
    for number in range(1000):
        (tmp_path / "ant" / f"bad{number}.png").write_text("words")
    (tmp_path / "cat").mkdir()
    lines = message("image_folder", tmp_path).splitlines()
    assert "not a picture (1000):" in lines
    assert "an empty class (1):" in lines
    assert sum("/bad" in line for line in lines) == 1000


def test_without_verification_no_picture_is_opened(tmp_path, monkeypatch) -> None:
    image_folder(tmp_path)
    (tmp_path / "ant" / "words.png").write_text("words")
    monkeypatch.setattr(dataset, "faults", None)
    assert len(split("image_folder", tmp_path, verify=False)[0]) == 7


def test_a_class_made_small_by_bad_pictures_is_named(tmp_path) -> None:
    image_folder(tmp_path)
    for number in (0, 1):
        (tmp_path / "ant" / f"{number}.png").write_text("words")
    assert "ant/2.png (ant has 1 usable to train, 2 needed)" in message("image_folder", tmp_path)
    got, skipped = split("image_folder", tmp_path, on_bad_image="skip")
    assert set(got["label"]) == {"bee"}
    assert skipped["path"].tolist() == ["ant/0.png", "ant/1.png", "ant/2.png"]


def test_nothing_left_is_an_error_even_when_skipping(tmp_path) -> None:
    picture(tmp_path / "ant" / "0.png")
    text = message("image_folder", tmp_path, on_bad_image="skip")
    assert "ant/0.png" in text
    assert "No picture is left" in text
    (tmp_path / "none").mkdir()
    assert "no pictures" in message("image_folder", tmp_path / "none", on_bad_image="skip")


def test_what_systems_leave_is_passed_over(tmp_path) -> None:
    image_folder(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "notes.TXT"):
        (tmp_path / "ant" / name).write_bytes(b"x")
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    for number in range(2):
        picture(tmp_path / "v1.txt" / f"{number}.png")  # a folder is a class, whatever it is called
    got, skipped = split("image_folder", tmp_path)
    assert skipped.empty
    assert set(got["label"]) == {"ant", "bee", "v1.txt"}


def test_links_inside_the_root_are_followed(tmp_path) -> None:
    image_folder(tmp_path / "data")
    (tmp_path / "data" / "ant" / "again.png").symlink_to(tmp_path / "data" / "ant" / "0.png")
    (tmp_path / "root").symlink_to(tmp_path / "data")
    assert len(split("image_folder", tmp_path / "root")[0]) == 7


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("kaggle_dogs", ["labels.csv", "train"]),
        ("stanford_dogs", ["train_list.mat", "test_list.mat", "Images"]),
        ("stanford_cars", ["cars_meta.mat", "cars_train_annos.mat", "cars_train"]),
        ("csv", ["labels.csv"]),
    ],
)
def test_all_that_a_format_lacks_is_named(tmp_path, name, missing) -> None:
    text = message(name, tmp_path, on_bad_image="skip")
    for part in missing:
        assert f"{tmp_path}/" in text
        assert part in text


def test_the_folder_of_pictures_may_not_be_elsewhere(tmp_path) -> None:
    kaggle_dogs(tmp_path / "data")
    (tmp_path / "data" / "train").rename(tmp_path / "train")
    (tmp_path / "data" / "train").symlink_to(tmp_path / "train")
    assert "link out of the data set's root" in message("kaggle_dogs", tmp_path / "data")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"words",
        b"MATLAB 5.0 MAT-file" + bytes(200),
        b"\x89HDF\r\n\x1a\n" + bytes(600),
        None,
        "unlabelled",
        "other",
    ],
)
def test_a_wrong_mat(tmp_path, content) -> None:
    stanford_cars(tmp_path)
    file = tmp_path / "devkit" / "cars_train_annos.mat"
    if content is None:
        file.write_bytes(file.read_bytes()[:300])
    elif content == "unlabelled":
        array = np.array([(1.0, "00001.jpg")], dtype=[("bbox_x1", object), ("fname", object)])
        scipy.io.savemat(file, {"annotations": array})
    elif content == "other":
        scipy.io.savemat(file, {"x": np.zeros(3)})
    else:
        file.write_bytes(content)
    text = message("stanford_cars", tmp_path)
    assert str(file) in text
    if content == "unlabelled":
        assert "no field class" in text


def test_any_cut_of_a_mat_is_an_input_error(tmp_path) -> None:
    stanford_dogs(tmp_path)
    file = tmp_path / "lists" / "train_list.mat"
    data = file.read_bytes()
    for end in range(0, len(data), 41):
        file.write_bytes(data[:end])
        assert str(file) in message("stanford_dogs", tmp_path)


def test_lists_of_different_length(tmp_path) -> None:
    stanford_dogs(tmp_path)
    dog_list(tmp_path, "test", ["n1-a/x.jpg", "n1-a/y.jpg"], [1, 1, 1])
    assert "2 files but 3 labels" in message("stanford_dogs", tmp_path)


@pytest.mark.parametrize("names", [["a", "a"], ["a", " "], []])
def test_class_names_that_are_not_different_texts(tmp_path, names) -> None:
    stanford_cars(tmp_path)
    scipy.io.savemat(tmp_path / "devkit" / "cars_meta.mat", {"class_names": cell(names)})
    assert "class names must be different" in message("stanford_cars", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column path, label"),
        (b"path;label\na;b\n", "no column path, label: it has path;label"),
        (b"path,label\n\xff\xfe,x\n", "UTF-8"),
        (b'path,label\n"a,b\n', "cannot be read as a CSV"),
    ],
)
def test_a_wrong_csv(tmp_path, content, words) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    assert words in message("csv", tmp_path)


def test_a_csv_from_a_spreadsheet(tmp_path) -> None:
    for number in range(4):
        picture(tmp_path / f"Bild {number}, groß.png")
    rows = "".join(f'"Bild {number}, groß.png", NA ,7\r\n' for number in range(4))
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + f"path, label,note\r\n{rows}\r\n".encode())
    got, skipped = split("csv", tmp_path)
    assert skipped.empty
    assert set(got["label"]) == {"NA"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"val_fraction": 0.0}, "val_fraction"),
        ({"val_fraction": 1.0}, "val_fraction"),
        ({"val_fraction": math.nan}, "val_fraction"),
        ({"validation": "some"}, "validation is"),
        ({"on_bad_image": "ignore"}, "on_bad_image is"),
    ],
)
def test_settings_out_of_range(tmp_path, change, words) -> None:
    image_folder(tmp_path)
    assert words in message("image_folder", tmp_path, **change)


def test_an_unknown_format_and_an_absent_root(tmp_path) -> None:
    assert "image_folder, kaggle_dogs" in message("images", tmp_path)
    assert "there is no folder" in message("csv", tmp_path / "nowhere")


counts = st.dictionaries(st.sampled_from(["None", "007", "a b", "Ä"]), st.integers(2, 40), min_size=1)


@given(counts, st.floats(0.01, 0.99), st.integers(0, 2**31), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_split_is_stratified_and_free_of_order(sizes, fraction, seed, shuffle) -> None:
    samples = [Sample(f"{label}/{number}.png", label) for label, size in sizes.items() for number in range(size)]
    first = dataset._assigned(samples, "seeded", fraction, seed)
    for label, size in sizes.items():
        held_out = int(((first["label"] == label) & (first["split"] == "val")).sum())
        assert 1 <= held_out <= size - 1
        assert held_out == min(max(math.floor(size * fraction + 0.5), 1), size - 1)
    shuffle.shuffle(samples)
    pd.testing.assert_frame_equal(dataset._assigned(samples, "seeded", fraction, seed), first)


def test_the_order_of_the_folder_does_not_matter(tmp_path, monkeypatch) -> None:
    image_folder(tmp_path)
    first, _ = split("image_folder", tmp_path)
    scandir, order = os.scandir, random.Random(3)

    class Shuffled:
        def __init__(self, path: str | Path) -> None:
            with scandir(path) as entries:
                self.entries = list(entries)
            order.shuffle(self.entries)

        def __enter__(self) -> list[os.DirEntry]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(dataset.os, "scandir", Shuffled)
    for _ in range(3):
        pd.testing.assert_frame_equal(split("image_folder", tmp_path)[0], first)


def test_seeds_differ_and_one_picture_more_moves_few() -> None:
    def held_out(count: int, seed: int) -> set[str]:
        samples = [Sample(f"{number}.png", "a") for number in range(count)]
        return set(dataset._held_out(samples, 0.2, seed))

    base = held_out(200, 0)
    assert 20 < len(base - held_out(200, 1)) <= 40
    assert len(base ^ held_out(201, 0)) <= 3


names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1)


@given(
    st.lists(
        st.sampled_from(["None", "NA", "nan", "007", "1e5", "", " x", '"', "a,b", "a\rb", "True"]) | names, min_size=1
    )
)
@settings(max_examples=100, deadline=None)
def test_any_class_name_survives_the_file(tmp_path_factory, labels) -> None:
    file = tmp_path_factory.mktemp("split") / "deeper" / "split.csv"
    rows = [(f"{label}/{i}.png", label, i, ("train", "val", "test")[i % 3]) for i, label in enumerate(labels)]
    table = pd.DataFrame(rows, columns=["path", "label", "class_index", "split"])
    write_split(file, table)
    pd.testing.assert_frame_equal(read_split(file), table)


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "path,label,class_index,split\na,b,x,train\n"])
def test_what_is_not_a_split(tmp_path, content) -> None:
    if content is not None:
        (tmp_path / "split.csv").write_text(content)
    with pytest.raises(InputError, match="not a split"):
        read_split(tmp_path / "split.csv")


def test_a_strange_part_is_refused(tmp_path) -> None:
    (tmp_path / "split.csv").write_text("path,label,class_index,split\na,b,0,Train\n")
    with pytest.raises(InputError, match="'Train'"):
        read_split(tmp_path / "split.csv")


def test_listing_makes_no_stat_a_file(tmp_path, monkeypatch) -> None:
    """Ten thousand names: as many calls to stat would take minutes on a network file system."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(5000):
            os.close(os.open(tmp_path / label / f"{number}.png", os.O_CREAT))
    calls = []
    for name in ("stat", "lstat"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, **k: calls.append(a) or real(*a, **k))
    start = time.monotonic()
    samples, _ = read_samples("image_folder", tmp_path)
    assert len(samples) == 10_000
    assert len(calls) < 100
    assert time.monotonic() - start < 10


@pytest.mark.shared_data
def test_real_kaggle_dogs(shared_data) -> None:
    got, skipped = split("kaggle_dogs", shared_data / "dog-breed-identification", val_fraction=0.2)
    assert skipped.empty
    assert (len(got), got["label"].nunique()) == (1700, 120)
    held_out = got[got["split"] == "val"]["label"].value_counts()
    assert held_out.value_counts().to_dict() == {2: 110, 12: 10}


@pytest.mark.shared_data
def test_real_stanford_cars(shared_data) -> None:
    root = shared_data / "stanford_cars"
    got, skipped = split("stanford_cars", root, verify=False)
    assert skipped.empty
    assert got["label"].nunique() == 196
    assert got["split"].value_counts()["test"] == 296
    assert (got["split"] != "test").sum() == 1405
    official, _ = split("stanford_cars", root, validation="official", verify=False)
    assert official["split"].value_counts().to_dict() == {"train": 1405, "val": 296}


@pytest.mark.shared_data
def test_the_real_devkit_of_stanford_cars(shared_data, tmp_path) -> None:
    """The full annotation files over no pictures: each of the 8,144 and 8,041 is named."""
    (tmp_path / "devkit").symlink_to(shared_data / "stanford_cars" / "devkit_original")
    for part in ("train", "test"):
        (tmp_path / f"cars_{part}").mkdir()
    samples, problems = read_samples("stanford_cars", tmp_path)
    assert samples == []
    assert {problem.kind for problem in problems} == {dataset.MISSING}
    paths = [problem.path for problem in problems]
    assert sum(path.startswith("cars_train/") for path in paths) == 8144
    assert sum(path.startswith("cars_test/") for path in paths) == 8041


@pytest.mark.shared_data
def test_one_picture_a_class_cannot_be_split(shared_data) -> None:
    root = shared_data / "imagenet_sample" / "train"
    samples, problems = read_samples("image_folder", root)
    assert (len(samples), problems) == (1000, [])
    text = message("image_folder", root, verify=False)
    assert all(sample.path in text for sample in samples)


@pytest.mark.parametrize("left", [0, 0.5])
def test_a_split_that_was_cut_off_is_to_be_deleted(tmp_path: Path, left: float) -> None:
    table = pd.DataFrame({"path": ["a.png", "b.png"], "label": "x", "class_index": 0, "split": ["train", "val"]})
    write_split(tmp_path / "split.csv", table)
    data = (tmp_path / "split.csv").read_bytes()
    (tmp_path / "split.csv").write_bytes(data[: int(left * len(data))])
    with pytest.raises(InputError, match=r"split\.csv .*delete it and run again"):
        read_split(tmp_path / "split.csv")
