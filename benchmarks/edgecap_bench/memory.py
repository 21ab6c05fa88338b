"""How much memory this process holds, and has held at most."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_memory() -> int | None:
    """Bytes of this process that lie in memory now; None off Linux."""
    return _status("VmRSS")


def peak_memory() -> int | None:
    """The largest resident size of this process so far, in bytes; None on Windows."""
    # Unlike `ru_maxrss` it does not count what the parent was before this program began.
    if found := _status("VmHWM"):
        return found
    if sys.platform == "win32":
        return None
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1_024 * largest


def _status(field: str) -> int | None:
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{field}:\s*(\d+) kB$", status, re.MULTILINE)
    return 1_024 * int(found[1]) if found else None
