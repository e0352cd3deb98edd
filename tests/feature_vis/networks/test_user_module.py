"""`module:function`: found beside the config, told apart by its source, and its errors said with their line."""

from pathlib import Path

import pytest

from feature_vis.errors import InputError
from feature_vis.files import write_text
from feature_vis.networks.models import build
from feature_vis.networks.user_module import is_user_module, source_digest, source_files, within


def test_a_users_module_is_said_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["resnet50", "timm:vit_tiny_patch16_224", "nets:build", "/a/n:b"]
    assert [is_user_module(name) for name in names] == [False, False, True, True]
    monkeypatch.chdir(tmp_path)
    assert within("nets:build", tmp_path) == "nets:build"
    assert within("nets:build", tmp_path / "configs") == "configs/nets:build"
    assert within("/home/nets:build", tmp_path / "configs") == "/home/nets:build"
    assert within("resnet50", tmp_path / "configs") == "resnet50"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """`outer` imports `inner.parts` and, in a function, `late`; `stranger` is imported by none."""
    files = {"inner/parts.py": "from . import deepest\nVALUE = 1\n", "inner/deepest.py": "import os\n"}
    build = "def build():\n    import late\n    return torch.nn.ReLU()\n"
    files["outer.py"] = f"import torch\nfrom inner.parts import VALUE\n\n\n{build}"
    for name, text in {**files, "inner/__init__.py": "", "late.py": "", "stranger.py": ""}.items():
        write_text(tmp_path / name, text)
    return tmp_path


def test_what_a_module_imports_from_beside_it_belongs_to_its_source(package: Path) -> None:
    files = {str(file.relative_to(package)) for file in source_files(f"{package}/outer:build")}
    assert files == {"outer.py", "late.py", "inner/__init__.py", "inner/parts.py", "inner/deepest.py"}


def test_the_digest_follows_the_source_and_the_function(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{package}/outer:build"
    before = source_digest(name)
    monkeypatch.chdir(package)
    assert source_digest("outer:build") == before  # wherever the folder lies
    (package / "stranger.py").write_text("X = 1\n")
    assert source_digest(name) == before
    assert source_digest(f"{package}/outer:other") != before
    (package / "inner" / "deepest.py").write_text("import sys\n")
    assert source_digest(name) != before
    assert source_digest("resnet50") == ""


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (None, "absent_one:build", r"the file .*absent_one\.py .*does not exist"),
        ("def other(): pass", "without_it:build", "has no function 'build': it has other"),
        ("import nowhere_to_be_found", "importing:build", r"No module named 'nowhere_to_be_found' \(.*, line 1\)"),
        ("def build():\n    return 1 / 0", "failing:build", r"ZeroDivisionError: division by zero \(.*, line 2\)"),
        ("def build(", "unfinished:build", r"unfinished\.py is not Python|SyntaxError"),
        ("def build():\n    return 3", "number:build", r"returns a int, not a torch\.nn\.Module"),
        ("", "no_function:", "is no network"),
        ("def build(): pass", "json:build", "there is another module json"),
    ],
)
def test_mistakes_of_the_user_are_said(source: str | None, name: str, message: str, tmp_path: Path) -> None:
    if source is not None:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(source)
    with pytest.raises(InputError, match=message):
        build(f"{tmp_path}/{name}")
    if "does not exist" in message or "Python" in message or "no network" in message:
        with pytest.raises(InputError, match=message):
            source_digest(f"{tmp_path}/{name}")  # what the workflow asks before
