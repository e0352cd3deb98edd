"""Every offender is named; the split is stratified and repeatable."""

import math
import os
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import CARS, MAKERS, car_annotations, dog_list, image_folder, message, picture, split, table

from feature_vis.errors import InputError
from featurediff.data.formats import read_samples
from featurediff.data.split import make_split, read_split, write_split

pytestmark = pytest.mark.usefixtures("mat_files_in_this_process")


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


@pytest.mark.parametrize("name", ["stanford_dogs", "stanford_cars"])
def test_the_official_part_validates_or_tests(tmp_path, name) -> None:
    MAKERS[name](tmp_path)
    seeded, _ = split(name, tmp_path)
    official, _ = split(name, tmp_path, validation="official")
    assert seeded["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 4}
    assert official["split"].value_counts().to_dict() == {"train": 6, "val": 4}
    assert official[official["split"] == "val"]["path"].str.contains("test").all()


def test_no_official_part(tmp_path) -> None:
    image_folder(tmp_path)
    assert "validation: seeded" in message("image_folder", tmp_path, validation="official")


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
    assert f"{len(offenders)} problems" in text
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


def test_without_verification_no_picture_is_opened(tmp_path) -> None:
    image_folder(tmp_path)
    (tmp_path / "ant" / "words.png").write_text("words")
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
    assert "Nothing else is left" in text
    (tmp_path / "none").mkdir()
    assert "no photographs" in message("image_folder", tmp_path / "none", on_bad_image="skip")


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


def labelled(root: Path, sizes: dict[str, int], shuffle: random.Random | None = None) -> Path:
    """A data set of empty files, `<label>/<number>.png`, with a list of labels in any order."""
    rows = [(f"{label}/{number}.png", label) for label, size in sizes.items() for number in range(size)]
    for path, _ in rows:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    if shuffle is not None:
        shuffle.shuffle(rows)
    table(root / "labels.csv", ("path", "label"), *rows)
    return root


counts = st.dictionaries(st.sampled_from(["None", "007", "a b", "Ä"]), st.integers(2, 40), min_size=1)


@given(counts, st.floats(0.01, 0.99), st.integers(0, 2**31), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_split_is_stratified_and_free_of_order(tmp_path_factory, sizes, fraction, seed, shuffle) -> None:
    root = labelled(tmp_path_factory.mktemp("data"), sizes)
    options = {"val_fraction": fraction, "seed": seed, "verify": False}
    first, _ = split("csv", root, **options)
    for label, size in sizes.items():
        held_out = int(((first["label"] == label) & (first["split"] == "val")).sum())
        assert held_out == min(max(math.floor(size * fraction + 0.5), 1), size - 1)
    pd.testing.assert_frame_equal(split("csv", labelled(root, sizes, shuffle), **options)[0], first)


@pytest.mark.parametrize(("count", "train"), [(22, 17), (44, 35)])
def test_an_unstratified_split_cuts_off_the_share_that_trains_and_asks_for_no_class(tmp_path, count, train) -> None:
    root = labelled(tmp_path, {"a": count // 2, "b": count // 2})
    options = {"val_fraction": 0.2, "verify": False}
    parts = split("csv", root, validation="unstratified", **options)[0]
    assert parts["split"].value_counts().to_dict() == {"train": train, "val": count - train}
    assert set(split("csv", labelled(tmp_path / "one", {"a": 1}), validation="unstratified", **options)[0]["split"])


def test_seeds_differ_and_one_picture_more_moves_few(tmp_path) -> None:
    def held_out(count: int, seed: int) -> set[str]:
        root = labelled(tmp_path, {"a": count})
        parts = split("csv", root, val_fraction=0.2, seed=seed, verify=False)[0]
        return set(parts[parts["split"] == "val"]["path"])

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
    rows = [(f"{i}{label}.png", label, i, ("train", "val", "test")[i % 3]) for i, label in enumerate(labels)]
    written = pd.DataFrame(rows, columns=["path", "label", "class_index", "split"])
    write_split(file, written)
    pd.testing.assert_frame_equal(read_split(file), written)


HEAD = "path,label,class_index,split\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not a split"),
        ("", "not a split"),
        ("a,b\n1,2\n", "not a split"),
        (f"{HEAD}a,b,x,train\n", "not a split"),
        (f"{HEAD}a,b,0,train\nb,c,1,va", r"split\.csv .*delete it and run again"),  # cut off
        (f"{HEAD}a,b,0,Train\n", "'Train'"),
        (f"{HEAD}../a.png,b,0,train\n", "leaves the data set's root"),
        (f"{HEAD}/etc/passwd,b,0,train\n", "leaves the data set's root"),
        (f"{HEAD}a/../../b.png,b,0,train\n", "leaves the data set's root"),
    ],
)
def test_a_file_that_is_not_a_split_is_refused(tmp_path, content, words) -> None:
    if content is not None:
        (tmp_path / "split.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        read_split(tmp_path / "split.csv")


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
def test_one_picture_a_class_cannot_be_split(shared_data) -> None:
    root = shared_data / "imagenet_sample" / "train"
    samples, problems = read_samples("image_folder", root)
    assert (len(samples), problems) == (1000, [])
    text = message("image_folder", root, verify=False)
    assert all(sample.path in text for sample in samples)


def test_pictures_without_classes_all_probe(tmp_path: Path) -> None:
    for name in ("a.png", "2024/june/b.png", "2024/c.png"):
        picture(tmp_path / name)
    (tmp_path / "2024" / "notes.txt").write_text("none")
    (tmp_path / "2024" / "film.mov").write_bytes(b"x")
    with pytest.raises(InputError, match=r"2024/film\.mov"):
        make_split("unlabelled", tmp_path, val_fraction=0.2, seed=0)
    split, skipped = make_split("unlabelled", tmp_path, val_fraction=0.2, seed=0, on_bad_image="skip")
    assert split["path"].tolist() == ["2024/c.png", "2024/june/b.png", "a.png"]
    assert split["split"].tolist() == ["val"] * 3
    assert split["label"].tolist() == [""] * 3
    assert skipped["path"].tolist() == ["2024/film.mov"]
    write_split(tmp_path / "split.csv", split)
    pd.testing.assert_frame_equal(read_split(tmp_path / "split.csv"), split)
