"""x86-64 Linux with every Python that this machine has."""

from collections.abc import Iterator

from lean_install import Environment
from workshop import Outcome, Workshop, progress

NAME = "x86-64 Linux"


def check(workshop: Workshop) -> Iterator[Outcome]:
    """`pip install edgecap`; compared with the newest Python, which has the newest packages."""
    newest = workshop.reference("ai-edge-litert", "pillow")
    for number, python in enumerate(workshop.pythons):
        progress(f"{NAME}: installing for {python}")
        environment = Environment(workshop.folder(f"x86-64-{number}"), python)
        environment.pip("install", workshop.wheel)
        version = ".".join(map(str, environment.census()["python"][:2]))
        target = f"{NAME}, Python {version}, LiteRT"
        yield workshop.check(target, "natively", environment, newest)
