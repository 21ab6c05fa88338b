"""What is written down of each photo, one line each, as JSON or as CSV.

The first keys are the contract of `edgecap caption --json`. The others say what file that is true
of, so that a run can go on where an earlier one stopped.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from edgecap.errors import EdgecapError
    from edgecap_runtime.pipeline import Caption

VERSION = 1
"""Of the lines. A reader refuses any other."""
WRITTEN, KEPT = "written", "kept"
SIDECARS = (None, KEPT, WRITTEN)
_STAGES = ("decode", "resize", "encoder", "decoder", "total")
_COLUMNS = (
    *("path", "caption", "log_probability", *(f"{stage}_ms" for stage in _STAGES), "error"),
    *("size", "mtime_ns", "bundle", "sidecar", "version"),
)
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
    """The columns `_COLUMNS`; a cell without a value is empty.

    Text that a spreadsheet would take for a formula, or that holds what a line cannot, stands as
    a JSON string, in quotes of its own.
    """

    header = ",".join(_COLUMNS).encode("ascii") + b"\n"
    beginning = header

    def encode(self, record: Record) -> bytes:
        import csv
        import io

        timings = record.timings_ms or {}
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(
            (
                _cell(record.path), _cell(record.caption), record.log_probability,
                *(timings.get(stage) for stage in _STAGES), _cell(record.error),
                record.size, record.mtime_ns, record.bundle, record.sidecar, VERSION,
            )
        )  # fmt: skip
        return line.getvalue().encode("utf-8")

    def decode(self, line: bytes) -> Record:
        import csv

        try:
            (cells,) = csv.reader((line.decode("utf-8"),), strict=True)
            path, caption, log_probability, *rest = cells
            *times, error, size, mtime_ns, bundle, sidecar, version = rest
            timings = zip(_STAGES, times, strict=True)
            record = Record(
                _text(path), None if error else _text(caption),
                float(log_probability) if log_probability else None,
                {stage: float(time) for stage, time in timings if time} or None,
                _text(error) if error else None, int(size), int(mtime_ns), bundle, sidecar or None,
            )  # fmt: skip
            return _checked(record, int(version))
        except (ValueError, csv.Error) as error:
            raise DamagedLine from error


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


def _cell(text: str | None) -> str | None:
    if text is None or (text.isprintable() and not text.startswith(("=", "+", "-", "@", '"'))):
        return text
    return as_json(text)


def _text(cell: str) -> str:
    return str(json.loads(cell)) if cell.startswith('"') else cell
