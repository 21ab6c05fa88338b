"""What came of a grid's rows: `grid.json`, which is also where a stopped grid goes on from."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from edgecap import schema
from edgecap.errors import UsageError
from edgecap.manifest import Measured
from edgecap_converter.storage import whole_file

FORMAT, VERSION = "edgecap-grid-result", 1
NAME = "grid.json"
# Times are given for a caption of so many words, whatever a model says of the photo.
WORDS = 12


@dataclass(frozen=True)
class Size:
    """Bytes as they are, and deflated as a zip file holds them."""

    bytes: int
    deflated_bytes: int


@dataclass(frozen=True)
class Made:
    """A row's bundle."""

    sha256: str
    """That its manifest gives."""
    members: dict[str, Size]
    folder_bytes: int
    zip_bytes: int
    encoder_zeros: float | None
    """Percent of the encoder's weights that are exactly zero; None if its manifest does not say."""
    decoder_zeros: float | None
    measured: Measured
    seconds: float
    """Wall-clock time of making it; a stage that several rows share counts in the first of them."""


@dataclass(frozen=True)
class Failed:
    """Why there is no bundle, or no time, in one line."""

    error: str


@dataclass(frozen=True)
class Times:
    """Medians in milliseconds."""

    decode: float
    """Of a photo, from memory."""
    resize: float
    encoder: float
    word: float
    """A step of the decoder."""

    @property
    def caption(self) -> float:
        """Photo to caption, if it has `WORDS` words; the end that the decoder gives is no word."""
        return self.decode + self.resize + self.encoder + WORDS * self.word


@dataclass(frozen=True)
class Conditions:
    """What the times were measured on and how; `machine` is that of `edgecap bench`."""

    machine: dict[str, str | int | float | None]
    engine: str
    threads: int
    rounds: int
    runs: int
    warm_up: int


@dataclass(frozen=True)
class RowResult:
    """One row; None is what was not reached yet."""

    name: str
    encoder: str
    encoder_compression: str
    decoder: str
    decoder_compression: str
    key: str
    """Of all that the bundle depends on."""
    outcome: Made | Failed | None = None
    times: Times | Failed | None = None

    @property
    def error(self) -> str | None:
        """Why something of this row is missing."""
        found = (one.error for one in (self.outcome, self.times) if isinstance(one, Failed))
        return next(found, None)


@dataclass(frozen=True)
class GridResult:
    """All rows, in the grid's order."""

    grid: str
    about: str
    rows: tuple[RowResult, ...]
    conditions: Conditions | None = None
    format: str = FORMAT
    version: int = VERSION

    def write(self, folder: Path) -> None:
        """Writes `NAME`, whole or not at all.

        Raises:
            ConversionError: if the disk is full or the folder cannot be written.
        """
        text = json.dumps(schema.to_value(self), indent=2, allow_nan=False)
        with whole_file(folder / NAME) as file:
            file.write(text.encode() + b"\n")

    def with_row(self, index: int, row: RowResult) -> "GridResult":
        """The same with another row at `index`."""
        return dataclasses.replace(self, rows=(*self.rows[:index], row, *self.rows[index + 1 :]))


def read_result(folder: Path) -> GridResult | None:
    """What `GridResult.write` wrote; None if `folder` is empty or not there.

    Raises:
        UsageError: if there are files, but no such file or a broken one.
    """
    path = folder / NAME
    try:
        # Hidden files may be what a run left that was killed at its first write.
        names = [one.name for one in folder.iterdir()] if folder.exists() else []
        if all(name.startswith(".") for name in names):
            return None
        value = schema.parse(path.read_bytes())
        if not isinstance(value, dict) or (value.get("format"), value.get("version")) != (
            FORMAT, VERSION,
        ):  # fmt: skip
            raise schema.SchemaError("is of another format or version")
        return schema.from_value(GridResult, value)
    except FileNotFoundError:
        raise UsageError(
            f"--output {folder} holds other things than a grid: give a new or empty folder"
        ) from None
    except OSError as error:
        raise UsageError(
            f"--output {folder}: cannot be read ({error.strerror}): give another folder"
        ) from error
    except schema.SchemaError as error:
        raise UsageError(
            f"{path} is not what a grid writes ({error}): choose another --output"
        ) from error
