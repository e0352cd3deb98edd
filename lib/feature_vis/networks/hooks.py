"""Forward hooks that are gone after a `with` block, whatever happens in it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

__all__ = ["hooked"]


@contextmanager
def hooked(
    model: nn.Module,
    after: Mapping[str, Callable[[nn.Module, Any, Any], Any]] | None = None,
    before: Mapping[str, Callable[[nn.Module, Any], Any]] | None = None,
) -> Iterator[None]:
    """Register hooks by the dotted names of modules, and remove them when the block ends.

    `before`: `hook(module, inputs)` runs before a module's forward pass. `after`: `hook(module, inputs, output)` runs
    after it, and what it returns replaces the output, unless that is None. Hooks of an outer block run first.
    """
    with ExitStack() as handles:
        for name, enter in (before or {}).items():
            handles.callback(model.get_submodule(name).register_forward_pre_hook(enter).remove)
        for name, leave in (after or {}).items():
            handles.callback(model.get_submodule(name).register_forward_hook(leave).remove)
        yield
