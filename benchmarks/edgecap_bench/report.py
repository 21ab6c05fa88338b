"""The result of `edgecap bench`: as JSON for programs, as a table for people.

The JSON is `Report` as it stands here, field by field; `edgecap.schema.from_value` reads it back.
Sizes are bytes, times milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecap import schema
from edgecap.errors import EdgecapError
from edgecap.machine import UNKNOWN
from edgecap.sizes import MemberSize, folder_bytes, zip_bytes
from edgecap_bench.conditions import QUIET_LOAD, Machine, Setup
from edgecap_bench.latency import STAGES, Latency

FORMAT, VERSION = "edgecap-bench", 1


@dataclass(frozen=True)
class Photo:
    """What was captioned: the file at `path`, or (None) a picture drawn in memory."""

    path: str | None
    width: int
    height: int
    file_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str | None, size: tuple[int, int], content: bytes) -> Photo:
        """A file's content; `size` is its width and height in pixels."""
        return cls(path, *size, len(content), hashlib.sha256(content).hexdigest())


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
    def of(cls, members: tuple[MemberSize, ...]) -> Sizes:
        """What `edgecap.sizes` measured."""
        by_name = {one.name: Size(one.bytes, one.deflated_bytes) for one in members}
        return cls(by_name, folder_bytes(members), zip_bytes(members))


@dataclass(frozen=True)
class Measured:
    """A bundle that was measured."""

    path: str
    name: str
    setup: Setup
    sizes: Sizes
    latency: Latency


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
    machine: Machine
    photo: Photo
    bundles: tuple[Measured | Failed, ...]


def as_json(report: Report) -> str:
    """The report as indented JSON, in ASCII, so that any path survives."""
    return json.dumps(schema.to_value(report), indent=2)


def write_json(path: str, report: Report) -> None:
    """Writes the report beside `path`, then renames it: a file is there whole or not at all.

    Raises:
        EdgecapError: if it cannot be written; what was at `path` is still there.
    """
    content = as_json(report) + "\n"
    place = Path(path)
    try:
        if place.exists() and not place.is_file():
            place.write_text(content, encoding="ascii")  # a pipe or a device stays where it is
        else:
            _replace(place.resolve(), content)
    except OSError as error:
        raise EdgecapError(
            f"--json {path}: cannot be written ({error.strerror}): give a file in a folder that "
            "you may write to"
        ) from error


def _replace(place: Path, content: str) -> None:
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        unfinished.write_text(content, encoding="ascii")
        unfinished.replace(place)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def as_text(report: Report) -> Iterator[str]:
    """The report as lines of a table."""
    yield from _conditions(report)
    measured = [bundle for bundle in report.bundles if isinstance(bundle, Measured)]
    for bundle in measured:
        yield from ("", *_measured(bundle))
    if len(report.bundles) > 1 or not measured:
        yield from ("", *_comparison(report))


def _conditions(report: Report) -> Iterator[str]:
    machine, photo = report.machine, report.photo
    cores = UNKNOWN if machine.cores is None else machine.cores
    yield f"machine   {machine.cpu} ({machine.architecture}), {cores} cores; {machine.system}"
    yield (
        f"software  edgecap {machine.edgecap}, Python {machine.python}, numpy {machine.numpy}, "
        f"Pillow {machine.pillow}"
    )
    load = "unknown" if machine.load_average is None else f"{machine.load_average:.2f}"
    yield f"load      {load} tasks on average over the minute before"
    if machine.disturbed:
        yield (
            f"          that is above {QUIET_LOAD}: other work was running, so these times are "
            "longer than they need be"
        )
    source = "drawn in memory" if photo.path is None else photo.path
    yield f"photo     {photo.width} x {photo.height}, {photo.file_bytes:,} bytes, {source}"


def _measured(bundle: Measured) -> Iterator[str]:
    setup, sizes, latency = bundle.setup, bundle.sizes, bundle.latency
    yield f"{bundle.name}: {bundle.path}"
    yield f"SHA-256 {setup.bundle_sha256}"
    yield f"{setup.engine} {setup.engine_version}, threads: {setup.threads}"
    yield f"said {latency.caption!r}, the same in every run"
    yield ""
    yield _row("MB (10^6 bytes)", "as it is", "deflated")
    for name, size in sizes.members.items():
        yield _row(name, _megabytes(size.bytes), _megabytes(size.deflated_bytes))
    yield _row("folder, zip file", _megabytes(sizes.folder_bytes), _megabytes(sizes.zip_bytes))
    yield ""
    yield _row("ms", "median", "p90", "minimum")
    for stage, label in STAGES.items():
        times = latency.stages_ms[stage]
        yield _row(label, *(f"{time:,.3f}" for time in (times.median, times.p90, times.minimum)))
    yield (
        f"  {latency.runs} runs after {latency.warm_up} of warm-up; "
        f"{latency.steps} steps of the decoder in each"
    )


def _comparison(report: Report) -> Iterator[str]:
    """One row a bundle. They took turns, so their times can be compared."""
    yield _row("bundles, in turns", "folder, MB", "zip, MB", "median, ms")
    for bundle in report.bundles:
        if isinstance(bundle, Measured):
            yield _row(
                bundle.name,
                _megabytes(bundle.sizes.folder_bytes),
                _megabytes(bundle.sizes.zip_bytes),
                f"{bundle.latency.stages_ms['total'].median:,.3f}",
            )
        else:
            yield f"  not measured: {bundle.error}"


def _row(name: str, *cells: str) -> str:
    return f"  {name:18}" + "".join(f"{cell:>12}" for cell in cells)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.3f}"
