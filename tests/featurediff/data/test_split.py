"""Every offender is named; the split is stratified and repeatable."""

import math
import os
import random
import re
from pathlib import Path

import pandas as pd
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import CARS, MAKERS, car_annotations, car_names, dog_list, image_folder, message, picture, split, table

from feature_vis.errors import InputError
from featurediff.data.formats import read_samples
from featurediff.data.split import read_split, write_split

pytestmark = pytest.mark.usefixtures("mat_files_in_this_process")


@pytest.mark.parametrize("name", MAKERS)
def test_each_format(tmp_path, name) -> None:
    MAKERS[name](tmp_path)
    samples, problems = read_samples(name, tmp_path)
    assert problems == []
    assert samples == sorted(samples)
    assert sum(sample.part == "train" for sample in samples) == 6
    got, skipped = split(name, tmp_path)
    assert skipped.empty
    assert list(skipped.columns) == ["path", "reason"]
    assert list(got.columns) == ["path", "label", "class_index", "split"]
    assert got["path"].tolist() == sorted(got["path"])
    assert set(got[got["split"] != "test"].groupby("label")["split"].value_counts()) == {1, 2}
    classes = sorted(set(got["label"]))
    assert [classes[number] for number in got["class_index"]] == got["label"].tolist()
    if name in ("stanford_dogs", "stanford_cars"):
        assert got["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 4}
        official, _ = split(name, tmp_path, validation="official")
        assert official["split"].value_counts().to_dict() == {"train": 6, "val": 4}
        assert official[official["split"] == "val"]["path"].str.contains("test").all()
    else:
        assert "validation: seeded" in message(name, tmp_path, validation="official")


# Each of these spoils a data set. All files whose names are returned must be in the message, and left out by `skip`.
def spoil_folder(root: Path) -> set[str]:
    for path in ("astray.png", "ant/inner/x.png", "dodo/only.png", "../outside.png"):
        picture(root / path)
    (root / "cat").mkdir()
    (root / "empty but for a note").mkdir()
    data = (root / "bee" / "1.png").read_bytes()
    contents = {"bee/words.png": b"words", "bee/words.pdf": b"words", "bee/cut.png": data[:-30]}
    contents |= {"ant/new\nline.png": data, os.fsdecode(b"ant/latin\xe9.png"): data}
    for path, content in ({"empty but for a note/note.txt": b"hello"} | contents).items():
        (root / path).write_bytes(content)
    links = {"bee/link.png": root.parent / "outside.png", "bee/dead.png": root / "nothing.png", "far": root.parent}
    for path, target in links.items():
        (root / path).symlink_to(target)
    os.mkfifo(root / "ant" / "pipe.png")
    names = {"astray.png", "ant/inner", "cat", "empty but for a note", "dodo/only.png", "ant/pipe.png", *links}
    return names | {r"'ant/new\nline.png'", r"'ant/latin\udce9.png'", "bee/words.png", "bee/words.pdf", "bee/cut.png"}


def spoil_kaggle(root: Path) -> set[str]:
    for path in ("train/stray.jpg", "train/blank.jpg", "train/comma.jpg", "secret.jpg"):
        picture(root / path)
    (root / "train" / "inner").mkdir()
    with (root / "labels.csv").open("a") as text:
        text.write("absent,pug\n../secret,pug\n../../secret,pug\n/etc/passwd,pug\n")
        text.write("000,pug\n000,boxer\nblank,\n,pug\ncomma,Shih, Tzu\ninner.jpg/../../../../x,pug\n")
    outside = {"../secret", "../../secret", "/etc/passwd", "train/inner.jpg/../../../../x.jpg"}
    listed = {f"train/{name}.jpg" for name in ("absent", "000", "blank", "stray", "comma")}
    return outside | listed | {"(labels.csv line 15)", "train/inner"}


def spoil_stanford_dogs(root: Path) -> set[str]:
    content = scipy.io.loadmat(root / "lists" / "test_list.mat")
    names = [str(name[0][0]) for name in content["file_list"]]
    names += ["n02085620-Chihuahua/absent.jpg", "../../x.jpg", names[0], "nobreed/x.jpg", "n02085620-Chihuahua/w.jpg"]
    for name in (*names[-2:], "n02085620-Chihuahua/stray.jpg", "stray.jpg"):
        picture(root / "Images" / name)
    (root / "Images" / "n1-empty").mkdir()
    dog_list(root, "test", names, [*content["labels"].ravel(), 1, 1, 1, 3, 2])
    found = (*names[-3:], names[-5], "n1-empty", "n02085620-Chihuahua/stray.jpg", "stray.jpg")
    return {"../../x.jpg"} | {f"Images/{name}" for name in found}


def spoil_cars(root: Path) -> set[str]:
    rows = [(f"{number:05}.jpg", number % 2 + 1) for number in range(1, 7)]
    rows += [("absent.jpg", 1), ("odd.jpg", 4), ("half.jpg", 1.5), ("../../x.jpg", 1), ("00001.jpg", 2)]
    car_annotations(root / "devkit" / "cars_train_annos.mat", rows)
    for name in ("odd", "half", "stray"):
        picture(root / "cars_train" / f"{name}.jpg")
    car_names(root, [*CARS, "Nobody's Car 1999"])
    listed = ("absent", "odd", "half", "stray", "00001")
    return {f"cars_train/{name}.jpg" for name in listed} | {"../../x.jpg", "Nobody's Car 1999"}


def spoil_csv(root: Path) -> set[str]:
    for path in ("other/stray.png", "real/a.png", "../outside/x.png"):
        picture(root / path)
    (root / "circle").symlink_to(root)
    (root / "away").symlink_to(root.parent / "outside")
    with (root / "labels.csv").open("a") as text:
        text.write("absent.png,cup\n../outside/x.png,cup\naway/x.png,cup\n")
        text.write("cups/deep/../deep/0.png,jug\nother,cup\nonly,cup,3\n")
        text.write(f"{root}/real/a.png,cup\n{'x' * 300}.png,cup\nnul\0.png,cup\n")
    names = {"absent.png", "../outside/x.png", "away/x.png", "away", "cups/deep/0.png", "other", "only"}
    return names | {f"{root}/real/a.png", f"{'x' * 300}.png", "real/a.png", "other/stray.png", r"'nul\x00.png'"}


SPOILERS = {"image_folder": spoil_folder, "kaggle_dogs": spoil_kaggle, "stanford_dogs": spoil_stanford_dogs}
SPOILERS |= {"stanford_cars": spoil_cars, "csv": spoil_csv}


@pytest.mark.parametrize("name", SPOILERS)
def test_every_offender_is_named_and_skipped(tmp_path, name) -> None:
    root = tmp_path / "data"
    MAKERS[name](root)
    whole, _ = split(name, root)
    offenders = SPOILERS[name](root)
    text = message(name, root)
    assert f"{len(offenders)} problems" in text
    assert "on_bad_image: skip" in text
    for offender in offenders:
        assert len(re.findall(rf"^  {re.escape(offender)}(?: \(|$)", text, re.MULTILINE)) == 1, offender
    got, skipped = split(name, root, on_bad_image="skip")
    assert sorted(skipped["path"]) == sorted(offenders)
    assert skipped["reason"].str.len().min() > 5
    assert set(got["path"]) == set(whole["path"]) - offenders
    skipped.to_csv(tmp_path / "skipped.csv", index=False)  # its names can be written
    write_split(tmp_path / "split.csv", got)
    pd.testing.assert_frame_equal(read_split(tmp_path / "split.csv"), got)


def test_offenders_are_grouped_and_a_class_made_small_by_them_is_named(tmp_path) -> None:
    image_folder(tmp_path)
    names = [f"ant/{number}.png" for number in (0, 1, *range(3, 1000))]
    for name in names:
        (tmp_path / name).write_text("words")
    (tmp_path / "cat").mkdir()
    assert len(split("image_folder", tmp_path, verify=False, on_bad_image="skip")[0]) == 1003  # no picture is opened
    lines = message("image_folder", tmp_path).splitlines()
    assert {"not a picture (999):", "an empty class (1):"} <= {*lines}
    assert {line.partition(" (")[0] for line in lines} >= {f"  {name}" for name in names}
    assert "  ant/2.png (ant has 1 usable to train, 2 needed)" in lines
    got, skipped = split("image_folder", tmp_path, on_bad_image="skip")
    assert set(got["label"]) == {"bee"}
    assert skipped["path"].tolist() == sorted([*names, "ant/2.png", "cat"])


def test_nothing_left_is_an_error_even_when_skipping(tmp_path) -> None:
    assert "no photographs" in message("image_folder", tmp_path, on_bad_image="skip")
    picture(tmp_path / "ant" / "0.png")
    text = message("image_folder", tmp_path, on_bad_image="skip")
    assert "ant/0.png" in text
    assert "Nothing else is left" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("val_fraction", value) for value in (0.0, 1.0, math.nan)), ("validation", "some"), ("on_bad_image", "ignore")],
)
def test_settings_out_of_range(tmp_path, name, value) -> None:
    image_folder(tmp_path)
    assert f"{name} is" in message("image_folder", tmp_path, **{name: value})


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


