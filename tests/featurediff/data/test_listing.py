"""What lies in a data set's folders."""

import os
import random
from contextlib import nullcontext
from unittest.mock import Mock

import pandas as pd
from made_data import image_folder, picture, split

from featurediff.data import listing as data_listing
from featurediff.data.formats import read_samples


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


def test_links_inside_the_root_are_followed_and_one_that_leads_to_itself_is_named(tmp_path) -> None:
    ant = tmp_path / "data" / "ant"
    image_folder(tmp_path / "data")
    (ant / "again.png").symlink_to(ant / "0.png")
    for name in ("loop.png", "loop.csv", "loop"):
        (ant / name).symlink_to(ant / name)
    (tmp_path / "root").symlink_to(tmp_path / "data")
    samples, problems = read_samples("image_folder", tmp_path / "root")
    assert len(samples) == 7
    assert [problem.path for problem in problems] == ["ant/loop", "ant/loop.png"]  # a list is passed over


def test_the_order_of_the_folder_does_not_matter(tmp_path, monkeypatch) -> None:
    image_folder(tmp_path)
    first, _ = split("image_folder", tmp_path)
    scandir, order = os.scandir, random.Random(3)

    def shuffled(path: str) -> nullcontext[list[os.DirEntry]]:
        with scandir(path) as entries:
            found = list(entries)
        order.shuffle(found)
        return nullcontext(found)

    monkeypatch.setattr(data_listing.os, "scandir", shuffled)
    for _ in range(3):
        pd.testing.assert_frame_equal(split("image_folder", tmp_path)[0], first)


def test_listing_makes_no_stat_a_file(tmp_path, monkeypatch) -> None:
    """As many calls to stat as there are names would take minutes on a network file system."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(1000):
            (tmp_path / label / f"{number}.png").touch()
    stat, lstat = Mock(wraps=os.stat), Mock(wraps=os.lstat)
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "lstat", lstat)
    samples, _ = read_samples("image_folder", tmp_path)
    assert len(samples) == 2_000
    assert stat.call_count + lstat.call_count < 50
