"""Chromium without a network, looking at a made-up run from `file://`."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from browser.synthetic import write_run

_LOCAL = ("file:", "data:", "blob:")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, started once; without one the tests are skipped, in CI they fail."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        message = "no Chromium: apt-get install chromium, for the tests of the page"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=_FLAGS.split(), chromium_sandbox=False)
        yield started
        started.close()


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small run, only to be looked at."""
    return write_run(tmp_path_factory.mktemp("run"))


Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, index: Path) -> Iterator[Open]:
    """`visit("#/browser", width=400, color_scheme="dark")`: a page in a context of its own, once its view is shown.

    Afterwards nothing may stand in its console, no error may have been thrown, and only files may have been asked for.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(
        address: str = "", page: Path = index, width: int = 1280, lost_files: bool = False, **settings: Any
    ) -> Page:
        def hear(line: ConsoleMessage) -> None:
            if line.type in ("error", "warning") and not (lost_files and "ERR_FILE_NOT_FOUND" in line.text):
                complaints.append(line.text)

        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **settings)
        context.set_default_timeout(20_000)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", hear)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        tab.on("request", lambda asked: asked.url.startswith(_LOCAL) or complaints.append(asked.url))
        tab.goto(page.as_uri() + address)
        return shown(tab)

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def shown(tab: Page) -> Page:
    """Once the view that the address asks for is shown."""
    tab.wait_for_function("document.body.dataset.shown === (location.hash || '#/overview')")
    return tab


def draw_all(tab: Page) -> Page:
    """Once every chart is drawn: they wait until they come near the window."""
    tab.evaluate("document.querySelectorAll('.plot').forEach((plot) => plot.scrollIntoView())")
    for plot in tab.query_selector_all(".plot"):
        plot.scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelectorAll('.plot:not([data-drawn])').length === 0")
    tab.evaluate("scrollTo(0, 0)")
    return tab
