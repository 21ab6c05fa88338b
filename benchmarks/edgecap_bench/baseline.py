"""Whether anything has become worse since an earlier report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
class Comparison:
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


def compare(report: Report, baseline: Report) -> Iterator[Comparison]:
    """Every figure that both reports have, of every bundle that is in both.

    The same bundle is that of the same path, or else of the same name, on the same engine with as
    many threads. On another machine only sizes and quality are compared.

    Raises:
        UsageError: if the reports have no bundle in common.
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
    for label, now, then in pairs:
        for figure in FIGURES:
            if figure.of_the_machine and not same_machine(report, baseline):
                continue
            before, after = figure.read(then), figure.read(now)
            if before and after is not None:
                change = 100 * (after / before - 1)
                worse = change if figure.more_is_worse else -change
                yield Comparison(label, figure.name, before, after, worse)


def same_machine(report: Report, baseline: Report) -> bool:
    """Whether times can be compared: processor and number of cores are the same."""
    ours, theirs = report.conditions.machine, baseline.conditions.machine
    return (ours.cpu, ours.cores) == (theirs.cpu, theirs.cores)


def _earlier(one: Measured, baseline: Report) -> Measured | None:
    def setup(other: Measured) -> tuple[str, int]:
        return other.setup.engine, other.setup.threads

    alike = [other for other in baseline.measured if setup(other) == setup(one)]
    by_path = [other for other in alike if other.path == one.path]
    by_name = [other for other in alike if other.name == one.name]
    return next((found[0] for found in (by_path, by_name) if len(found) == 1), None)
