"""A config and the lines of its keys."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_vis.errors import InputError
from featurediff.config.file import ConfigFile, Mistake, in_words, read_config


def read(tmp_path: Path, text: str) -> ConfigFile:
    (tmp_path / "config.yaml").write_text(text)
    return read_config(tmp_path / "config.yaml")


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    found = read(tmp_path, "a: 1\nb:\n  c: {d: 2, e:\n     3}\n  f:\n    - x\n    - {g: 4}\n7: x\n")
    assert found.config == {"a": 1, "b": {"c": {"d": 2, "e": 3}, "f": ["x", {"g": 4}]}, 7: "x"}
    lines = {".".join(path): line for path, line in found.lines.items()}
    expected = {
        "a": 1,
        "b": 2,
        "b.c": 3,
        "b.c.d": 3,
        "b.c.e": 3,
        "b.f": 5,
        "b.f.0": 6,
        "b.f.1": 7,
        "b.f.1.g": 7,
        "7": 8,
    }
    assert lines == expected
    assert found.place(("b", "c", "nothing", "here")) == f"{found.file}:3"
    assert found.place(()) == str(found.file)


def test_keys_that_are_there_twice(tmp_path: Path) -> None:
    found = read(tmp_path, "a: {b: 1, b: 2}\nc: 1\na:\n  b: 3\n")
    assert [mistake.text for mistake in found.mistakes] == [
        "a.b is there twice, on lines 1 and 1: keep one of them",
        "a is there twice, on lines 1 and 3: keep one of them",
    ]


def test_what_is_merged_in_is_not_there_twice(tmp_path: Path) -> None:
    found = read(tmp_path, "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\nz: *x\n")
    assert found.config["y"] == {"a": 3, "b": 2}
    assert found.mistakes == []
    assert found.lines[("y", "a")] == 4
    assert found.lines[("y", "b")] == 1


def test_a_later_file_lies_over_an_earlier(tmp_path: Path) -> None:
    first = ConfigFile(Path("first.yaml"), {}, {("a",): 1, ("a", "b"): 2})
    second = ConfigFile(Path("second.yaml"), {}, {("a",): 7})
    mistakes = [Mistake(("a",), "x"), Mistake(("a", "b", "c"), "y"), Mistake(("d",), "z"), Mistake((), "w")]
    assert in_words(mistakes, [first, second]).splitlines() == [
        "  - second.yaml:7: x",
        "  - first.yaml:2: y",
        "  - z",
        "  - second.yaml: w",
    ]
    assert in_words(mistakes[:1]) == "  - x"


def test_aliases_that_grow_without_end_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InputError, match="too many values"):
        read(tmp_path, "\n".join(lines))


words = st.text(st.characters(categories=["L", "N", "P"]), max_size=8)
configs = st.dictionaries(st.text("abc", min_size=1), st.recursive(st.integers() | words, st.lists, max_leaves=5))
on_one_file = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@on_one_file
@given(configs)
def test_the_config_is_yamls(tmp_path: Path, config: dict) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    assert read_config(file).config == config


@on_one_file
@given(st.binary(max_size=60))
def test_whatever_the_file_holds_there_is_a_config_or_a_message(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    message = ""
    try:
        found = read_config(file)
    except InputError as error:
        message = str(error)
    assert str(file) in message if message else isinstance(found.config, dict)
