"""A grid's results as a table: CSV with everything for programs, Markdown for people."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from edgecap.manifest import DECODER, ENCODER
from edgecap_converter.grid.result import (
    WORDS,
    Conditions,
    Failed,
    GridResult,
    Made,
    RowResult,
    Times,
)

Value: TypeAlias = "str | int | float | None"
_MEGA = 1e-6


@dataclass(frozen=True)
class Column:
    """One column of the Markdown table."""

    heading: str
    key: str
    """Which value of `row_values` it shows."""
    scale: float = 1.0
    digits: int | None = None
    """Behind the point; None for what is shown as it is."""


COLUMNS = (
    Column("", "row"),
    Column("encoder", "encoder"),
    Column("encoder recipe", "encoder_compression"),
    Column("decoder", "decoder"),
    Column("decoder recipe", "decoder_compression"),
    Column("MB", "folder_bytes", _MEGA, 2),
    Column("zip MB", "zip_bytes", _MEGA, 2),
    Column("encoder MB", "encoder_bytes", _MEGA, 2),
    Column("decoder MB", "decoder_bytes", _MEGA, 2),
    Column("encoder zeros, %", "encoder_zeros", digits=1),
    Column("decoder zeros, %", "decoder_zeros", digits=1),
    Column("encoder ms", "encoder_ms", digits=2),
    Column("word ms", "word_ms", digits=3),
    Column("caption ms", "caption_ms", digits=2),
    Column("MB, %", "folder_change", digits=1),
    Column("zip MB, %", "zip_change", digits=1),
    Column("caption ms, %", "caption_change", digits=1),
    Column("BLEU-1", "bleu_1", digits=1),
    Column("BLEU-4", "bleu_4", digits=1),
    Column("CIDEr", "cider", digits=1),
    Column("float CIDEr", "float_cider", digits=1),
    Column("status", "status"),
)
SCORES = ("bleu_1", "bleu_4", "rouge_l", "cider")
# Whose scores: the bundle's, its own float model's, one constant caption's.
SPEAKERS = ("", "float_", "constant_")
# In percent against the grid's first row, and of what: -73.1 is 73.1 % less.
CHANGES = {
    "folder_change": "folder_bytes",
    "zip_change": "zip_bytes",
    "caption_change": "caption_ms",
}
# Every value of a row: bytes, milliseconds, percent; `seconds` and `sha256` as in `Made`.
NAMES = (
    "row", "name", "encoder", "encoder_compression", "decoder", "decoder_compression", "status",
    "folder_bytes", "zip_bytes", "encoder_bytes", "decoder_bytes", "encoder_deflated_bytes",
    "decoder_deflated_bytes", "encoder_zeros", "decoder_zeros", "decode_ms", "resize_ms",
    "encoder_ms", "word_ms", "caption_ms",
    *CHANGES, *(f"{speaker}{score}" for speaker in SPEAKERS for score in SCORES),
    "seconds", "sha256",
)  # fmt: skip


def row_values(result: GridResult) -> list[dict[str, Value]]:
    """Every row's values by `NAMES`, as far as there are any."""
    rows = [_values(number, row) for number, row in enumerate(result.rows, start=1)]
    for change, name in CHANGES.items():
        base = rows[0].get(name)
        for values in rows:
            value = values.get(name)
            if isinstance(value, (int, float)) and isinstance(base, (int, float)):
                values[change] = round(100 * (value / base - 1), 2)
    return rows


def _values(number: int, row: RowResult) -> dict[str, Value]:
    values: dict[str, Value] = {
        "row": number,
        "name": row.name,
        "encoder": row.encoder,
        "encoder_compression": row.encoder_compression,
        "decoder": row.decoder,
        "decoder_compression": row.decoder_compression,
        "status": _status(row),
    }
    if isinstance(row.outcome, Made):
        values |= _made(row.outcome)
    if isinstance(row.times, Times):
        values |= {f"{stage}_ms": time for stage, time in vars(row.times).items()}
        values["caption_ms"] = round(row.times.caption, 4)
    return values


