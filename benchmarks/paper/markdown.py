"""What every page of a comparison shows alike: its conditions, and tables of Markdown."""

from collections.abc import Iterator

from edgecap.machine import UNKNOWN
from edgecap_bench.conditions import Conditions


def conditions_lines(conditions: Conditions) -> Iterator[str]:
    """The machine, the commit, and what else ran meanwhile; a run that was disturbed says so."""
    machine = conditions.machine
    features = UNKNOWN if conditions.features is None else " ".join(conditions.features)
    yield (
        f"{machine.cpu} ({machine.architecture}: {features}), {machine.cores} cores, governor "
        f"{conditions.governor or UNKNOWN}; {conditions.distribution}, {machine.system}; Python "
        f"{machine.python}, edgecap {machine.edgecap}, numpy {machine.numpy}, Pillow "
        f"{machine.pillow}; commit {conditions.commit}."
    )
    if machine.architecture == "x86":
        yield "**x86: these times say nothing about a Raspberry Pi.**"
    others = conditions.other_cores
    taken = UNKNOWN if others is None else f"{others:.2f} cores"
    yield (
        f"Load average {machine.load_average} before and {conditions.load_average_after} after; "
        f"other processes took {taken} meanwhile."
    )
    if conditions.warnings:
        yield (
            f"**Disturbed: {'; '.join(conditions.warnings)}.** All systems took turns, but measure "
            "again on an idle machine."
        )


def table_head(*names: str) -> Iterator[str]:
    """The first two lines of a table."""
    yield table_row(*names)
    yield table_row(*["---"] * len(names))


def table_row(*cells: str) -> str:
    """One line of a table, whatever the cells hold."""
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def megabytes(count: int) -> str:
    """Bytes as MB, 10^6 of them."""
    return f"{count / 1e6:,.2f}"
