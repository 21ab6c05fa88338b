"""Whether anything has become worse since an earlier report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecap.errors import UsageError
from edgecap_bench.latency import TOTAL, WORD

if TYPE_CHECKING:
    from edgecap_bench.report import Measured, Report


@dataclass(frozen=True)
class Figure:
    """Something that is compared: how it is read, and whether more of it is worse.

    `of_the_machine` says that it means nothing beside another machine's.
    """

    name: str
    read: Callable[[Measured], float | None]
    of_the_machine: bool
    more_is_worse: bool = True


FIGURES = (
    Figure("folder, bytes", lambda one: one.sizes.folder_bytes, of_the_machine=False),
    Figure("zip, bytes", lambda one: one.sizes.zip_bytes, of_the_machine=False),
    Figure("cold start, ms", lambda one: one.cold_start_ms.median, of_the_machine=True),
    Figure("load, ms", lambda one: one.load_ms.median, of_the_machine=True),
    Figure("encoder, ms", lambda one: one.stages_ms["encoder"].median, of_the_machine=True),
    Figure("decoder, a word, ms", lambda one: one.stages_ms[WORD].median, of_the_machine=True),
    Figure("caption, ms", lambda one: one.stages_ms[TOTAL].median, of_the_machine=True),
    Figure("caption, p90, ms", lambda one: one.stages_ms[TOTAL].p90, of_the_machine=True),
    Figure(
        "captions a second",
        lambda one: one.bulk.median,
        of_the_machine=True,
        more_is_worse=False,
    ),
    Figure("peak memory, bytes", lambda one: one.memory.peak_bytes, of_the_machine=True),
    Figure(
        "CIDEr",
        lambda one: one.quality.bundle["cider"] if one.quality else None,
        of_the_machine=False,
        more_is_worse=False,
    ),
)


@dataclass(frozen=True)
class Change:
    """One figure of one bundle, then and now; `worse_percent` is negative if it got better."""

    label: str
    figure: str
    then: float
    now: float
    worse_percent: float

    def complaint(self) -> str:
        """That it is worse, in one line."""
        return (
            f"{self.label}: {self.figure}: {self.then:,.6g} in the baseline, {self.now:,.6g} now: "
            f"{self.worse_percent:.1f} % worse"
        )


@dataclass(frozen=True)
class Comparison:
    """Every figure that was compared.

    Attributes:
        changes: bundle by bundle.
        same_machine: whether processor and number of cores are the same; if not, times and memory
            were left out.
        tolerance: percent by which a figure may be worse.
    """

    changes: tuple[Change, ...]
    same_machine: bool
    tolerance: float

    def is_worse(self, change: Change) -> bool:
        """Whether a figure is worse by more than the tolerance."""
        return change.worse_percent > self.tolerance


def compare(report: Report, baseline: Report, tolerance: float) -> Comparison:
    """Compares every bundle that is in both reports.

    The same bundle is that of the same path, or else of the same name, on the same engine with as
    many threads.

    Raises:
        UsageError: if there is none.
    """
    pairs = [
        (label, one, then)
        for label, one in zip(report.labels(), report.measured, strict=True)
        if (then := _earlier(one, baseline))
    ]
    if not pairs and report.measured:
        raise UsageError(
            "nothing to compare: the baseline has no such bundle on the same engine with as many "
            "threads"
        )
    ours, theirs = (one.conditions.machine for one in (report, baseline))
    same_machine = (ours.cpu, ours.cores) == (theirs.cpu, theirs.cores)
    figures = [one for one in FIGURES if same_machine or not one.of_the_machine]
    changes = (
        _change(label, figure, then, now) for label, now, then in pairs for figure in figures
    )
    return Comparison(tuple(filter(None, changes)), same_machine, tolerance)


def _change(label: str, figure: Figure, then: Measured, now: Measured) -> Change | None:
    before, after = figure.read(then), figure.read(now)
    if not before or after is None:
        return None
    percent = 100 * (after / before - 1)
    worse = percent if figure.more_is_worse else -percent
    return Change(label, figure.name, before, after, worse)


def _earlier(one: Measured, baseline: Report) -> Measured | None:
    def setup(other: Measured) -> tuple[str, int]:
        return other.setup.engine, other.setup.threads

    alike = [other for other in baseline.measured if setup(other) == setup(one)]
    by_path = [other for other in alike if other.path == one.path]
    by_name = [other for other in alike if other.name == one.name]
    return next((found[0] for found in (by_path, by_name) if len(found) == 1), None)
