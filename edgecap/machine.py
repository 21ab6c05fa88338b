"""What this machine is, as far as the system tells; numpy and the engine are not imported."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "unknown"

# A board's name says more than that of its cores: a Raspberry Pi gives "Model" beside them.
_MODELS = (r"^Model\s*:\s*(.+)$", r"^model name\s*:\s*(.+)$")
# x86 and Arm call them differently.
_INSTRUCTIONS = r"^(?:flags|Features)\s*:\s*(.+)$"


class Memory(NamedTuple):
    """Bytes of main memory: all, and what programs may still have."""

    total: int
    available: int


def processor() -> str:
    """The model of the processor or of the board, or `UNKNOWN`."""
    text = _proc("cpuinfo")
    for pattern in _MODELS:
        if found := re.search(pattern, text, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or UNKNOWN


def instructions() -> frozenset[str]:
    """The instruction sets of the processor, by Linux's names; empty if unknown."""
    found = re.search(_INSTRUCTIONS, _proc("cpuinfo"), re.MULTILINE)
    return frozenset(found[1].split() if found else ())


def memory() -> Memory | None:
    """Main memory now; None if unknown."""
    sizes = dict(re.findall(r"^(\w+):\s*(\d+) kB$", _proc("meminfo"), re.MULTILINE))
    try:
        return Memory(1024 * int(sizes["MemTotal"]), 1024 * int(sizes["MemAvailable"]))
    except KeyError:
        return None


def _proc(name: str) -> str:
    """A file of Linux's /proc; empty on other systems."""
    try:
        return Path("/proc", name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
