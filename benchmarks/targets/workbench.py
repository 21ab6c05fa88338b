"""What several measurements share: the bundle, the corpus, the installed wheel."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lean_install import ROOT, Environment

from edgecap.bundle import Bundle
from edgecap.datasets import load_dataset, select
from edgecap.errors import UsageError
from edgecap_bench.picture import drawn_jpeg
from edgecap_runtime import default_bundle

CORPUS, SPLIT = "EDGECAP_FLICKR8K", "dev"


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
        many: how many photos "many" are.
    """

    def __init__(self, scratch: Path, bundle: str | None, data: str | None, many: int) -> None:
        self._scratch = scratch
        self.many = many
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

    def photos(self, count: int) -> list[Path]:
        """The first photos of the corpus's dev split, at most so many."""
        return [photo.path for photo in select(load_dataset(self.data), SPLIT)[:count]]

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


def in_turns(works: Sequence[Callable[[], object]], turns: int, warm_up: int) -> list[float]:
    """Medians in milliseconds of so many turns of each, after others that do not count."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(warm_up + turns):
        for work, spent in zip(works, times, strict=True):
            begin = time.perf_counter()
            work()
            if turn >= warm_up:
                spent.append(1_000 * (time.perf_counter() - begin))
    return list(map(statistics.median, times))
