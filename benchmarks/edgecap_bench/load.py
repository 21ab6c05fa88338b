"""How busy other processes kept the machine while we measured."""

import os
import sys
import time
from pathlib import Path

_STATISTICS = Path("/proc/stat")
# user, nice, system, idle, iowait, irq, softirq, steal: what a neighbour on the host takes is
# other work too. https://docs.kernel.org/filesystems/proc.html, section 1.7
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)
# Processors' time is counted in ticks of 10 ms: in a moment one tick looks like many cores.
_SHORTEST_SECONDS = 0.5


class OtherLoad:
    """Starts watching when it is made."""

    def __init__(self) -> None:
        self._begin = _now()

    def cores(self) -> float | None:
        """Cores kept busy since then by others than us and our ended children.

        None off Linux, and after less than half a second.
        """
        begin, end = self._begin, _now()
        if begin is None or end is None:
            return None
        seconds, busy, ours = (after - before for before, after in zip(begin, end, strict=True))
        if seconds < _SHORTEST_SECONDS:
            return None
        return round(max(0.0, busy - ours) / seconds, 3)


def other_cores(seconds: float) -> float | None:
    """Cores that other processes keep busy in the next `seconds`; None off Linux."""
    load = OtherLoad()
    time.sleep(seconds)
    return load.cores()


def _now() -> tuple[float, float, float] | None:
    """Seconds: the clock's, all processors' busy ones, ours."""
    if sys.platform != "linux":
        return None
    try:
        fields = _STATISTICS.read_text(encoding="ascii").splitlines()[0].split()[1:]
    except OSError:
        return None
    ticks = sum(int(fields[index]) for index in _BUSY_FIELDS)
    return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])
