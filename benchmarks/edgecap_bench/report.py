"""The result of `edgecap bench`, field by field as its JSON has it; `README.md` explains them.

Sizes are bytes, times milliseconds. `edgecap.schema` writes and reads it.
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from edgecap import schema
from edgecap.errors import EdgecapError, UsageError
from edgecap.files import whole_file
from edgecap.sizes import MemberSize, folder_bytes, zip_bytes
from edgecap_bench.conditions import Conditions, Setup
from edgecap_bench.installed import Installed
from edgecap_bench.latency import Distribution

FORMAT, VERSION = "edgecap-bench", 2
_MAXIMUM_BYTES = 100_000_000


@dataclass(frozen=True)
class Photo:
    """What was captioned: the file at `path`, or (None) a picture drawn in memory."""

    path: str | None
    width: int
    height: int
    file_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str | None, size: tuple[int, int], content: bytes) -> "Photo":
        """A file's content; `size` is its width and height in pixels."""
        return cls(path, *size, len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Plan:
    """How much was measured with each bundle, engine and number of threads.

    Attributes:
        rounds: all took turns so many times, each time in new processes.
        runs: timed captions in each process, after `warm_up` others; and as many in bulk for each
            thread.
        warm_up: captions before them. One cold start comes before those that count.
    """

    rounds: int
    runs: int
    warm_up: int


@dataclass(frozen=True)
class Size:
    """Bytes as they are, and deflated as a zip file holds them."""

    bytes: int
    deflated_bytes: int


@dataclass(frozen=True)
class Sizes:
    """What a bundle weighs: each member, all as a folder, all in one zip file."""

    members: dict[str, Size]
    folder_bytes: int
    zip_bytes: int

    @classmethod
    def of(cls, members: tuple[MemberSize, ...]) -> "Sizes":
        """What `edgecap.sizes` measured."""
        by_name = {one.name: Size(one.bytes, one.deflated_bytes) for one in members}
        return cls(by_name, folder_bytes(members), zip_bytes(members))


@dataclass(frozen=True)
class Bulk:
    """`Captioner.caption_many`: captions a second, over the rounds."""

    photos: int
    median: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Memory:
    """Of a process that captions, in bytes, the median over the rounds; None if unknown."""

    resident_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of a graph, by the manifest, and how many it did in a second."""

    multiply_accumulates: int
    per_second: float


@dataclass(frozen=True)
class Quality:
    """Scores in percent, as `edgecap.metrics.Scores`, and those of one constant caption."""

    dataset: str
    split: str
    photos: int
    bundle: dict[str, float]
    constant_caption: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """A bundle that was measured, on one engine with one number of threads.

    Attributes:
        path: as it was given.
        name, commit: of the bundle, from its manifest: what it is called and what made it.
        setup, sizes: what ran, what it weighs.
        caption, steps: what it said in every run, in so many steps of the decoder.
        cold_start_ms: from the start of `edgecap caption PHOTO` to its caption.
        load_ms: from a path to a captioner, with all modules imported.
        stages_ms: of a caption, by `edgecap_bench.latency.STAGES`.
        totals_ms: every timed caption's, in the order they were made.
        bulk, memory, work, quality: as these say; work by "encoder" and "decoder_word". Quality
            is None where no corpus was given.
    """

    path: str
    name: str
    commit: str
    setup: Setup
    sizes: Sizes
    caption: str
    steps: int
    cold_start_ms: Distribution
    load_ms: Distribution
    stages_ms: dict[str, Distribution]
    totals_ms: tuple[float, ...]
    bulk: Bulk
    memory: Memory
    work: dict[str, Work]
    quality: Quality | None = None


@dataclass(frozen=True)
class Failed:
    """A bundle that could not be measured, and why; the error names the path too."""

    path: str
    error: str


@dataclass(frozen=True)
class Report:
    """Everything that one call of `edgecap bench` found."""

    format: str
    version: int
    conditions: Conditions
    installed: Installed
    photo: Photo
    plan: Plan
    bundles: tuple[Measured | Failed, ...]

    @property
    def measured(self) -> list[Measured]:
        """The bundles that did not fail."""
        return [one for one in self.bundles if isinstance(one, Measured)]

    @property
    def failed(self) -> list[Failed]:
        """Those that did."""
        return [one for one in self.bundles if isinstance(one, Failed)]

    def labels(self) -> list[str]:
        """What to call each of `measured`: no longer than tells them apart."""
        parts = [
            [one.name, one.path, one.setup.engine, f"threads: {one.setup.threads}"]
            for one in self.measured
        ]
        # Names come always, paths only where two bundles have the same name.
        paths = {(name, path) for name, path, *_ in parts}
        shown = [True, len(paths) > len({name for name, _ in paths})]
        shown += [len({part[place] for part in parts}) > 1 for place in (2, 3)]
        return [", ".join(itertools.compress(part, shown)) for part in parts]


def as_json(report: Report) -> str:
    """The report as indented JSON, in ASCII, so that any path survives."""
    return json.dumps(schema.to_value(report), indent=2)


def from_json(content: bytes, source: str) -> Report:
    """What `as_json` gave; `source` is what errors call it.

    Raises:
        UsageError: if it is something else, or of another version.
    """
    try:
        value = schema.parse(content)
        came = (value.get("format"), value.get("version")) if isinstance(value, dict) else ()
        if came != (FORMAT, VERSION):
            raise UsageError(
                f"{source}: expected {FORMAT} {VERSION}, found "
                f"{' '.join(map(str, came))[:80] or 'no object'}: measure with one version of "
                "edgecap"
            )
        return schema.from_value(Report, value)
    except schema.SchemaError as error:
        raise UsageError(f"{source}: not what edgecap bench --json writes ({error})") from error


def read_json(path: str) -> Report:
    """The report in a file; UsageError if it cannot be read or is something else."""
    try:
        with Path(path).open("rb") as file:
            return from_json(file.read(_MAXIMUM_BYTES), path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def write_text(option: str, path: str, content: str) -> None:
    """Writes a file beside `path`, then renames it: it is there whole or not at all.

    Raises:
        EdgecapError: if it cannot be written; what was at `path` is still there.
    """
    place = Path(path)
    try:
        if place.exists() and not place.is_file():
            place.write_text(content, encoding="utf-8")  # a pipe or a device stays where it is
        else:
            with whole_file(place.resolve()) as file:
                file.write(content.encode())
    except OSError as error:
        raise EdgecapError(
            f"{option} {path}: cannot be written ({error.strerror}): give a file in a folder that "
            "you may write to"
        ) from error
