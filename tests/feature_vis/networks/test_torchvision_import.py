"""torchvision imports beside any torch, and the declaration is made only where it is missing."""

import re

import torch
from places import REPOSITORY, python

from feature_vis.networks import torchvision_import as vision


def test_operators_are_declared_only_where_they_are_missing(monkeypatch) -> None:
    assert hasattr(torch.ops.torchvision, "nms")
    assert vision.declare_missing_operators() is None
    monkeypatch.setattr(vision, "_compiled_operators_load", lambda: True)
    assert vision.declare_missing_operators() is None


def test_the_compiler_is_imported_by_those_alone_that_use_it() -> None:
    code = """
import sys
from feature_vis.networks.torchvision_import import torchvision
import torch
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
stand_in = torchvision.ops.roi_align.__globals__["is_compile_supported"]
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1).zero_grad()  # imports the real one
from torch._dynamo.utils import is_compile_supported
assert stand_in is not is_compile_supported
assert [stand_in(kind) for kind in ("cpu", "cuda", "mps")] == [is_compile_supported(k) for k in ("cpu", "cuda", "mps")]
"""
    assert python(code).wait() == 0


def test_only_this_module_imports_torchvision() -> None:
    files = [file for folder in ("lib", "scripts", "rules", "tests") for file in (REPOSITORY / folder).rglob("*.py")]
    importing = [file for file in files if re.search("^(import|from) torchvision", file.read_text(), flags=re.M)]
    # in networks lies a user's own module, loaded when torchvision is there already
    assert [file for file in importing if file.parent.name != "networks"] == []
