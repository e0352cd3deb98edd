"""Random generators whose seeds derive from what they are for.

What is drawn for (seed, layer, channel) must not depend on the channel's batch, on the order of the work or on the
number of threads. So nothing here uses a global generator.
"""

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["derive_seed", "generator"]


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2**63) from the SHA-256 of the parts; `("a", 1)` and `("a1",)` differ."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: str | int) -> "torch.Generator":
    """A CPU generator seeded by `derive_seed`: its stream is the same on every device."""
    import torch

    return torch.Generator().manual_seed(derive_seed(*parts))
