"""Prints pip constraints: each dependency without TensorFlow in the oldest version allowed.

    python tests/lowest_versions.py > constraints.txt

Needs packaging and tomli.
"""

from __future__ import annotations

from pathlib import Path

import tomli
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
EXTRAS = ("bench", "watch")


def lowest(requirement: Requirement) -> str | None:
    """The constraint for a requirement; None where it is not for this Python and system.

    Raises:
        ValueError: if the requirement has no lower bound.
    """
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    for bound in requirement.specifier:
        if bound.operator == ">=":
            return f"{requirement.name}=={bound.version}"
    raise ValueError(f"{requirement} has no lower bound")


def constraints() -> list[str]:
    """Of all that is installed without TensorFlow."""
    project = tomli.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
    return [found for line in lines if (found := lowest(Requirement(line))) is not None]


if __name__ == "__main__":
    print(*constraints(), sep="\n")