def _status(row: RowResult) -> str:
    if row.outcome is None:
        return "waiting"
    if isinstance(row.outcome, Failed):
        return f"failed: {row.outcome.error}"
    return f"not timed: {row.times.error}" if isinstance(row.times, Failed) else "done"


def _made(made: Made) -> dict[str, Value]:
    values: dict[str, Value] = {
        "folder_bytes": made.folder_bytes,
        "zip_bytes": made.zip_bytes,
        "encoder_zeros": made.encoder_zeros,
        "decoder_zeros": made.decoder_zeros,
        "seconds": made.seconds,
        "sha256": made.sha256,
    }
    for half, member in (("encoder", ENCODER), ("decoder", DECODER)):
        values[f"{half}_bytes"] = made.members[member].bytes
        values[f"{half}_deflated_bytes"] = made.members[member].deflated_bytes
    measured = made.measured
    said = (measured.bundle, measured.float_model, measured.constant_caption)
    for speaker, scores in zip(SPEAKERS, said, strict=True):
        values |= {f"{speaker}{score}": scores[score] for score in SCORES}
    return values


def as_csv(result: GridResult) -> str:
    """One line a row after the line of `NAMES`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, NAMES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row_values(result))
    return text.getvalue()


def as_markdown(result: GridResult) -> str:
    """A page: what was measured how, and the table, without columns that no row fills."""
    return "\n".join(_page(result)) + "\n"


def _page(result: GridResult) -> Iterator[str]:
    rows = row_values(result)
    columns = [one for one in COLUMNS if any(values.get(one.key) is not None for values in rows)]
    yield f"# Grid {result.grid}"
    if result.about:
        yield from ("", " ".join(result.about.split()))
    yield ""
    yield from _notes(result)
    yield ""
    yield f"| {' | '.join(column.heading for column in columns)} |"
    aligned = ("---" if column.digits is None else "---:" for column in columns)
    yield f"| {' | '.join(aligned)} |"
    for values in [*rows, *_floor(rows)]:
        yield f"| {' | '.join(_cell(values.get(column.key), column) for column in columns)} |"
    yield from ("", "![size against time, coloured by quality](grid.svg)")


def _floor(rows: list[dict[str, Value]]) -> list[dict[str, Value]]:
    """A row that is no model: what one constant caption scores on the same photos."""
    for values in rows:
        if "constant_cider" in values:
            scores = {score: values[f"constant_{score}"] for score in SCORES}
            return [{"encoder": "one constant caption", **scores}]
    return []


def _cell(value: Value, column: Column) -> str:
    if value is None:
        return ""
    if column.digits is not None and not isinstance(value, str):
        return f"{value * column.scale:,.{column.digits}f}"
    # What a system said of a path may hold what ends a cell.
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")


def _notes(result: GridResult) -> Iterator[str]:
    made = [row.outcome for row in result.rows if isinstance(row.outcome, Made)]
    if made:
        measured = made[0].measured
        yield (
            f"- Quality: {measured.photos:,} photos of {measured.split}, {measured.decoding} "
            "decoding, COCO tokens, in percent; float CIDEr is that of the row's own float model."
        )
    yield "- Size: MB of 10^6 bytes, all files; zip MB as one zip file."
    if result.conditions is not None:
        yield from _conditions(result.conditions)
    yield f"- %: change against row 1, {result.rows[0].name}; -73.1 is 73.1 % less."


def _conditions(conditions: Conditions) -> Iterator[str]:
    machine = conditions.machine
    yield (
        f"- Time: {machine['cpu']} ({machine['architecture']}), {machine['cores']} cores, threads: "
        f"{conditions.threads}, {conditions.engine}; medians of {conditions.rounds} rounds of all "
        f"rows in turns, {conditions.runs} captions a turn after {conditions.warm_up} of warm-up; "
        f"caption ms: a JPEG in memory to a caption of {WORDS} words."
    )
    yield (
        f"- Load before: {machine['load_average']} tasks on average over a minute, what this grid "
        "made then among them."
    )
