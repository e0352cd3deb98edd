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
    """Skip tests on real weights and photographs where those are absent, but never in CI, and a GPU's without one."""
    if not SHARED_DATA.is_dir() and os.environ.get("CI") != "true":
        _skip(items, "shared_data", f"no {SHARED_DATA}")
    if any(item.get_closest_marker("gpu") for item in items):
        import torch  # not above: tests without torch begin sooner

        if not torch.cuda.is_available():
            _skip(items, "gpu", "no GPU")


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))


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
