"""The one place that imports torchvision: `from feature_vis.networks.torchvision_import import torchvision`.

torchvision's compiled operators are linked against CUDA libraries. They cannot be loaded beside a CPU build of torch.
Then `torchvision::nms` is never declared, and torchvision's import fails where it attaches a meta kernel to that name
(`operator torchvision::nms does not exist`). Nothing here calls the operator, so it is enough to *declare* it before
the import. That is done only where the compiled operators do not load, because declaring them twice is an error.

torchvision's detection operators import torch's whole compiler for one question to it. That takes 1.2 to 1.8 s of
processor time (2.7 to 3.4 s by the clock on two busy cores, three runs each, see `benchmarks/NOTES.md`) in every
process that reads a network, of about 4 s in all. There is no option to leave it out, and no part of torchvision can
be imported without it. So a stand-in takes the compiler's place during the import.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

__all__ = ["torchvision"]

# torchvision/_meta_registrations.py attaches meta kernels to these names when it is imported.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _compiled_operators_load() -> bool:
    """Whether torchvision's own shared library can be loaded beside this torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # not installed: let the import below say so
    for library in sorted(Path(spec.origin).parent.glob("_C*.so")):
        try:
            torch.ops.load_library(library)
        except OSError:
            return False
    return True


def declare_missing_operators() -> torch.library.Library | None:
    """Declare the operators that torchvision's import needs, unless they are declared already.

    Returns the library that holds the declarations, which last as long as it does, or None.
    """
    if _compiled_operators_load() or hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


def import_without_compiler() -> ModuleType:
    """Import torchvision with a stand-in for what torchvision/ops/roi_align.py imports from `torch._dynamo`."""
    if "torch._dynamo" in sys.modules:
        return importlib.import_module("torchvision")

    def is_compile_supported(device_type: str) -> bool:
        return bool(importlib.import_module("torch._dynamo.utils").is_compile_supported(device_type))

    stand_in = ModuleType("torch._dynamo.utils")
    stand_in.is_compile_supported = is_compile_supported  # type: ignore[attr-defined]
    names = {"torch._dynamo": ModuleType("torch._dynamo"), "torch._dynamo.utils": stand_in}
    sys.modules.update(names)
    try:
        return importlib.import_module("torchvision")
    finally:
        for name in names:
            del sys.modules[name]


_declared = declare_missing_operators()
torchvision = import_without_compiler()
