"""What is written down of each photo, one line each, as JSON or as CSV.

The first keys are the contract of `edgecap caption --json`. The others say what file that is true
of, so that a run can go on where an earlier one stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from edgecap.errors import EdgecapError
    from edgecap_runtime.pipeline import Caption

VERSION = 1
"""Of the lines. A reader refuses any other."""
WRITTEN, KEPT = "written", "kept"
SIDECARS = (None, KEPT, WRITTEN)
_STAGES = ("decode", "resize", "encoder", "decoder", "total")
# Where a record is a row: the columns, and what is in them.
COLUMNS: dict[str, type] = {
    **{"path": str, "caption": str, "log_probability": float},
    **{f"{stage}_ms": float for stage in _STAGES},
    **{"error": str, "size": int, "mtime_ns": int, "bundle": str, "sidecar": str, "version": int},
}
_LARGEST = 2**63


class DamagedLine(Exception):
    """A line that was cut short or overwritten."""


class ForeignLine(Exception):
    """A sound line that is no record, or one of another version."""


class Record(NamedTuple):
    """One photo, with either a caption or an error.

    Attributes:
        path: as the photo was found; bytes that are not UTF-8 as surrogates.
        caption, log_probability, timings_ms: as in `edgecap_runtime.pipeline.Caption`.
        error: why there is no caption.
        size: bytes of the file.
        mtime_ns: when the file was modified, nanoseconds since 1970.
        bundle: SHA-256 of the bundle, from its manifest.
        sidecar: `WRITTEN`; `KEPT` for one that was left as it is; None where there was none to
            write.
    """

    path: str
    caption: str | None
    log_probability: float | None
    timings_ms: dict[str, float] | None
    error: str | None
    size: int
    mtime_ns: int
    bundle: str
    sidecar: str | None = None


class Format(Protocol):
    """How records become lines. No line holds a line end but its last byte."""

    header: bytes
    """The file's first line; may be empty."""
    beginning: bytes
    """How a file begins."""

    def encode(self, record: Record) -> bytes:
        """One line, its end included."""

    def decode(self, line: bytes) -> Record:
        """What `encode` wrote.

        Raises:
            DamagedLine: if it cannot be read.
            ForeignLine: if it can, but is something else.
        """


def contract(path: str, caption: Caption | None, error: str | None) -> dict[str, object]:
    """The keys that `edgecap caption --json` promises."""
    if caption is None:
        return {"path": path, "error": error}
    return {
        "path": path,
        "caption": caption.text,
        "log_probability": caption.log_probability,
        "timings_ms": rounded(caption.timings_ms),
    }


def rounded(timings_ms: dict[str, float]) -> dict[str, float]:
    """Milliseconds to the microsecond."""
    return {stage: round(time, 3) for stage, time in timings_ms.items()}


def complaint(path: str, error: EdgecapError) -> str:
    """One line for people that begins with the photo's name."""
    text = str(error)
    return text if text.startswith(path) else f"{path}: {text}"


def as_json(value: object) -> str:
    """One line without its end."""
    # In ASCII, so that names in bytes that are not UTF-8 survive as escapes.
    return json.dumps(value)


class JsonLines:
    """An object a line, with `Record`'s keys and "version"; what is None is left out."""

    header = b""
    beginning = b'{"path": "'

    def encode(self, record: Record) -> bytes:
        values = {key: value for key, value in record._asdict().items() if value is not None}
        return f"{as_json({**values, 'version': VERSION})}\n".encode("ascii")

    def decode(self, line: bytes) -> Record:
        try:
            values = json.loads(str(line, "utf-8"))  # it takes longer for bytes
        except (ValueError, RecursionError) as error:
            raise DamagedLine from error
        try:
            version = values.pop("version")
            record = Record(
                values["path"], values.get("caption"), values.get("log_probability"),
                values.get("timings_ms"), values.get("error"), values["size"],
                values["mtime_ns"], values["bundle"], values.get("sidecar"),
            )  # fmt: skip
        except (AttributeError, KeyError, TypeError) as error:
            raise ForeignLine from error
        return _checked(record, version)


class Csv:
    """The columns `COLUMNS`; a cell without a value is empty.

    Text that a spreadsheet would take for a formula, or that holds what a line cannot, stands as
    a JSON string, in quotes of its own.
    """

    header = ",".join(COLUMNS).encode("ascii") + b"\n"
    beginning = header

    def encode(self, record: Record) -> bytes:
        import csv
        import io

        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(as_row(record, _is_plain))
        return line.getvalue().encode("utf-8")

    def decode(self, line: bytes) -> Record:
        import csv

        try:
            (cells,) = csv.reader((line.decode("utf-8"),), strict=True)
            kinds = zip(cells, COLUMNS.values(), strict=True)
            return from_row([kind(cell) if cell or kind is int else None for cell, kind in kinds])
        except (ValueError, csv.Error) as error:
            raise DamagedLine from error


def as_row(record: Record, is_plain: Callable[[str], bool]) -> tuple[object, ...]:
    """The values of `COLUMNS`.

    Args:
        is_plain: whether text can stand as it is; if not it stands as a JSON string.
    """

    def text(value: str | None) -> str | None:
        plain = value is None or (is_plain(value) and not value.startswith('"'))
        return value if plain else as_json(value)

    timings = record.timings_ms or {}
    return (
        text(record.path), text(record.caption), record.log_probability,
        *(timings.get(stage) for stage in _STAGES), text(record.error),
        record.size, record.mtime_ns, record.bundle, record.sidecar, VERSION,
    )  # fmt: skip


def from_row(values: Sequence[Any]) -> Record:
    """What `as_row` was given; where there is text, None and the empty text are one.

    Raises:
        ValueError: if there are not as many values as columns.
        ForeignLine: if they are no record of this version.
    """
    path, caption, log_probability, *rest = values
    *times, error, size, mtime_ns, bundle, sidecar, version = rest
    timings = zip(_STAGES, times, strict=True)
    record = Record(
        _text(path), None if error else _text(caption), log_probability,
        {stage: time for stage, time in timings if time is not None} or None,
        _text(error) if error else None, size, mtime_ns, bundle, sidecar or None,
    )  # fmt: skip
    return _checked(record, version)


def _checked(record: Record, version: object) -> Record:
    """The record, if it can be one of this version."""
    if not (
        version == VERSION
        and type(record.path) is type(record.bundle) is str
        and type(record.size) is type(record.mtime_ns) is int
        and 0 <= record.size < _LARGEST
        and -_LARGEST <= record.mtime_ns < _LARGEST
        and isinstance(record.caption if record.error is None else record.error, str)
        and record.sidecar in SIDECARS
    ):
        raise ForeignLine
    return record


def _is_plain(text: str) -> bool:
    return text.isprintable() and not text.startswith(("=", "+", "-", "@"))


def _text(value: str | None) -> str:
    return str(json.loads(value)) if value and value.startswith('"') else value or ""
