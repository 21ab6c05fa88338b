"""macOS 14 on Apple silicon: what pip would install there."""

from collections.abc import Iterator

from platforms import macos
from workshop import PYTHONS, Resolved, Workshop


def check(workshop: Workshop) -> Iterator[Resolved]:
    """Only resolved: nothing runs a program of macOS here."""
    yield workshop.resolve("macOS 14, arm64", [macos(python, version=14) for python in PYTHONS])
