"""The command line as a shell sees it: quick, its exit codes, Ctrl-C, completion."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from featurediff.cli import main as cli

Run = Callable[..., Result]
COMMANDS = ("check", "diff", "init", "render", "run", "show", "top")


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "featurediff", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part), **environment},
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_has_examples_and_the_first_the_exit_codes(run: Run, command: str) -> None:
    result = run(*([command] if command else []), "--help")
    assert result.exit_code == 0
    assert "Examples:\n" in result.output
    assert f"featurediff {command}" in result.output
    assert command or "Exit codes:\n" in result.output


def test_neither_help_nor_show_wait_for_torch(made_results: Path) -> None:
    commands = [["--help"], *([command, "--help"] for command in COMMANDS)]
    commands += [["show", "layer4.1:1"], ["top", "--network", "dogs"]]
    code = (
        "import sys; from featurediff.cli.main import main\n"
        f"for arguments in {commands}: main(arguments, standalone_mode=False)\n"
        "print('slow:', sorted({'torch', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=made_results.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "slow: []"


def test_ctrl_c_ends_with_130_and_the_next_call_goes_on(run: Run, small_weights: Path, tmp_path: Path) -> None:
    command = ("render", "--model", "resnet18", "--weights", str(small_weights), "--layer", "layer1.0")
    command += ("--channel", "0-15", "--size", "32", "--steps", "4", "--out", str(tmp_path), "--device", "cpu")
    process = start(*command)
    while process.poll() is None and not list(tmp_path.glob("layer1.0/.staging/channel*.png")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "stopped" in errors
    assert "Traceback" not in errors
    finished = len(list(tmp_path.glob("layer1.0/.staging/channel*.png")))
    assert 0 < finished < 16
    errors = run(*command).stderr
    assert f"rendered {16 - finished}, reused {finished}" in errors
    assert len(list(tmp_path.glob("layer1.0/channel*.png"))) == 16
    assert not list(tmp_path.glob("layer1.0/.staging"))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("featurediff to", {"top"}),
        ("featurediff top --results {} --network d", {"dogs"}),
        ("featurediff top --results {} --layer layer4", {"layer4.1"}),
        ("featurediff show --results {} layer", {"layer3.1:", "layer4.1:"}),
        ("featurediff show --results nowhere layer", set()),
    ],
)
def test_tab_completion(typed: str, expected: set[str], made_results: Path) -> None:
    words = typed.format(made_results)
    environment = {"_FEATUREDIFF_COMPLETE": "bash_complete", "COMP_WORDS": words}
    process = start(COMP_CWORD=str(len(words.split()) - 1), **environment)
    output, errors = process.communicate(timeout=60)
    assert {line.removeprefix("plain,") for line in output.splitlines() if line} == expected, errors


def test_a_defect_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(_folder: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "Results", defect)
    assert isinstance(run("show", "layer4.1:1").exception, ZeroDivisionError)
