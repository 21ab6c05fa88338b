"""`results/peers.md`: every system beside edgecap, from the record."""

from collections.abc import Iterator

from paper.markdown import conditions_lines, megabytes, table_head, table_row
from paper.page import NOT_MEASURED, goal_table
from paper.record import Failed
from peers.architectures import architectures
from peers.goals import find, goals
from peers.record import Measured, Record, Timing
from peers.systems import OURS, SAME_CAPTIONS


def as_markdown(record: Record) -> Iterator[str]:
    """The page, line by line; what the record does not hold is "not measured"."""
    yield "# edgecap beside what people would use instead"
    yield ""
    yield "Written by `python -m peers`; every figure is in `peers.json`."
    yield from ("", "## What it was measured on", "", *_conditions(record))
    yield from ("", "## The systems", "", *_systems(record))
    yield from ("", "## As multiples of edgecap", "", *_multiples(record))
    yield from ("", "## The same model on several engines", "", *_agreements(record))
    yield from ("", "## Numbers to reach", "", *_goals(record))


def _conditions(record: Record) -> Iterator[str]:
    timing = record.timing
    if timing is None:
        yield f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]}."
        return
    yield from conditions_lines(timing.conditions)
    yield (
        f"Python {timing.python} in every environment; all versions: "
        "`benchmarks/peers/environments.json`."
    )
    yield ""
    yield (
        f"In turns, rounds after a rehearsal: {timing.rounds}, each system in a new process each "
        f"time: {timing.photos} photos after the first caption and {timing.warm_up} more to warm "
        f"up, {timing.words} words forced, greedy, threads: {timing.threads} (one for a step of "
        "the bundle's decoder, on every engine). A photo's time is from the file to the words, "
        "the median over the rounds of the mean over the photos."
    )
    yield (
        "Cold start is from the asking for a process to its first caption, with all files in the "
        "cache; it is that of a bare script for every system. Memory is the process's peak. MB "
        "are 10^6 bytes. The model is all files needed at run time, as they are and deflated; "
        "installed is the environment without the model, pip, `.pyc` files, and Python itself."
    )


def _systems(record: Record) -> Iterator[str]:
    yield (
        "**Random weights: what such a system says means nothing, and no quality is claimed**; "
        "size, time and memory are those of a trained one. They are made by "
        "`architectures.json`:"
    )
    yield ""
    for name, architecture in architectures().items():
        yield f"- `{name}`: {architecture.source}."
    yield ""
    yield from table_head(
        "system", "what", "weights", "engine", "a photo, ms", "cold start, ms", "peak memory, MB",
        "model, MB", "deflated, MB", "installed, MB",
    )  # fmt: skip
    for one in record.timing.systems if record.timing else ():
        if isinstance(one, Failed):
            yield table_row(one.name, one.title, f"{NOT_MEASURED}: {one.error}", *[""] * 7)
            continue
        yield table_row(
            one.name,
            one.title,
            _weights(one),
            one.engine,
            f"{one.photo_ms.median:,.2f}",
            f"{one.cold_start_ms.median:,.0f}",
            f"{one.peak_memory_bytes / 1e6:,.0f}",
            megabytes(one.sizes.folder_bytes),
            megabytes(one.sizes.zip_bytes),
            f"{one.installed_bytes / 1e6:,.1f}",
        )


def _weights(system: Measured) -> str:
    kind = "random" if system.random_weights else "trained"
    return kind if system.parameters is None else f"{kind}, {system.parameters / 1e6:,.1f} million"


def _multiples(record: Record) -> Iterator[str]:
    ours = find(record, OURS)
    if ours is None:
        yield f"{OURS} was {NOT_MEASURED}."
        return
    yield f"How many times what `{OURS}` takes; less than 1 is less."
    yield ""
    yield from table_head(
        "system", "a photo", "cold start", "peak memory", "model", "deflated", "installed"
    )
    assert record.timing is not None
    for one in record.timing.systems:
        if isinstance(one, Measured):
            times = (a / b for a, b in zip(_figures(one), _figures(ours), strict=True))
            yield table_row(one.name, *(f"{value:,.2f}" for value in times))


def _figures(system: Measured) -> tuple[float, ...]:
    return (
        system.photo_ms.median,
        system.cold_start_ms.median,
        system.peak_memory_bytes,
        system.sizes.folder_bytes,
        system.sizes.zip_bytes,
        system.installed_bytes,
    )


def _agreements(record: Record) -> Iterator[str]:
    timing = record.timing
    same = [(one, one.agreement) for one in _measured(timing) if one.agreement is not None]
    if timing is None or not same:
        yield f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]}."
        return
    _, first = same[0]
    yield (
        f"How far the outputs for one photo are from those of `{OURS}`, relative to their length, "
        f"and how many of the {timing.photos} photos got the same {timing.words} words. Engines "
        "round int8 differently, and float32 is not rounded; more than "
        f"{100 * first.bound:g} % apart, or fewer than {100 * SAME_CAPTIONS:g} % of the captions "
        "the same, would be an error."
    )
    yield ""
    yield from table_head("system", "features", "first word's scores", "same captions")
    for one, agreement in same:
        apart = (f"{100 * value:.2f} %" for value in (agreement.features, agreement.scores))
        yield table_row(one.name, *apart, f"{one.same_captions} of {timing.photos}")


def _goals(record: Record) -> Iterator[str]:
    if record.timing and record.timing.conditions.warnings:
        yield "**From a disturbed run**: measure again before believing a time."
        yield ""
    yield from goal_table(goals(record))


def _measured(timing: Timing | None) -> Iterator[Measured]:
    return (one for one in (timing.systems if timing else ()) if isinstance(one, Measured))
