"""What was measured, as the JSON file holds it, field by field.

Sizes are bytes, times milliseconds a photo, scores percent. `edgecap.schema` reads and writes it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edgecap import schema
from edgecap.errors import UsageError
from edgecap_bench.conditions import Conditions
from edgecap_bench.latency import Distribution
from edgecap_bench.report import Sizes
from edgecap_converter.storage import whole_file

FORMAT, VERSION = "edgecap-paper", 1


@dataclass(frozen=True)
class Halves:
    """An encoder and a decoder, and how each is compressed."""

    encoder: str
    encoder_compression: str
    decoder: str
    decoder_compression: str


@dataclass(frozen=True)
class Agreement:
    """How far a compressed system's outputs are from those of its float one, for one photo.

    Attributes:
        system: the name of the float one.
        features, scores: |difference| / |float| of the encoder's outputs and of the first word's
            centred scores, both Euclidean.
        bound: what neither may exceed.
    """

    system: str
    features: float
    scores: float
    bound: float


@dataclass(frozen=True)
class Measured:
    """A system that was timed.

    Attributes:
        name: by which the rest of the record refers to it.
        title: what it is, for people.
        random_weights: whether it has never learned anything: only size, time and memory count.
        published: the key of the paper's row that it corresponds to, if any.
        engine: name and version.
        sizes: of every file that is needed at run time.
        stages_ms: by `captioners.STAGES`; a value is the mean over the photos of one round.
        peak_memory_bytes: the median over the rounds of the process's largest resident size.
        agreement: None for a system that is float32 itself, or whose weights are others.
        words: what it said of the first photo.
    """

    name: str
    title: str
    halves: Halves
    random_weights: bool
    published: tuple[str, ...] | None
    engine: str
    sizes: Sizes
    stages_ms: dict[str, Distribution]
    peak_memory_bytes: int
    agreement: Agreement | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """A system that could not be made or timed, and why."""

    name: str
    title: str
    error: str


@dataclass(frozen=True)
class Timing:
    """One run, in which all systems took turns.

    Attributes:
        conditions: of the whole run.
        threads: of every encoder and of the paper's decoders.
        words: that every caption was made to have.
        photos, rounds: each system captioned so many photos so many times, in a new process
            each time, after `warm_up` captions that do not count.
    """

    conditions: Conditions
    threads: int
    words: int
    photos: int
    rounds: int
    warm_up: int
    systems: tuple[Measured | Failed, ...]


@dataclass(frozen=True)
class Scored:
    """Captions in both ways of counting, in percent.

    Attributes:
        theirs: BLEU-1 and BLEU-4 as the paper counts, by `their_bleu`.
        coco: `edgecap.metrics.Scores` without its number of photos.
    """

    theirs: dict[str, float]
    coco: dict[str, float]


@dataclass(frozen=True)
class BundleScores:
    """A bundle's captions of the split, greedy, on the runtime that devices run."""

    name: str
    halves: Halves
    sha256: str
    scores: Scored


@dataclass(frozen=True)
class Difference:
    """CIDEr of `second` less that of `first`, in points, with its 95 % bootstrap interval."""

    first: str
    second: str
    points: float
    low: float
    high: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Quality:
    """What the trained bundles say of a split."""

    dataset: str
    split: str
    photos: int
    engine: str
    constant_caption: Scored
    bundles: tuple[BundleScores, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Record:
    """The whole file; what was not measured is None.

    Attributes:
        grid_minutes: what the paper's grid took, as `--grid-minutes` said: measured elsewhere.
    """

    format: str = FORMAT
    version: int = VERSION
    timing: Timing | None = None
    quality: Quality | None = None
    grid_minutes: float | None = None


class Versioned(Protocol):
    """What every record begins with."""

    @property
    def format(self) -> str: ...

    @property
    def version(self) -> int: ...


Kind = TypeVar("Kind", bound=Versioned)


def read(path: Path) -> Record:
    """The record at `path`, an empty one if there is none; raises as `read_as` does."""
    return read_as(path, Record())


def read_as(path: Path, empty: Kind) -> Kind:
    """The record at `path`, of the kind of `empty`, which is returned if there is none.

    Raises:
        UsageError: if there is something else.
    """
    if not path.exists():
        return empty
    try:
        record = schema.from_value(type(empty), schema.parse(path.read_bytes()))
    except (OSError, schema.SchemaError) as error:
        raise UsageError(f"{path}: expected a record of measurements ({error}): remove it") from (
            error
        )
    if (record.format, record.version) != (empty.format, empty.version):
        raise UsageError(
            f"{path}: expected {empty.format} {empty.version}, found {record.format}: remove it"
        )
    return record


def write(path: Path, record: Versioned) -> None:
    """Writes it whole or not at all; ConversionError if it cannot."""
    with whole_file(path) as file:
        file.write(json.dumps(schema.to_value(record), indent=1).encode() + b"\n")
