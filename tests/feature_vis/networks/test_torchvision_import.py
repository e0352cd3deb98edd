"""torchvision imports beside any torch, and the declaration is made only where it is missing."""

import os
import subprocess
import sys

import torch
from places import REPOSITORY

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
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "lib")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_this_module_imports_torchvision(request) -> None:
    root = request.config.rootpath
    offenders = [
        str(file.relative_to(root))
        for folder in ("lib", "scripts", "rules", "tests")
        for file in (root / folder).rglob("*.py")
        # in networks lies a user's own module, loaded when torchvision is there already
        if file.parent.name != "networks"
        and any(line.startswith(("import torchvision", "from torchvision")) for line in file.read_text().splitlines())
    ]
    assert offenders == []
