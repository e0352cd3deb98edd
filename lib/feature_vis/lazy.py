"""Names that a package offers without importing what they stand for, until they are used (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["attach"]


def attach(
    package: str, exports: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's `__getattr__`, `__dir__` and `__all__`, from its modules and the names that each exports.

    The modules themselves are offered as well. In the package's `__init__`:

        __getattr__, __dir__, __all__ = attach(__name__, {"recipe": ["Recipe"]})

    Raises:
        ValueError: a name that two modules export, or that is also a module's.
    """
    modules = {name: module for module, names in exports.items() for name in names}
    if len(modules) < sum(map(len, exports.values())) or modules.keys() & exports.keys():
        raise ValueError(f"{package} exports a name twice: {exports}")
    public = sorted([*exports, *modules])

    def __getattr__(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{modules.get(name, name)}")
        return getattr(module, name) if name in modules else module

    return __getattr__, lambda: public, public
