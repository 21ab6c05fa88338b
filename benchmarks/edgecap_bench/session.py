"""One call of `edgecap bench`: from what was asked to a report."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgecap import image
from edgecap_bench import picture
from edgecap_bench.conditions import Watch
from edgecap_bench.installed import installed
from edgecap_bench.quality import Examination, Shown
from edgecap_bench.report import FORMAT, VERSION, Photo, Plan, Report
from edgecap_bench.rounds import Subject, measure
from edgecap_runtime.interpreter import find_engine


@dataclass(frozen=True)
class Order:
    """What to measure.

    Attributes:
        bundles: paths, each measured with each of `backends` and `threads` (None: as many as it
            takes by itself).
        plan: how much.
        photo: the path of what to caption; None for a picture drawn in memory.
        dataset, split: a corpus's folder for quality, or None, and which part of it.
    """

    bundles: tuple[str, ...]
    backends: tuple[str, ...]
    threads: tuple[int | None, ...]
    plan: Plan
    photo: str | None = None
    dataset: str | None = None
    split: str = "dev"


def carry_out(order: Order, advance: Callable[[str], None]) -> tuple[Report, list[Shown]]:
    """Measures everything; `advance` is told what comes.

    Returns:
        The report, and every photo of the corpus, the worst first.

    Raises:
        ImageError: if the photo cannot be read.
        EngineError: if there is no engine at all: then no bundle is at fault.
        DatasetError, MissingExtraError: if quality cannot be measured.
    """
    photo, content = _photo(order.photo)
    if len(order.backends) == 1:
        find_engine(order.backends[0])
    examination = None if order.dataset is None else Examination(order.dataset, order.split)
    chosen = itertools.product(order.bundles, order.backends, order.threads)
    subjects = [Subject(*one) for one in chosen]
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="edgecap-bench-") as folder:
        place = Path(folder) / "photo"
        place.write_bytes(content)
        results = measure(subjects, str(place), order.plan, advance)
    conditions = watch.conditions()
    shown: list[Shown] = []
    if examination is not None:
        results, shown = examination.examine(subjects, results, advance)
    report = Report(FORMAT, VERSION, conditions, installed(), photo, order.plan, tuple(results))
    return report, shown


def _photo(path: str | None) -> tuple[Photo, bytes]:
    if path is None:
        content = picture.drawn_jpeg()
        return Photo.of(None, picture.SIZE, content), content
    size = image.decode(path).size
    content = Path(path).read_bytes()
    return Photo.of(path, size, content), content
