"""What the environment that edgecap runs in weighs on the disk."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

OURS = "edgecap"
_OUR_PACKAGES = ("edgecap", "edgecap_runtime", "edgecap_bench", "edgecap_converter")
# They come with every environment, and nothing runs on them.
_TOOLS = ("pip", "setuptools")
_COMPILED = ".pyc"


@dataclass(frozen=True)
class Installed:
    """Everything installed in the environment, pip, setuptools and compiled `.pyc` files aside.

    Attributes:
        distributions: how many, edgecap not counted.
        bytes: of all their files and edgecap's; a distribution without a list of its files, as
            Debian's are, is not counted.
    """

    distributions: int
    bytes: int


def installed() -> Installed:
    """The environment of this Python."""
    others = {
        one.metadata["Name"].lower(): one
        for one in distributions()
        if one.metadata["Name"] and one.metadata["Name"].lower() not in (OURS, *_TOOLS)
    }
    files = {path for one in others.values() for path in _files(one)} | set(_our_files())
    return Installed(len(others), sum(map(_size, files)))


def _files(distribution: Distribution) -> Iterator[Path]:
    for file in distribution.files or ():
        if file.suffix != _COMPILED:
            yield Path(str(distribution.locate_file(file)))


def _our_files() -> Iterator[Path]:
    # Found as packages, not as a distribution: of an editable one only a pointer is installed.
    for name in _OUR_PACKAGES:
        package = importlib.util.find_spec(name)
        for folder in (package.submodule_search_locations or ()) if package else ():
            yield from (path for path in Path(folder).rglob("*") if path.suffix != _COMPILED)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0
