"""How warm the processor is, and whether something slows it down.

Linux tells it under /sys: https://docs.kernel.org/driver-api/thermal/sysfs-api.html and
https://docs.kernel.org/admin-guide/pm/cpufreq.html. A Raspberry Pi's firmware has flags of its
own: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SYS = Path("/sys")
_FIRMWARE = ("vcgencmd", "get_throttled")
_FIRMWARE_SECONDS = 5
# Bits of the firmware's flags: what is so now, and, 16 higher, what has been since the start.
_FLAGS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_NOW, _SINCE_START = 0xF, 16


@dataclass(frozen=True)
class Heat:
    """One moment; None is what the system does not tell, or to nobody without rights.

    Attributes:
        temperature_c: of the hottest sensor, in degrees Celsius.
        frequency_mhz: of the fastest core.
        throttle_count: how often x86 cores were slowed since the start, because of heat.
        firmware_flags: a Raspberry Pi's, as `vcgencmd get_throttled` gives them.
    """

    temperature_c: float | None
    frequency_mhz: int | None
    throttle_count: int | None
    firmware_flags: int | None


def heat() -> Heat:
    """This moment's; never an error."""
    temperatures = _numbers("class/thermal/thermal_zone*/temp")
    frequencies = _numbers("devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")
    throttled = _numbers("devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")
    return Heat(
        temperature_c=max(temperatures) / 1_000 if temperatures else None,
        frequency_mhz=max(frequencies) // 1_000 if frequencies else None,
        throttle_count=sum(throttled) if throttled else None,
        firmware_flags=_firmware_flags(),
    )


def throttling(before: Heat, after: Heat) -> tuple[str, ...]:
    """What slowed the processor down between two moments, in words; empty if nothing is known."""
    reasons = []
    if (before.throttle_count or 0) < (after.throttle_count or 0):
        reasons.append("throttled because of heat")
    first, last = before.firmware_flags, after.firmware_flags
    if first is not None and last is not None:
        # What happened in between stays behind in the upper half, if it never happened before.
        during = (first | last) & _NOW | (last & ~first) >> _SINCE_START
        reasons += [flag for bit, flag in enumerate(_FLAGS) if during >> bit & 1]
    return tuple(reasons)


def governor() -> str | None:
    """What chooses the cores' frequency, such as "ondemand"; several if they differ."""
    found = _texts("devices/system/cpu/cpu*/cpufreq/scaling_governor")
    return ", ".join(sorted(set(found))) or None


def _firmware_flags() -> int | None:
    # "throttled=0x50000", as root or in the group video only.
    if shutil.which(_FIRMWARE[0]) is None:
        return None
    try:
        said = subprocess.run(
            _FIRMWARE, capture_output=True, text=True, check=True, timeout=_FIRMWARE_SECONDS
        ).stdout
        return int(said.strip().partition("=")[2], 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _numbers(pattern: str) -> list[int]:
    numbers = []
    for text in _texts(pattern):
        with contextlib.suppress(ValueError):
            numbers.append(int(text))
    return numbers


def _texts(pattern: str) -> Iterable[str]:
    with contextlib.suppress(OSError):
        for path in sorted(_SYS.glob(pattern)):
            with contextlib.suppress(OSError):  # a sensor that is switched off, or not for us
                yield path.read_text(encoding="ascii", errors="replace").strip()
