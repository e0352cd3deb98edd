"""The machine of a benchmark."""

import platform
from pathlib import Path

__all__ = ["processor"]


def processor() -> str:
    """Its name, and what it multiplies bfloat16 with."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    flags = (f", {flag}" for flag in ("avx512_bf16", "amx_bf16") if flag in text)
    return next(names, platform.machine()) + "".join(flags)
