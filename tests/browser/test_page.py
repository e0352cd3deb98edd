"""The page as it is used: from `file://`, with the network off, by mouse, by keyboard, on a phone, in the dark."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from browser.conftest import Open, draw_all, shown
from browser.synthetic import FORMULA, LAYERS, NASTY, write_run
from featurediff.runtime.csv_injection import as_text

CHANNEL = "#/channel/layer4.1:2?network=dogs"
VIEWS = ("#/overview", "#/browser", CHANNEL, "#/compare", "#/failed", "#/columns")
TOTAL = sum(LAYERS.values())


def labels(tab: Page) -> list[str]:
    return tab.locator(".grid .card b").all_inner_texts()


def ranking(index: Path, network: str) -> pd.DataFrame:
    return pd.read_csv(index.parents[1] / "compare" / network / "ranking.csv")


def test_the_overview_says_what_was_run_and_draws_it(visit: Open) -> None:
    tab = draw_all(visit())
    body = tab.inner_text("main")
    assert "resnet18" in body
    assert "88.0 %" in body  # the accuracy of the epoch that is shown
    assert "git 0123456789ab" in body
    expect(tab.get_by_role("region", name="CKA by layer")).to_contain_text("0.800")
    expect(tab.get_by_role("region", name="Controls")).to_contain_text("0.100 to 0.600")
    assert tab.locator(".cards .card").count() == 16  # eight of each network
    assert tab.locator(".plot svg").count() == tab.locator(".plot").count() == 5
    assert "noise floor: median 0." in (tab.locator(".plot").first.get_attribute("aria-label") or "")
    assert "similarity (cosine)" in tab.locator(".plot svg").first.inner_html()
    tab.locator("summary", has_text="Data as a table").first.click()
    expect(tab.locator("figure.chart table").first).to_contain_text("noise floor")


@pytest.mark.parametrize(("seeds", "why"), [(1, "one seed: no noise floor"), (2, "excess: 7 channels of the layer")])
def test_why_no_channel_has_a_rank(visit: Open, tmp_path: Path, seeds: int, why: str) -> None:
    tab = visit("#/overview", page=write_run(tmp_path, {"layer4.1": 8}, seeds))
    expect(tab.locator("main")).to_contain_text(re.compile(f"No channel has a rank: [^.]*{why}"))
    assert tab.get_by_text("There is no noise floor").count() == (seeds == 1)


@pytest.mark.parametrize("view", ["#/overview", CHANNEL, "#/compare"])
def test_every_chart_has_a_text_and_its_data(visit: Open, view: str) -> None:
    tab = draw_all(visit(view))
    charts = tab.locator("figure.chart")
    assert charts.count() >= 2
    for chart in charts.all():
        assert chart.locator("button", has_text="CSV").count() == 1
        assert len(chart.locator("[role=img], [role=group]").first.get_attribute("aria-label") or "") > 30


def test_a_download_cannot_run_in_a_spreadsheet(visit: Open) -> None:
    tab = visit()
    rows = [{"name": text, "value": -1.5} for text in (FORMULA, "+1", "-1", "@x", "\t=1", 'a "b", c', "x;=1")]
    text = tab.evaluate("(rows) => featurediff.csv(['name', 'value'], rows)", rows)
    cells = [row["name"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert cells == [*(as_text(row["name"]) for row in rows[:5]), 'a "b", c', "x;'=1"]
    assert cells[:2] == [f"'{FORMULA}", "'+1"]
    assert ",-1.5\r\n" in text  # a number is a number


def test_a_line_for_a_shell_is_one_command_whatever_it_names(visit: Open) -> None:
    tab = visit("#/overview")
    names = ["plain/a-b_1.png", "two words", "it's; reboot", "$(reboot)", "`reboot`", 'a"b', "a\nb", "ä&é", "*", "~"]
    line = " ".join(tab.evaluate("(names) => names.map(featurediff.quoted)", names))
    printed = subprocess.run(["sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True).stdout
    assert printed.split("\0")[:-1] == names
    assert line.startswith("plain/a-b_1.png 'two words' ")
    tab.evaluate("(address) => { featurediff.run.data.results = 'my results'; location.hash = address; }", CHANNEL)
    shown_line = tab.locator(".command code").inner_text()
    assert shown_line.startswith("rm -f 'my results/base/pictures/layer4.1/channel2.png' 'my results/base")


def test_the_browser_is_in_the_order_of_ranks_and_sorts_by_each_column(visit: Open, index: Path) -> None:
    tab = visit("#/browser?network=dogs")
    table = ranking(index, "dogs")
    best = table.sort_values("rank").iloc[:3]
    assert labels(tab)[:3] == [f"{row.layer}:{row.channel}" for row in best.itertuples()]
    tab.select_option("#choose-sort", "correlation")
    expect(tab.locator("#order")).to_have_text("▲ ascending")
    lowest, highest = (table.loc[table["correlation"].agg(which)] for which in ("idxmin", "idxmax"))
    expect(tab.locator(".grid .card b").first).to_have_text(f"{lowest['layer']}:{lowest['channel']}")
    tab.click("#order")
    expect(tab.locator(".grid .card b").first).to_have_text(f"{highest['layer']}:{highest['channel']}")
    options = tab.locator("#choose-sort option").evaluate_all("(all) => all.map((one) => one.value)")
    assert {"excess", "q_visual", "visual_change", "weight_change", "gram_layer1"} <= set(options)


def test_filters_tell_how_many_are_left(visit: Open, index: Path) -> None:
    tab = visit("#/browser")
    expect(tab.locator("#count")).to_have_text(f"{2 * TOTAL} of {2 * TOTAL} channels")
    tab.select_option("#choose-network", "cars")
    tab.select_option("#choose-layer", "layer4.1")
    expect(tab.locator("#count")).to_have_text(f"{LAYERS['layer4.1']} of {TOTAL} channels")
    tab.select_option("#choose-layer", "")
    tab.select_option("#choose-change", "excess")
    found = int((ranking(index, "cars")["q_excess"] < 0.05).sum())
    assert 0 < found < TOTAL
    expect(tab.locator("#count")).to_have_text(f"{found} of {TOTAL} channels")
    tab.select_option("#choose-change", "")
    tab.select_option("#choose-pictures", "failed")
    expect(tab.locator("#count")).to_have_text(f"1 of {TOTAL} channels")  # the base's picture of it failed
    expect(tab.locator(".grid .card")).to_contain_text(["layer3.1:3"])


def test_search_finds_a_channel_and_opens_it(visit: Open) -> None:
    tab = visit("#/browser")
    tab.fill("#search", "layer4.1:17 dogs")
    expect(tab.locator("#count")).to_have_text(f"1 of {2 * TOTAL} channels")
    tab.press("#search", "Enter")
    expect(tab.locator("h1")).to_have_text("layer4.1:17")
    tab.goto(tab.url.partition("#")[0] + "#/browser?q=nothing:99")
    expect(tab.get_by_text("No channel matches.")).to_be_visible()


def test_a_view_that_is_sent_is_the_view_that_is_seen(visit: Open) -> None:
    tab = visit("#/browser")
    tab.select_option("#choose-network", "dogs")
    tab.select_option("#choose-sort", "weight_change")
    tab.fill("#search", "layer4.1")
    expect(tab.locator("#count")).to_have_text(f"{LAYERS['layer4.1']} of {TOTAL} channels")
    expect(tab.locator("#order")).to_have_text("▼ descending")
    address = tab.evaluate("location.hash")
    again = visit(address)
    assert labels(again) == labels(tab)
    assert again.input_value("#search") == "layer4.1"
    with tab.expect_download() as started:
        tab.locator(".controls button", has_text="CSV").click()
    saved = pd.read_csv(started.value.path())
    assert list(saved.columns) == ["network", "layer", "channel", "weight_change"]
    assert len(saved) == LAYERS["layer4.1"]
    assert saved["weight_change"].is_monotonic_decreasing


def test_a_channel_shows_every_picture_and_number(visit: Open, index: Path) -> None:
    tab = draw_all(visit(CHANNEL))
    tab.wait_for_function(
        "[...document.querySelectorAll('table.pictures img')].every((one) => one.complete && one.naturalWidth)"
    )
    assert tab.locator("table.pictures .full").count() == 6  # three networks, two seeds
    assert tab.locator(".difference").count() == 2
    row = ranking(index, "dogs").set_index(["layer", "channel"]).loc[("layer4.1", 2)]
    numbers = tab.locator("section[aria-labelledby=numbers]")
    similarity = numbers.locator("tr", has_text="paired_similarity").first
    assert f"{row['paired_similarity']:.3g}"[:5] in similarity.inner_text()
    assert "cosine" in similarity.inner_text()
    again = tab.inner_text("section[aria-labelledby=again]")
    assert "rm -f results/base/pictures/layer4.1/channel2.png" in again
    assert "snakemake --cores 8 results/base/pictures/layer4.1/channel2.png" in again


def test_the_film_follows_its_slider(visit: Open) -> None:
    tab = visit(CHANNEL)
    frame, slider = tab.locator(".film .tile"), tab.locator("#film-dogs")
    place = "(frame) => frame.style.backgroundPosition"
    seen = [frame.evaluate(place)]
    assert slider.get_attribute("aria-valuetext") == "after epoch 5"
    slider.focus()
    for words in ("after epoch 2", "after epoch 0", "base (base)"):
        slider.press("ArrowLeft")
        expect(slider).to_have_attribute("aria-valuetext", words)
        seen.append(frame.evaluate(place))
    assert len(set(seen)) == 4
    assert seen[-1].startswith(("0px", "-0px"))


def test_a_channel_of_its_own_recipe_and_one_that_is_not_there(visit: Open) -> None:
    tab = visit("#/channel/layer3.1:1")
    tab.locator("summary", has_text="recipe of these pictures").click()
    expect(tab.locator("section[aria-labelledby=again] dd", has_text="set for this channel")).to_contain_text("512")
    tab.evaluate("console.warn = () => {}")  # what follows is a user's mistake, and said on the page
    tab.evaluate("location.hash = '#/channel/layer9:1'")
    expect(tab.locator("main")).to_contain_text("There is no channel layer9:1")


def test_a_page_without_its_results_still_shows_its_tiles(visit: Open, index: Path, tmp_path: Path) -> None:
    shutil.copytree(index.parent, tmp_path / "alone")
    tab = visit("#/browser", page=tmp_path / "alone" / "index.html")
    assert tab.locator(".grid .tile").count() > 20
    tab = visit(CHANNEL, page=tmp_path / "alone" / "index.html", lost_files=True)
    expect(tab.locator("table.pictures tbody tr").first).to_contain_text("The full-size file is missing.")
    assert tab.locator("table.pictures .tile").count() == 3


def test_a_point_leads_to_its_channel_and_the_map_goes_by_arrow_keys(visit: Open) -> None:
    tab = draw_all(visit("#/compare"))
    tab.locator(".plot svg .mark-symbol path").first.click(force=True)
    tab.wait_for_function("location.hash.startsWith('#/channel/')")
    expect(tab.locator("h1")).to_have_text(tab.evaluate("decodeURIComponent(location.hash.split(/[/?]/)[2])"))
    tab.go_back()
    shown(tab).locator(".pca-map a[tabindex='0']").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement === document.querySelectorAll('.pca-map a')[1]")
    assert tab.locator(".pca-map line").count() == 1  # from where it was in the base
    tab.keyboard.press("Enter")
    tab.wait_for_function("location.hash.startsWith('#/channel/')")


def test_dark_follows_the_system_and_a_choice_is_kept(visit: Open) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    dark, light = (visit(color_scheme=scheme).evaluate(ground) for scheme in ("dark", "light"))
    assert dark != light
    tab = visit(color_scheme="light")
    tab.click("#theme")
    tab.click("#theme")
    assert tab.evaluate(ground) == dark
    tab.reload()
    assert shown(tab).evaluate(ground) == dark


def test_by_keyboard_alone(visit: Open) -> None:
    tab = visit("#/browser?network=dogs")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "skip"
    tab.keyboard.press("Enter")
    for _ in range(20):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.matches('.grid a')"):
            break
    names = "document.activeElement.querySelector('b').textContent"
    assert tab.evaluate(names) == labels(tab)[0]
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(names) == labels(tab)[1]
    tab.keyboard.press("End")
    item = "(({ ariaSetSize, ariaPosInSet }) => [ariaSetSize, ariaPosInSet])(document.activeElement.closest('li'))"
    assert tab.evaluate(item) == [str(TOTAL)] * 2
    name, height = tab.evaluate(names), tab.evaluate("scrollY")
    assert height > 0
    tab.keyboard.press("Enter")
    expect(tab.locator("h1")).to_have_text(name)
    tab.go_back()
    expect(tab.locator("h1")).to_have_text("Browse channels")
    shown(tab)
    assert abs(tab.evaluate("scrollY") - height) < 50


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_serious_fault_and_a_phone_needs_no_scrolling_sideways(visit: Open, view: str) -> None:
    tab = draw_all(visit(view))
    if view in (CHANNEL, "#/overview", "#/failed"):  # what comes from data stays text
        assert NASTY in tab.inner_text("main")
    assert tab.locator("main script").count() == 0
    # All that folds is unfolded, but of the charts' tables, which are alike, the first alone.
    tab.evaluate("document.querySelectorAll('details:not(.data)').forEach((one) => { one.open = true; })")
    tab.evaluate("document.querySelectorAll('details.data').forEach((one, at) => { one.open = at === 0; })")
    assert serious_faults(tab, {}) == []
    if view != "#/compare":  # it has no colours of its own
        tab.emulate_media(color_scheme="dark")
        assert serious_faults(tab, {"runOnly": ["color-contrast"]}) == []
    assert visit(view, width=400).evaluate("document.documentElement.scrollWidth") <= 400


def serious_faults(tab: Page, options: dict[str, object]) -> list[tuple[str, list[str]]]:
    """What axe-core calls serious or critical; it may not read style sheets again, as no page from a file may."""
    found = Axe().run(tab, options={"preload": False, **options}).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [(fault["id"], [node["html"][:160] for node in fault["nodes"][:3]]) for fault in serious]


@pytest.mark.long
def test_21504_pictures(visit: Open, tmp_path: Path) -> None:
    layers = {"layer3.5": 1024, "layer4.0": 2048, "layer4.1": 2048, "layer4.2": 2048}
    index = write_run(tmp_path, layers, pictures=False)
    tab = visit("#/browser", page=index)
    tab.evaluate(
        """() => Promise.all([...document.querySelectorAll(".grid .tile")].map((tile) => {
            const image = new Image();
            image.src = tile.style.backgroundImage.slice(5, -2);
            return image.decode();
        }))"""
    )
    expect(tab.locator("#count")).to_have_text("14,336 of 14,336 channels")
    # Wherever one scrolls to, two frames later every row in the window holds a card.
    blank = tab.evaluate(
        """async () => {
            const whole = document.documentElement.scrollHeight - innerHeight;
            let blank = 0;
            for (let turn = 1; turn <= 24; turn += 1) {
                scrollTo(0, turn % 2 ? (whole * turn) / 25 : scrollY + 700);
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                const grid = document.querySelector(".grid").getBoundingClientRect();
                for (let y = Math.max(70, grid.top + 10); y < Math.min(innerHeight, grid.bottom) - 10; y += 60) {
                    if (!document.elementFromPoint(200, y).closest(".grid li")) blank += 1;
                }
            }
            return blank;
        }"""
    )
    assert blank == 0
    assert tab.locator(".grid li").count() < 200
    code = sum(file.stat().st_size for file in (index.parent / "page").iterdir())
    weight = code + sum((index.parent / name).stat().st_size for name in ("index.html", "vega.js", "data/run.js"))
    assert weight < 1_500_000
