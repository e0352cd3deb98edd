"""A config and the lines of its keys."""

from pathlib import Path

import pytest

from feature_vis.errors import InputError
from featurediff.config.file import ConfigFile, Mistake, format_mistakes, read_config


def read(tmp_path: Path, text: str | bytes) -> ConfigFile:
    (tmp_path / "config.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config(tmp_path / "config.yaml")


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    found = read(tmp_path, "a: 1\nb:\n  c: {d: 2, e:\n     3}\n  f:\n    - x\n    - {g: é}\n7: x\n")
    assert found.config == {"a": 1, "b": {"c": {"d": 2, "e": 3}, "f": ["x", {"g": "é"}]}, 7: "x"}
    lines = {".".join(path): line for path, line in found.lines.items()}
    nested = {"b.c": 3, "b.c.d": 3, "b.c.e": 3, "b.f": 5, "b.f.0": 6, "b.f.1": 7, "b.f.1.g": 7}
    assert lines == {"a": 1, "b": 2, **nested, "7": 8}
    unknown = [Mistake(("b", "c", "nothing", "here"), "x"), Mistake((), "y")]
    assert format_mistakes(unknown, [found]) == f"  - {found.file}: y\n  - {found.file}:3: x"


def test_keys_that_are_there_twice_but_for_those_that_are_merged_in(tmp_path: Path) -> None:
    found = read(tmp_path, "a: {b: 1, b: 2}\nc: 1\na:\n  b: 3\n")
    assert [mistake.text for mistake in found.mistakes] == [
        "a.b is there twice, on lines 1 and 1: keep one of them",
        "a is there twice, on lines 1 and 3: keep one of them",
    ]
    found = read(tmp_path, "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\nz: *x\n")
    assert (found.config["y"], found.mistakes) == ({"a": 3, "b": 2}, [])
    assert (found.lines["y", "a"], found.lines["y", "b"]) == (4, 1)


def test_mistakes_are_listed_once_in_the_order_of_the_files_and_a_later_file_lies_over_an_earlier() -> None:
    first = ConfigFile(Path("first.yaml"), {}, {("a",): 1, ("a", "b"): 2})
    second = ConfigFile(Path("second.yaml"), {}, {("a",): 7})
    mistakes = [Mistake(("a",), "x"), Mistake(("a", "b", "c"), "y"), Mistake(("d",), "z"), Mistake((), "w")]
    listed = ["  - z", "  - second.yaml: w", "  - first.yaml:2: y", "  - second.yaml:7: x"]
    assert format_mistakes([*mistakes, *mistakes], [first, second]).splitlines() == listed
    assert format_mistakes(mistakes[:1]) == "  - x"


GROWING = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]" for n in range(9))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b: 1\na: [", "config.yaml:2: not YAML"),
        ("!!python/object:os.system x", "config.yaml:1: not YAML"),
        ("a: 2026-99-99", "config.yaml: not YAML: month must be in"),
        (b"a: \xff", "config.yaml cannot be read as text in UTF-8"),
        ("- a", "config.yaml: a config has keys and values"),
        ("a: &a [*a]", "leads back to itself"),
        (GROWING, "too many values"),
    ],
)
def test_what_is_no_config(text: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)