def test_an_unstratified_split_cuts_off_the_share_that_trains_and_asks_for_no_class(tmp_path) -> None:
    options = {"val_fraction": 0.2, "verify": False, "validation": "unstratified"}
    for half, train in ((11, 17), (22, 35)):
        parts = split("csv", labelled(tmp_path, {"a": half, "b": half}), **options)[0]
        assert parts["split"].value_counts().to_dict() == {"train": train, "val": 2 * half - train}
    assert len(split("csv", labelled(tmp_path / "one", {"a": 1}), **options)[0]) == 1


def test_seeds_differ_and_one_picture_more_moves_few(tmp_path) -> None:
    def held_out(count: int, seed: int) -> set[str]:
        parts = split("csv", labelled(tmp_path, {"a": count}), val_fraction=0.2, seed=seed, verify=False)[0]
        return set(parts[parts["split"] == "val"]["path"])

    base = held_out(200, 0)
    assert 20 < len(base - held_out(200, 1)) <= 40
    assert len(base ^ held_out(201, 0)) <= 3


ODD = ["None", "NA", "nan", "007", "1e5", "", " x", '"', "a,b", "a\rb", "True"]
names = st.sampled_from(ODD) | st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1)


@given(st.lists(names, min_size=1))
@settings(max_examples=100, deadline=None)
def test_any_class_name_survives_the_file(tmp_path_factory, labels) -> None:
    file = tmp_path_factory.mktemp("split") / "deeper" / "split.csv"
    rows = [(f"{i}{label}.png", label, i, ("train", "val", "test")[i % 3]) for i, label in enumerate(labels)]
    written = pd.DataFrame(rows, columns=["path", "label", "class_index", "split"])
    write_split(file, written)
    pd.testing.assert_frame_equal(read_split(file), written)


