"""The command line as a shell sees it: quick, its exit codes, Ctrl-C, completion."""

import signal
import subprocess
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from places import python

from featurediff.cli import main as cli

COMMANDS = ("check", "diff", "init", "render", "run", "show", "top")
START = "from featurediff.cli.main import main; main(prog_name='featurediff')"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_has_examples_and_the_first_the_exit_codes(run, command: str) -> None:
    output = run(*([command] if command else []), "--help").output
    assert "Examples:\n" in output
    assert f"featurediff {command}" in output
    assert command or "Exit codes:\n" in output


def test_neither_help_nor_show_wait_for_torch(made_results: Path) -> None:
    commands = [["--help"], *([command, "--help"] for command in COMMANDS)]
    commands += [["show", "layer4.1:1"], ["top", "--network", "dogs"]]
    code = (
        "import sys; from featurediff.cli.main import main\n"
        f"for arguments in {commands}: main(arguments, standalone_mode=False)\n"
        "print('slow:', sorted({'torch', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    output, _ = python(code, cwd=made_results.parent, stdout=subprocess.PIPE).communicate(timeout=60)
    assert output.splitlines()[-1] == "slow: []"


def test_ctrl_c_ends_with_130_and_the_next_call_goes_on(run, small_weights: Path, tmp_path: Path) -> None:
    command = ("render", "--model", "resnet18", "--weights", small_weights, "--layer", "layer1.0")
    command += ("--channel", "0-15", "--size", "32", "--steps", "4", "--out", tmp_path, "--device", "cpu")
    process = python(START, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not list(tmp_path.glob("layer1.0/.staging/channel*.png")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "stopped" in errors
    assert "Traceback" not in errors
    finished = len(list(tmp_path.glob("layer1.0/.staging/channel*.png")))
    assert 0 < finished < 16
    assert f"rendered {16 - finished}, reused {finished}" in run(*command).stderr
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
def test_tab_completion(typed: str, expected: set[str], made_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = typed.format(made_results)
    monkeypatch.setenv("_FEATUREDIFF_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    output, _ = python(START, stdout=subprocess.PIPE).communicate(timeout=60)
    assert {line.removeprefix("plain,") for line in output.splitlines() if line} == expected


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "Results", Mock(side_effect=ZeroDivisionError))
    assert isinstance(CliRunner().invoke(cli.main, ["show", "layer4.1:1"]).exception, ZeroDivisionError)
