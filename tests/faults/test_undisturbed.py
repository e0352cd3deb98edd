"""What the other tests rest on."""

import re

import pytest
from places import REPOSITORY

from faults.conftest import Undisturbed

pytestmark = [pytest.mark.faults, pytest.mark.long]


def test_every_step_occurs(undisturbed: Undisturbed) -> None:
    rules = "".join(file.read_text() for file in (REPOSITORY / "rules").glob("*.smk"))
    scripts = set(re.findall(r'"\.\./scripts/(\w+)\.py"', rules))
    done = {change.step for change in undisturbed.changes()}
    assert scripts - done == {"compare_runs"}
