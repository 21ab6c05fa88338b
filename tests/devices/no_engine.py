"""32-bit Raspberry Pi OS Trixie and armv6: what edgecap says there, and that it is so."""

from collections.abc import Iterator

from lean_install import Broken, require
from platforms import Wheels, linux
from workshop import Unsupported, Workshop

from edgecap_runtime.engines import DISTRIBUTIONS, Platform

TARGETS = {
    "32-bit Raspberry Pi OS Trixie": ("armv7l", 13, 41),
    "Raspberry Pi 1 and the first Zero, Bookworm": ("armv6l", 11, 36),
}


def check(workshop: Workshop) -> Iterator[Unsupported]:
    """The package index has no engine for them."""
    for target, (machine, minor, glibc) in TARGETS.items():
        wheels = linux(machine, f"3.{minor}", glibc)
        for engine, _ in DISTRIBUTIONS.values():
            require(not _exists(workshop, wheels, engine), f"no {engine} for {machine}", target)
        advice = Platform("Linux", machine, 32, (3, minor)).advice()
        require(advice.startswith("no engine exists"), "one line that says so", advice)
        yield Unsupported(target, advice)


def _exists(workshop: Workshop, wheels: Wheels, engine: str) -> bool:
    folder = workshop.builder.empty / "none"
    try:
        wheels.download(workshop.builder, folder, "--no-deps", engine)
    except Broken as error:
        if "No matching distribution found" not in str(error):
            raise
        return False
    return True
