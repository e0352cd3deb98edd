"""Whole files or none."""

import stat

import pytest

from feature_vis.files import atomic_path, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def half_a_write() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_a_write()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_made_and_the_suffix_is_kept(tmp_path) -> None:
    with atomic_path(tmp_path / "b" / "c.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"x")
    assert (tmp_path / "b" / "c.png").read_bytes() == b"x"


def test_a_result_is_readable_as_the_umask_says(tmp_path) -> None:
    write_text(tmp_path / "d.txt", "")
    (tmp_path / "e.txt").write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("d.txt", "e.txt")]
    assert modes[0] == modes[1]
