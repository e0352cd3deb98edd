"""The page begins with what both networks disagree about; where nothing can be compared, it says why."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from made_difference import REASON, SENTENCE
from playwright.sync_api import Locator, expect

from browser.conftest import Open
from browser.synthetic import NASTY

TITLE = "What dogs and base disagree about"


def table(section: Locator, name: str) -> Locator:
    return section.get_by_role("region", name=name)


def test_it_is_the_first_thing_on_the_page(visit: Open) -> None:
    tab = visit()
    words = tab.inner_text("main")
    assert words.index(TITLE) < words.index(SENTENCE) < words.index("What was run")
    assert tab.locator("main h2").first.inner_text() == TITLE
    assert f"what cars and base disagree about: {REASON[0].lower()}{REASON[1:]}." in words
    assert tab.get_by_role("region", name="cars and base disagree").count() == 0


def test_each_picture_is_large_and_says_what_each_network_calls_it(visit: Open) -> None:
    section = visit().get_by_role("region", name=TITLE)
    starts = section.locator(".disagreements.start li")
    assert starts.count() == 8
    assert all(box["width"] > 200 for one in starts.locator("img").all() if (box := one.bounding_box()))
    expect(starts.first).to_contain_text("made for beagle (1)")
    expect(starts.first).to_contain_text("dogs: beagle (1) 90 %")
    expect(starts.first).to_contain_text("base: pug (0) 40 %")
    expect(starts.first).to_contain_text("photographs that turn to it: 40 % blended, 20 % pasted")
    expect(starts.nth(6)).to_contain_text("rose most: beagle (1)")
    expect(starts.nth(7)).to_contain_text("dogs: class 3")  # it has no name
    assert section.get_by_text("This picture changes nothing on photographs").count() == 1
    expect(starts.nth(7)).to_contain_text("It changes photographs no more than in base.")
    expect(section.locator(".disagreements.class li")).to_contain_text("made for beagle (1)")


def test_the_pictures_are_in_the_page_s_own_folder(visit: Open, index: Path) -> None:
    tab = visit()
    loaded = tab.locator(".disagreements img").evaluate_all("(all) => all.map((one) => [one.src, one.naturalWidth])")
    assert len(loaded) == 9
    folder = (index.parent / "data" / "difference" / "dogs").as_uri()
    assert all(source.startswith(folder) and width > 0 for source, width in loaded)
    copied = index.parent / "data" / "difference" / "dogs" / "classes" / "class1.png"
    assert copied.read_bytes() == (index.parents[1] / "dogs" / "difference" / "classes" / "class1.png").read_bytes()


def test_the_tables_say_who_agrees_and_what_the_pictures_do(visit: Open) -> None:
    section = visit().get_by_role("region", name=TITLE)
    classes = table(section, "Classes that the pictures of dogs name")
    assert classes.locator("tbody tr").first.inner_text().split("\t") == ["beagle (1)", "6 of 8", "< 0.001", "yes"]
    expect(classes).to_contain_text(f"{NASTY} (2)")
    tried = table(section, "Classes that were tried for dogs").locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in tried] == ["beagle (1)", f"{NASTY} (2)", "class 3", "pug (0)"]
    assert tried[0].split("\t")[1:] == ["42.5", "6"]
    effect = table(section, "Effect of the pictures of dogs on photographs").locator("tbody tr")
    expect(effect.first).to_contain_text(re.compile(r"blended.*45\.0 %40\.0 % to 50\.0 %.*more than other pictures"))
    expect(effect.nth(1)).to_contain_text("not clearly more than other pictures")
    expect(section).to_contain_text("different answers to 12.5 % of 200 photographs (8.6 % to 17.8 %)")
    assert table(section, "Answers that changed in dogs").locator("tbody tr").count() == 10
    expect(section).to_contain_text("2 further changes are in flips.csv")


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window_and_no_rule_of_accessibility_is_broken(visit: Open, width: int) -> None:
    tab = visit(width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(tab, context=".difference-section", options={"preload": False})
    assert [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []
