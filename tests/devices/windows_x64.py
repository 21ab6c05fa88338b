"""Windows on x64: what pip would install there."""

from collections.abc import Iterator

from platforms import windows
from workshop import PYTHONS, Resolved, Workshop


def check(workshop: Workshop) -> Iterator[Resolved]:
    """Only resolved: nothing runs a program of Windows here."""
    yield workshop.resolve("Windows, x64", [windows(python) for python in PYTHONS])
