"""The files of the page: what they hold, and what they must not."""

import json
import re
from pathlib import Path

import pytest

from browser.synthetic import CLASSES, LAYERS, NASTY, TUNED, write_run
from featurediff.report.page import data_script

TOTAL = sum(LAYERS.values())


def received(file: Path) -> tuple[str, object]:
    """Key and value of a script of data."""
    call = re.fullmatch(r'featurediff\.receive\(("[^"]*"),(.*)\);\n', file.read_text(encoding="utf-8"), re.DOTALL)
    assert call is not None, file
    return json.loads(call[1]), json.loads(call[2])


def test_every_script_of_data_hands_over_its_own_key(index: Path) -> None:
    data = index.parent / "data"
    found = dict(received(file) for file in data.rglob("*.js"))
    assert set(found) == {file.relative_to(data).with_suffix("").as_posix() for file in data.rglob("*.js")}
    columns = found["run"]["columns"]  # type: ignore[index]
    for network in TUNED:
        for number in range(len(columns[network])):
            assert len(found[f"networks/{network}/column-{number}"]) == TOTAL  # type: ignore[arg-type]
    assert found["run"]["meanings"]["excess"]["unit"] == "spreads"  # the ranking's, not the film's
    assert found["run"]["networks"][1]["class_names"] == CLASSES  # type: ignore[index]


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", "a\u2028b\u2029", '"\\', NASTY])
def test_no_text_ends_a_script(text: str) -> None:
    script = data_script("key", {text: [text]})
    assert "<" not in script
    assert "\u2028" not in script
    assert json.loads(script.partition(",")[2].removesuffix(");\n")) == {text: [text]}


def test_nothing_is_fetched_from_elsewhere_and_no_path_of_this_machine_is_told(index: Path) -> None:
    for file in [index, *(index.parent / "page").iterdir()]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert not re.search(r"https?:|@import|\burl\(\s*[\"']?//|innerHTML|insertAdjacentHTML", text), file
    for file in [index, *(index.parent / "data").rglob("*.js")]:
        assert str(index.parents[2]) not in file.read_text(encoding="utf-8")


def test_equal_runs_give_equal_bytes_and_what_an_older_page_left_is_removed(index: Path, tmp_path: Path) -> None:
    (tmp_path / "results/report/data/networks/gone").mkdir(parents=True)
    again = write_run(tmp_path)
    assert not (again.parent / "data/networks/gone").exists()
    files = {file.relative_to(index.parent) for file in index.parent.rglob("*") if file.is_file()}
    assert files == {file.relative_to(again.parent) for file in again.parent.rglob("*") if file.is_file()}
    assert all((index.parent / file).read_bytes() == (again.parent / file).read_bytes() for file in files)
