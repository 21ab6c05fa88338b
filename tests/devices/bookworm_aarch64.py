"""64-bit Raspberry Pi OS Bookworm: Python 3.11 and glibc 2.36, with either engine."""

from collections.abc import Iterator

from guest import Guest
from lean_install import SMALLEST
from platforms import linux
from workshop import Outcome, Workshop

NAME = "64-bit Raspberry Pi OS Bookworm"
WHEELS = linux("aarch64", "3.11", glibc=36)


def check(workshop: Workshop) -> Iterator[Outcome]:
    """`pip install edgecap`, then the smallest installation."""
    for engine, wanted in (("LiteRT", (workshop.wheel,)), ("tflite-runtime", SMALLEST)):
        guest = Guest(workshop.folder(f"bookworm-{engine}"), "bookworm", "arm64", "3.11")
        wheels = workshop.wheels(f"bookworm-{engine}-wheels", WHEELS, *wanted)
        guest.install(wheels, wanted, workshop.wheel)
        checked = f"Debian 12's arm64 Python 3.11, {guest.describe()}"
        yield workshop.check(f"{NAME}, {engine}", checked, guest)
