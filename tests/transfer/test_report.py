"""The page as a browser reads it: parsed, with every address followed."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from PIL import Image

from feature_vis.errors import InputError
from transfer.report import Comparison, NetworkSummary, Pair, ReportData, Sheet, write_report

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Elements with their attributes, the text, and whether every element was closed."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def image(path: Path, size: tuple[int, int] = (20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> ReportData:
    table = pd.DataFrame(
        {
            "model": "dogs",
            "layer": "layer4.2",
            "channel": [0, 1, 2, 3],
            "cosine": [0.75, 0.25, 0.5, 0.1],
            "gram_layer1": [0.2, 0.4, 0.6, 0.8],
            "gram_layer2": [0.0, 0.2, 0.2, 0.0],
            "bad_base": [False, False, False, True],
            "bad_tuned": False,
            "rank": pd.array([3, 1, 2, None], "Int64"),
            "floor": [0.8, 0.9, 0.85, float("nan")],
        }
    )
    pairs = [Pair(channel, image(tmp_path / f"results/pairs/channel{channel}.png", (44, 20))) for channel in (0, 1)]
    return ReportData(
        title="What changed",
        base="base",
        networks=[
            NetworkSummary("base", "resnet50", weights="IMAGENET1K_V2"),
            NetworkSummary("dogs", "resnet50", "base", "breeds", 4, 0.9876, 0.5, ["pug", "beagle"]),
        ],
        comparisons=[Comparison("dogs", "layer4.2", table, pairs)],
        facts={"seed": 0},
        training_curves=image(tmp_path / "results/plots/training.png", (300, 100)),
        similarity_plot=image(tmp_path / "results/plots/similarity.png", (200, 100)),
        sheets=[Sheet("dogs", "layer4.2", image(tmp_path / "results/plots/sheet.png", (60, 90)))],
        changes=pd.DataFrame(
            {
                "model": ["dogs"],
                "layer": ["layer4.2"],
                "test": ["excess"],
                "channels": [4],
                "tested": [3],
                "changed": [1],
            }
        ).assign(share=1 / 3, share_low=0.061, share_high=0.792, reason=""),
        bad_channels=pd.DataFrame(
            {
                "model": ["base"],
                "layer": ["layer4.2"],
                "channel": [3],
                "score": [212.3],
                "reason": ["grey"],
                "seed": [1],
            }
        ),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "results" / "report" / "index.html"


def test_page_says_what_was_run_and_found(data: ReportData, file: Path) -> None:
    write_report(file, data)
    text = Page(file).text
    assert Page(file).open == []
    assert "What changed" in text
    assert "dogs resnet50 base breeds 2 4 98.8 % 50.0 %" in text
    assert "base resnet50 IMAGENET1K_V2 – – – – –" in text
    assert "seed 0" in text
    assert "dogs layer4.2 4 1 0.250 0.500 0.750 0.850" in text  # channels, faulty, lowest, median, highest, noise floor
    assert "channel 1 · rank 1 of 3 cosine 0.250 · Gram 0.3" in text
    assert text.index("channel 1 · rank 1") < text.index("channel 0 · rank 3")
    assert "3 1 212 grey" in text  # channel, seed, score
    assert "dogs layer4.2 beyond drift 4 3 1 33.3 % 6.1 % to 79.2 %" in text


def test_pictures_are_found_from_the_page_and_described(data: ReportData, file: Path) -> None:
    write_report(file, data)
    images = Page(file).all("img")
    assert len(images) == 5
    for attributes in images:
        source = attributes["src"] or ""
        assert source.startswith("../")
        with Image.open(file.parent / unquote(source)) as picture:
            assert (attributes["width"], attributes["height"]) == tuple(map(str, picture.size))
        assert attributes["alt"]
        assert attributes["loading"] == "lazy"


def test_folder_may_move(data: ReportData, file: Path, tmp_path: Path) -> None:
    write_report(file, data)
    moved = (tmp_path / "results").rename(tmp_path / "elsewhere") / "report" / "index.html"
    assert str(tmp_path) not in moved.read_text(encoding="utf-8")
    assert all((moved.parent / unquote(str(attributes["src"]))).is_file() for attributes in Page(moved).all("img"))


def test_nothing_is_fetched_from_elsewhere(data: ReportData, file: Path) -> None:
    write_report(file, data)
    page = Page(file)
    assert not page.all("script")
    assert not page.all("link")
    text = file.read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text


def test_links_within_the_page_lead_somewhere(data: ReportData, file: Path) -> None:
    write_report(file, data)
    page = Page(file)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [str(a["href"])[1:] for a in page.all("a") if str(a["href"]).startswith("#")]
    assert targets
    assert set(targets) <= set(ids)


def test_what_comes_from_outside_is_escaped(data: ReportData, file: Path, tmp_path: Path) -> None:
    name = "a '<script>\" b#c?d%20.png"
    table = data.comparisons[0].table
    evil = replace(
        data,
        title=EVIL,
        base=EVIL,
        networks=[NetworkSummary(EVIL, EVIL, EVIL, EVIL, class_names=[EVIL])],
        facts={EVIL: EVIL},
        comparisons=[Comparison(EVIL, EVIL, table, [Pair(1, image(tmp_path / "results" / name))])],
        sheets=[Sheet(EVIL, EVIL, image(tmp_path / "results" / f"sheet {name}"))],
        bad_channels=pd.DataFrame(
            [{"model": EVIL, "layer": EVIL, "channel": 1, "score": 1.0, "reason": EVIL, "seed": 0}]
        ),
    )
    write_report(file, evil)
    page = Page(file)
    assert not page.all("script")
    assert "<script" not in file.read_text(encoding="utf-8")
    assert page.text.count(EVIL) >= 15  # shown as text, wherever it stands
    assert all(
        set(attributes) <= {"class", "src", "width", "height", "loading", "alt", "style"}
        for attributes in page.all("img")
    )
    assert all((file.parent / unquote(str(attributes["src"]))).is_file() for attributes in page.all("img"))


def test_a_bare_report_says_what_is_missing(file: Path) -> None:
    table = pd.DataFrame(
        {"channel": [0], "cosine": [0.5], "rank": [float("nan")], "bad_base": [True], "bad_tuned": [False]}
    )
    write_report(file, ReportData("Title", "base", [NetworkSummary("base", "x")], [Comparison("dogs", "a", table)]))
    text = Page(file).text
    assert "No pair to show: 1 of 1 channels have a faulty picture" in text
    assert "dogs a 1 1 – – –" in text
    assert "nan" not in text
    assert "None: every picture rose" in text


def test_equal_data_give_equal_bytes_and_csv_reads_back(data: ReportData, file: Path, tmp_path: Path) -> None:
    write_report(file, data)
    first = file.read_bytes()
    data.comparisons[0].table.to_csv(tmp_path / "table.csv", index=False)
    again = replace(data.comparisons[0], table=pd.read_csv(tmp_path / "table.csv"))
    write_report(file, replace(data, comparisons=[again]))
    assert file.read_bytes() == first


def test_missing_pictures_and_strangers_are_errors(data: ReportData, file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png"):
        write_report(file, replace(data, similarity_plot=tmp_path / "gone.png"))
    comparison = replace(data.comparisons[0], pairs=[Pair(77, tmp_path / "x.png")])
    with pytest.raises(InputError, match="77"):
        write_report(file, replace(data, comparisons=[comparison]))
    lacking = replace(data.comparisons[0], table=data.comparisons[0].table.drop(columns="rank"))
    with pytest.raises(InputError, match="rank"):
        write_report(file, replace(data, comparisons=[lacking]))
    assert not file.exists()
