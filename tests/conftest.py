"""Fixtures that every test may use."""

import os
import signal
from pathlib import Path

import pytest
from places import REPOSITORY, SHARED_DATA


def pytest_configure() -> None:
    """Started in a shell's background, tests inherit that Ctrl-C is ignored, and so would what they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real weights and photographs are skipped where those are absent, but never in CI."""
    if SHARED_DATA.is_dir() or os.environ.get("CI") == "true":
        return
    for item in items:
        if item.get_closest_marker("shared_data"):
            item.add_marker(pytest.mark.skip(reason=f"no {SHARED_DATA}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up the faults that tests of the matrix went through: see the fixture `fault` in `tests/faults`."""
    reports = [report for of_kind in terminalreporter.stats.values() for report in of_kind]
    noted = [pair for report in reports if getattr(report, "when", None) == "call" for pair in report.user_properties]
    faults, survived = (sum(count for name, count in noted if name == which) for which in ("faults", "survived"))
    if faults:
        terminalreporter.write_line(f"faults survived: {survived} of {faults}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real ImageNet weights and photographs."""
    return SHARED_DATA


@pytest.fixture(scope="session")
def own() -> str:
    """The module of small networks that stands for a user's own, as the config names it: `<own>:cnn`."""
    return str(REPOSITORY / "tests" / "networks" / "own")