HEAD = "path,label,class_index,split\n"
LEAVING = ["../a.png", "/etc/passwd", "a/../../b.png"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not a split"),
        ("", "not a split"),
        ("a,b\n1,2\n", "not a split"),
        (f"{HEAD}a,b,x,train\n", "not a split"),
        (f"{HEAD}a,b,0,train\nb,c,1,va", r"split\.csv .*delete it and run again"),  # cut off
        (f"{HEAD}a,b,0,Train\n", "'Train'"),
        *[(f"{HEAD}{path},b,0,train\n", "leaves the data set's root") for path in LEAVING],
    ],
)
def test_a_file_that_is_not_a_split_is_refused(tmp_path, content, words) -> None:
    if content is not None:
        (tmp_path / "split.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        read_split(tmp_path / "split.csv")


@pytest.mark.shared_data
def test_real_data(shared_data) -> None:
    dogs, skipped = split("kaggle_dogs", shared_data / "dog-breed-identification", val_fraction=0.2)
    assert skipped.empty
    assert (len(dogs), dogs["label"].nunique()) == (1700, 120)
    held_out = dogs[dogs["split"] == "val"]["label"].value_counts()
    assert held_out.value_counts().to_dict() == {2: 110, 12: 10}
    root = shared_data / "stanford_cars"
    cars, skipped = split("stanford_cars", root, verify=False)
    assert skipped.empty
    assert cars["label"].nunique() == 196
    assert (cars["split"] == "test").value_counts().to_dict() == {True: 296, False: 1405}
    official, _ = split("stanford_cars", root, validation="official", verify=False)
    assert official["split"].value_counts().to_dict() == {"train": 1405, "val": 296}


def test_pictures_without_classes_all_probe(tmp_path: Path) -> None:
    for name in ("a.png", "2024/june/b.png", "2024/c.png"):
        picture(tmp_path / name)
    (tmp_path / "2024" / "notes.txt").write_text("none")
    (tmp_path / "2024" / "film.mov").write_bytes(b"x")
    assert "2024/film.mov" in message("unlabelled", tmp_path)
    got, skipped = split("unlabelled", tmp_path, on_bad_image="skip")
    rows = [(path, "", 0, "val") for path in ("2024/c.png", "2024/june/b.png", "a.png")]
    assert list(got.itertuples(index=False, name=None)) == rows
    assert skipped["path"].tolist() == ["2024/film.mov"]
    write_split(tmp_path / "split.csv", got)
    pd.testing.assert_frame_equal(read_split(tmp_path / "split.csv"), got)
