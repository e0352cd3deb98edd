"""A config examined before anything runs: all that is wrong with it at once, each mistake with its line. No torch here.

The schema and names come first (`config_check`), then folders and files (`config_places`) and, in a process of its own
that has torch, what is asked of the networks (`config_networks`). Where the schema already refuses a part of the
config, the others leave that part alone and look at the rest.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

from feature_vis.errors import InputError
from feature_vis.files import write_text
from featurediff.config.check import find_mistakes, sound_part
from featurediff.config.expand import Plain, plain
from featurediff.config.file import ConfigFile, Mistake, in_order, in_words
from featurediff.config.network_check import Answer, Question
from featurediff.config.networks import Ask, ask_about
from featurediff.config.places import absent_files, folders_in_one_another
from featurediff.config.plan import Config, Plan

__all__ = ["ask_in_a_process", "examine", "make_plan", "sound_config"]


def make_plan(config: Config, schema_file: str | Path, files: Sequence[ConfigFile] = (), *, first: bool = True) -> Plan:
    """The plan of a config in which no mistake was found, and of its plain networks (`featurediff.config.expand`).

    `files`: those it was read from, for the lines; a user's own module lies beside the last of them. `first`: False in
    the jobs of a workflow that was examined when it started; files may have gone meanwhile, and another machine may
    have no GPU.

    Raises:
        InputError: all mistakes.
    """
    mistakes, sound = sound_config(config, schema_file, files[-1].file.parent if files else ".")
    ask = partial(ask_in_a_process, cache=Path(sound.config.get("results", "results")) / ".cache")
    more, counts = examine(sound, ask, first=first)
    mistakes += [*more, *(mistake for file in files for mistake in file.mistakes)]
    if mistakes:
        raise InputError("the config cannot be followed:\n" + in_words(in_order(mistakes, files), files))
    return Plan(sound.config, counts)


def sound_config(config: Config, schema_file: str | Path, folder: str | Path) -> tuple[list[Mistake], Plain]:
    """What is wrong in a config by itself, and the rest of it, of plain networks; `folder` is where it lies."""
    mistakes = find_mistakes(config, schema_file)
    return mistakes, plain(sound_part(config, mistakes), folder)


def examine(sound: Plain, ask: Ask, *, first: bool = True) -> tuple[list[Mistake], dict[str, int]]:
    """What of a sound config does not fit its files and networks, and how many channels each layer has, as far as
    that is known; for `first` see `make_plan`.
    """
    config = sound.config
    mistakes: list[Mistake] = []
    if first:
        mistakes += chain(folders_in_one_another(config), absent_files(config))
    elif config.get("gpu") == "required":
        config = {**config, "gpu": 1}
    of_networks, counts = ask_about(config, ask)
    return [sound.as_written(mistake) for mistake in (*mistakes, *of_networks)], counts


def ask_in_a_process(question: Question, cache: Path) -> Answer | None:
    """Let `featurediff.config.network_check` answer; None where torch is not installed beside the workflow.

    A config is asked about once: the answer lies in the folder `cache` for the workflow's jobs and its next start.
    """
    lasting = json.dumps({**question, "gpu": False}, sort_keys=True)  # a machine may have a GPU tomorrow
    name = hashlib.sha256(f"{lasting}{_version()}".encode()).hexdigest()[:16]
    kept = cache / f"networks-{name}.json"
    if not question["gpu"]:
        with suppress(OSError, ValueError):
            return json.loads(kept.read_text(encoding="utf-8"))
    command = [sys.executable, "-P", "-m", "featurediff.config.network_check"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    asked = json.dumps(question)
    done = subprocess.run(command, input=asked, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 4:
        return None
    if done.returncode != 0:
        raise RuntimeError(f"examining the networks failed:\n{done.stderr}")
    answer: Answer = json.loads(done.stdout)
    with suppress(OSError):  # a folder that cannot be written to is the jobs' business
        write_text(kept, json.dumps({**answer, "no_gpu": ""}))
    return answer


def _version() -> str:
    """What an answer depends on beside the question."""
    return Path(__file__).with_name("network_check.py").read_text(encoding="utf-8")
