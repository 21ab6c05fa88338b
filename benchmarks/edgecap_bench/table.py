"""A report as lines for a terminal; the last one can be pasted where others share theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgecap.machine import UNKNOWN
from edgecap_bench.latency import STAGES, TOTAL, Distribution

if TYPE_CHECKING:
    from edgecap_bench.baseline import Comparison
    from edgecap_bench.conditions import Conditions
    from edgecap_bench.heat import Heat
    from edgecap_bench.report import Measured, Quality, Report

_SCORES = {"bleu_1": "BLEU-1", "bleu_4": "BLEU-4", "rouge_l": "ROUGE-L", "cider": "CIDEr"}
_WIDTH = 15
_COMPARED = ("bleu_4", "cider")
_SHARED = (
    "machine", "bundle", "engine", "threads", "MB", "cold start, ms", "caption, ms", "p90, ms",
    "captions a second", "peak, MB", "measured",
)  # fmt: skip


def as_text(report: Report, comparison: Comparison | None = None) -> Iterator[str]:
    """The report, and how it compares with a baseline, as lines of tables.

    The last lines are a table in Markdown, a row for each bundle.
    """
    yield from _conditions(report)
    for bundle in report.measured:
        yield from ("", *_measured(bundle))
    if len(report.bundles) > 1 or not report.measured:
        yield from ("", *_comparison(report))
    if comparison is not None:
        yield from ("", *_changes(comparison))
    if report.measured:
        yield from ("", *shared_rows(report))


def shared_rows(report: Report) -> Iterator[str]:
    """A table in Markdown for issues and documents: its head, then one row for each bundle."""
    conditions = report.conditions
    machine = conditions.machine
    yield f"| {' | '.join(_SHARED)} |"
    yield "|" + " --- |" * len(_SHARED)
    for one in report.measured:
        setup, total = one.setup, one.stages_ms[TOTAL]
        cells = (
            f"{machine.cpu} ({machine.architecture}), {_known(machine.cores)} cores, "
            f"{conditions.distribution}",
            f"{one.name} {setup.bundle_sha256[:12]}",
            f"{setup.engine} {setup.engine_version}",
            str(setup.threads),
            _megabytes(one.sizes.folder_bytes, 1),
            f"{one.cold_start_ms.median:,.0f}",
            f"{total.median:,.2f}",
            f"{total.p90:,.2f}",
            f"{one.bulk.median:,.1f}",
            _megabytes(one.memory.peak_bytes, 1),
            f"edgecap {machine.edgecap}, {total.runs} runs"
            + "".join(f", **{warning}**" for warning in conditions.warnings),
        )
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _conditions(report: Report) -> Iterator[str]:
    conditions, photo, plan = report.conditions, report.photo, report.plan
    machine = conditions.machine
    features = UNKNOWN if conditions.features is None else " ".join(conditions.features)
    yield (
        f"machine   {machine.cpu} ({machine.architecture}), {_known(machine.cores)} cores; "
        f"{features or 'no vector instructions'}"
    )
    yield f"system    {conditions.distribution}; {machine.system}"
    yield (
        f"software  edgecap {machine.edgecap} (commit {conditions.commit}), Python "
        f"{machine.python}, numpy {machine.numpy}, Pillow {machine.pillow}"
    )
    yield (
        f"installed {_megabytes(report.installed.bytes, 1)} MB, edgecap and "
        f"{report.installed.distributions} other distributions"
    )
    yield from _state(conditions)
    source = "drawn in memory" if photo.path is None else photo.path
    yield f"photo     {photo.width} x {photo.height}, {photo.file_bytes:,} bytes, {source}"
    yield (
        f"plan      {plan.rounds} rounds in new processes; in each 1 cold start, and {plan.runs} "
        f"runs after {plan.warm_up} of warm-up"
    )


def _state(conditions: Conditions) -> Iterator[str]:
    before, after = (_heat(one) for one in (conditions.before, conditions.after))
    yield f"heat      {before} before, {after} after; governor {_known(conditions.governor)}"
    averages = (conditions.machine.load_average, conditions.load_average_after)
    first, last = (UNKNOWN if one is None else f"{one:.2f}" for one in averages)
    others = conditions.other_cores
    taken = UNKNOWN if others is None else f"{others:.2f} cores"
    yield f"load      average {first} before, {last} after; other work meanwhile: {taken}"
    for warning in conditions.warnings:
        yield f"          {warning}: these times are longer than they need be, measure again"


def _heat(heat: Heat) -> str:
    celsius, megahertz = heat.temperature_c, heat.frequency_mhz
    return (
        f"{UNKNOWN if celsius is None else f'{celsius:.1f} °C'}, "
        f"{UNKNOWN if megahertz is None else f'{megahertz:,} MHz'}"
    )


def _measured(bundle: Measured) -> Iterator[str]:
    setup, sizes = bundle.setup, bundle.sizes
    yield f"{bundle.name}: {bundle.path}"
    yield f"SHA-256 {setup.bundle_sha256}, made by commit {bundle.commit or UNKNOWN}"
    yield f"{setup.engine} {setup.engine_version}, threads: {setup.threads}"
    yield f"said {bundle.caption!r}, the same in every run, in {bundle.steps} steps of the decoder"
    yield ""
    yield _row("MB (10^6 bytes)", "as it is", "deflated")
    for name, size in sizes.members.items():
        yield _row(name, _megabytes(size.bytes), _megabytes(size.deflated_bytes))
    yield _row("folder, zip file", _megabytes(sizes.folder_bytes), _megabytes(sizes.zip_bytes))
    yield ""
    yield _row("ms", "median", "p90", "p99", "minimum", "runs")
    yield _times("cold start", bundle.cold_start_ms)
    yield _times("load", bundle.load_ms)
    for stage, label in STAGES.items():
        yield _times(label, bundle.stages_ms[stage])
    yield ""
    bulk, memory = bundle.bulk, bundle.memory
    rates = (f"{rate:,.1f}" for rate in (bulk.median, bulk.minimum, bulk.maximum))
    yield _row("captions a second", *rates) + "  median, minimum, maximum; in bulk"
    for label, count in (
        ("resident memory", memory.resident_bytes), ("peak memory", memory.peak_bytes),
    ):  # fmt: skip
        yield _row(label, _megabytes(count)) + "  MB"
    for name, work in bundle.work.items():
        yield _row(STAGES[name], f"{work.per_second / 1e9:,.2f}") + (
            f"  10^9 multiply-accumulates a second, of {work.multiply_accumulates:,}"
        )
    if bundle.quality is not None:
        yield ""
        yield _row(f"{bundle.quality.split}, %", "bundle", "constant")
        for name, label in _SCORES.items():
            scores = (bundle.quality.bundle[name], bundle.quality.constant_caption[name])
            yield _row(label, *(f"{score:.1f}" for score in scores))


def _comparison(report: Report) -> Iterator[str]:
    """One row a bundle. They took turns, so their times can be compared."""
    scored = any(one.quality for one in report.measured)
    head = [f"{_SCORES[name]} (floor)" for name in _COMPARED] if scored else []
    yield _row("in turns", "folder, MB", "zip, MB", "median, ms", "a second", *head)
    for label, bundle in zip(report.labels(), report.measured, strict=True):
        cells = (
            _megabytes(bundle.sizes.folder_bytes),
            _megabytes(bundle.sizes.zip_bytes),
            f"{bundle.stages_ms[TOTAL].median:,.3f}",
            f"{bundle.bulk.median:,.1f}",
            *(_beside_floor(bundle.quality, name) for name in _COMPARED if scored),
        )
        yield _row(label, *cells)
    for failed in report.failed:
        yield f"  not measured: {failed.error}"
    if scored:
        yield "  floor: what one constant caption scores; a captioner is worth what it has above it"


def _beside_floor(quality: Quality | None, name: str) -> str:
    if quality is None:
        return UNKNOWN
    return f"{quality.bundle[name]:.1f} ({quality.constant_caption[name]:.1f})"


def _changes(comparison: Comparison) -> Iterator[str]:
    label = ""
    for one in comparison.changes:
        if one.label != label:
            label = one.label
            yield _row(label, "baseline", "now", "change")
        cells = (f"{one.then:,.6g}", f"{one.now:,.6g}", f"{100 * (one.now / one.then - 1):+.1f} %")
        yield _row(one.figure, *cells) + ("  worse" if comparison.is_worse(one) else "")
    if not comparison.same_machine:
        yield "  the baseline is of another machine: times and memory are not compared"


def _times(label: str, times: Distribution) -> str:
    values = (times.median, times.p90, times.p99, times.minimum)
    return _row(label, *("" if one is None else f"{one:,.3f}" for one in values), str(times.runs))


def _row(name: str, *cells: str) -> str:
    return f"  {name:18}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells)


def _known(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def _megabytes(count: int | None, digits: int = 3) -> str:
    return UNKNOWN if count is None else f"{count / 1e6:,.{digits}f}"
