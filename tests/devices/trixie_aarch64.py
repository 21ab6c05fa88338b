"""64-bit Raspberry Pi OS Trixie: Python 3.13 and glibc 2.41."""

from collections.abc import Iterator

from guest import Guest
from platforms import linux
from workshop import Outcome, Workshop

NAME = "64-bit Raspberry Pi OS Trixie"
WHEELS = linux("aarch64", "3.13", glibc=41)


def check(workshop: Workshop) -> Iterator[Outcome]:
    """`pip install edgecap`."""
    guest = Guest(workshop.folder("trixie"), "trixie", "arm64", "3.13")
    wheels = workshop.wheels("trixie-wheels", WHEELS, workshop.wheel)
    guest.install(wheels, (workshop.wheel,), workshop.wheel)
    checked = f"Debian 13's arm64 Python 3.13, {guest.describe()}"
    yield workshop.check(f"{NAME}, LiteRT", checked, guest)
