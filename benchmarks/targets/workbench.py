"""What several measurements share: the bundle, the corpus, the installed wheel."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lean_install import ROOT, Environment

from edgecap.bundle import Bundle
from edgecap.errors import UsageError
from edgecap_bench.picture import drawn_jpeg
from edgecap_runtime import default_bundle

CORPUS = "EDGECAP_FLICKR8K"


@dataclass(frozen=True)
class Result:
    """What came out, in words, and whether that is good enough."""

    measured: str
    reached: bool


class Workbench:
    """Everything is made when it is first asked for, in the folder `scratch`.

    Args:
        scratch: an empty folder.
        bundle: the bundle to measure; by default the packaged one.
        data: Flickr8k; by default what the environment variable `CORPUS` names.
    """

    def __init__(self, scratch: Path, bundle: str | None, data: str | None) -> None:
        self._scratch = scratch
        self._data = data or os.environ.get(CORPUS)
        self.bundle_path = Path(bundle or default_bundle()).resolve()
        self.bundle_option = () if bundle is None else ("--bundle", str(self.bundle_path))
        """What makes a command of the installed edgecap use the bundle."""

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle, every member checked."""
        return Bundle.open(self.bundle_path)

    @property
    def data(self) -> str:
        """The folder of the corpus; UsageError if nobody named one."""
        if self._data is None:
            raise UsageError(f"no corpus: give --data DIR or set {CORPUS}")
        return self._data

    @cached_property
    def lean(self) -> Environment:
        """A fresh environment with the wheel of this tree, no extras, and nothing else."""
        builder = Environment(self._scratch / "builder", sys.executable)
        builder.pip("wheel", "--no-deps", "--wheel-dir", self._scratch, ROOT)
        (wheel,) = self._scratch.glob("edgecap-*.whl")
        lean = Environment(self._scratch / "lean", sys.executable)
        lean.pip("install", wheel)
        return lean

    @cached_property
    def photo(self) -> Path:
        """A drawn JPEG."""
        path = self._scratch / "photo.jpg"
        path.write_bytes(drawn_jpeg())
        return path
