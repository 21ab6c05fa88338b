"""Which engines there are, and which of them exists for which machine; imports none of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

# Name on the command line -> (distribution, package), in the order that "auto" tries them.
DISTRIBUTIONS = {
    "litert": ("ai-edge-litert", "ai_edge_litert"),
    "tflite-runtime": ("tflite-runtime", "tflite_runtime"),
}
COMMANDS = {
    "litert": "pip install ai-edge-litert",
    "tflite-runtime": "pip install tflite-runtime 'numpy<2'",
}

# Where the package index has wheels of them, by `platform.system()` and `platform.machine()`.
_LITERT = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64")}
_LITERT_NEWEST_PYTHON = (3, 14)
_TFLITE_NEWEST_PYTHON = (3, 11)
# A 32-bit system may run on a 64-bit kernel, which then gives its own name.
_ARM_32 = ("armv7l", "armv8l", "aarch64")


@dataclass(frozen=True)
class Platform:
    """What decides which wheels can be installed.

    Attributes:
        system, machine: as the module `platform` has them.
        bits: 32 or 64, of the Python.
        python: major and minor number.
    """

    system: str
    machine: str
    bits: int
    python: tuple[int, int]

    @classmethod
    def this(cls) -> Platform:
        """The one that runs this."""
        import platform  # slow to import

        bits = 64 if sys.maxsize > 2**32 else 32
        return cls(platform.system(), platform.machine(), bits, sys.version_info[:2])

    def advice(self) -> str:
        """Where no engine is installed: the command that installs one, or why there is none."""
        python = ".".join(map(str, self.python))
        if self.bits == 64 and (self.system, self.machine) in _LITERT:
            if self.python <= _LITERT_NEWEST_PYTHON:
                return f"run  {COMMANDS['litert']}"
            newest = ".".join(map(str, _LITERT_NEWEST_PYTHON))
            return f"no engine exists for Python {python} yet: use Python {newest}"
        if self.system == "Linux" and self.bits == 32 and self.machine in _ARM_32:
            if self.python <= _TFLITE_NEWEST_PYTHON:
                return f"run  {COMMANDS['tflite-runtime']}"
            return (
                f"no engine exists for 32-bit Arm with Python {python}: use a 64-bit system, or "
                "Raspberry Pi OS Bookworm with its Python 3.11"
            )
        if self.machine.startswith("armv6"):
            return (
                "no engine exists for armv6, the first Raspberry Pi and Zero: "
                "use a Raspberry Pi Zero 2, 3 or newer"
            )
        return (
            f"no engine exists for {self.system} on {self.machine} with a {self.bits}-bit Python: "
            "use Linux on x86-64 or 64-bit Arm, macOS on Apple silicon, or Windows on x64, each "
            "with a 64-bit Python"
        )
