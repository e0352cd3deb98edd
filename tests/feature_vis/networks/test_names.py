"""What is meant as a library's name for weights, and what as a file."""

from pathlib import Path

import pytest

from feature_vis.networks.names import is_weights_name


def test_a_name_has_no_folder_no_ending_and_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").touch()
    asked = ["IMAGENET1K_V1", "folder/IMAGENET1K_V1", "weights.pth", "weights"]
    assert [is_weights_name(each) for each in asked] == [True, False, False, False]
