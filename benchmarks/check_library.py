"""Measure `edgecap caption FOLDER --output FILE`: its rate, killed, and when nothing is left to do.

    python benchmarks/check_library.py [--data DIR] [--photos N] [--entries N] [--write]

DIR holds photos, by default those of Flickr8k, which EDGECAP_FLICKR8K names; they are repeated
under other names until there are N. Exit status 1 if a number is missed. Run it on a machine that
does nothing else; on Linux, as it reads /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = [str(HERE.parent / part) for part in (".", "runtime", "benchmarks")]
sys.path[:0] = SOURCES

from edgecap.bundle import bundle_sha256  # noqa: E402
from edgecap.commands.library import Request, caption_library  # noqa: E402
from edgecap_bench.conditions import QUIET_LOAD, Machine, machine  # noqa: E402
from edgecap_runtime import Captioner, default_bundle  # noqa: E402
from edgecap_runtime.found import Found, find  # noqa: E402
from edgecap_runtime.interpreter import find_engine  # noqa: E402
from edgecap_runtime.journal import Journal  # noqa: E402
from edgecap_runtime.records import Record  # noqa: E402
from edgecap_runtime.sources import File, walk  # noqa: E402

CORPUS = "EDGECAP_FLICKR8K"
RESULTS = HERE / "results" / "library.md"
A_FOLDER = 1_000
KILLS, RESTARTS = 5, 5
LEAST_RATE, MOST_GROWTH, MOST_SECONDS = 0.95, 0.05, 3.0
# Memory is compared from when this part is done: before, buffers still find their size.
WARM = 0.2


@dataclass(frozen=True)
class Row:
    """One number: what was measured, what came out, what it should be."""

    what: str
    measured: str
    goal: str
    reached: bool


def main() -> int:
    arguments = parse()
    before = machine()
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgecap-library-") as name:
        scratch = Path(name)
        folder = repeated(arguments.data, arguments.photos, scratch / "photos")
        measured = itertools.chain(
            rate(folder, arguments.bundle, scratch),
            killed(folder, arguments.bundle, scratch, arguments.photos),
            finished(arguments.bundle, scratch, arguments.entries),
        )
        for row in measured:
            print(f"{row.what}: {row.measured}", file=sys.stderr, flush=True)
            rows.append(row)
    lines = list(as_markdown(before, arguments.bundle, rows))
    print("\n".join(lines))
    if arguments.write:
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(row.reached for row in rows) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get(CORPUS)
    parser.add_argument("--data", metavar="DIR", default=data, required=data is None)
    parser.add_argument("--photos", metavar="N", type=int, default=10_000)
    parser.add_argument("--entries", metavar="N", type=int, default=100_000)
    parser.add_argument("--bundle", metavar="PATH", default=str(default_bundle()))
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    return parser.parse_args()


def repeated(data: str, count: int, folder: Path) -> Path:
    """`count` photos under other names, a thousand a folder."""
    photos = [photo.name for photo in walk(data) if isinstance(photo, File)]
    for index in range(count):
        source = photos[index % len(photos)]
        place = folder / f"{index // A_FOLDER:03}" / f"{index:06}{Path(source).suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, place)
        except OSError:  # another file system
            shutil.copy(source, place)
    return folder


def rate(folder: Path, bundle: str, scratch: Path) -> Iterator[Row]:
    """Photos a second of a whole run against `Captioner.caption_many` alone, in turns.

    Loading the model is in neither. What bulk captioning reaches at best is `caption_many`'s rate;
    the rest is finding the photos, writing them down and saying how far it is.
    """
    captioner = Captioner.load(bundle)
    rates: dict[str, list[float]] = {"run": [], "bulk": []}
    for number, part in enumerate(sorted(folder.iterdir())):
        photos = [photo for photo in walk(str(part)) if isinstance(photo, File)]
        output = str(scratch / f"rate-{number}.jsonl")
        request = Request(
            output, bundle, [str(part)], None, lambda: captioner, {}, cluster=None, force=False,
            retry=False, sidecar=None, overwrite=False, watch=False, poll=None,
        )  # fmt: skip
        for name in sorted(rates, reverse=bool(number % 2)):
            begin = time.perf_counter()
            if name == "run":
                caption_library(request)
            else:
                list(captioner.caption_many(photos))
            rates[name].append(len(photos) / (time.perf_counter() - begin))
    run, bulk = (statistics.median(rates[name]) for name in ("run", "bulk"))
    yield Row(
        "photos a second, against `caption_many` alone",
        f"{run:.1f} against {bulk:.1f}: {100 * run / bulk:.1f} %; medians of "
        f"{len(rates['run'])} turns, threads: {captioner.threads}",
        f"at least {100 * LEAST_RATE:g} %",
        run >= LEAST_RATE * bulk,
    )


class Command:
    """`edgecap caption FOLDER --output FILE` in a process of its own."""

    def __init__(self, folder: Path, output: Path, bundle: str) -> None:
        options = ("--output", output, "--bundle", bundle)
        self.output = output
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgecap", "caption", folder, *options],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> int:
        """How many it has written; cheap to ask for again and again."""
        with contextlib.suppress(FileNotFoundError), self.output.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        return 0

    def resident_megabytes(self) -> float:
        """What it holds in memory now; 0 if it has ended."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1_000 * 1.024
        return 0.0

    def end(self) -> str:
        """Waits for it; gives what it said."""
        said: str = self.process.communicate()[1]
        if self.process.returncode != 0:
            raise SystemExit(f"expected status 0, not {self.process.returncode}: {said}")
        return said


def killed(folder: Path, bundle: str, scratch: Path, photos: int) -> Iterator[Row]:
    """A run that is killed again and again against one that nobody disturbs, and its memory."""
    undisturbed = Command(folder, scratch / "undisturbed.jsonl", bundle)
    memory = []
    while undisturbed.process.poll() is None:
        now = undisturbed.resident_megabytes()
        if now and undisturbed.lines() >= WARM * photos:
            memory.append(now)
        time.sleep(0.5)
    undisturbed.end()

    output = scratch / "killed.jsonl"
    for moment in sorted(random.Random(0).sample(range(1, photos), KILLS)):
        command = Command(folder, output, bundle)
        while command.lines() < moment:
            if command.process.poll() is not None:
                raise SystemExit(f"ended before it was killed: {command.end()}")
            time.sleep(0.01)
        command.process.kill()
        command.process.communicate()
    Command(folder, output, bundle).end()

    expected, found = records(undisturbed.output), records(output)
    paths = [record["path"] for record in found]
    once = len(set(paths)) == len(paths) == photos
    yield Row(
        f"{photos:,} photos, killed (SIGKILL) {KILLS} times and started again",
        f"{len(paths):,} lines of {len(set(paths)):,} photos, "
        f"{'the same' if found == expected else 'not the same'} as undisturbed",
        "every photo once, the same",
        once and found == expected,
    )
    growth = max(memory) / memory[0] - 1
    yield Row(
        f"resident memory from {100 * WARM:g} % of the photos on",
        f"{memory[0]:.1f} MB, at most {max(memory):.1f} MB: {100 * growth:+.1f} %",
        f"at most {100 * MOST_GROWTH:+g} %",
        growth <= MOST_GROWTH,
    )


def records(output: Path) -> list[dict[str, Any]]:
    """What an output says, without the times that it took."""
    lines = (json.loads(line) for line in output.read_text().splitlines())
    return [{**line, "timings_ms": None} for line in lines]


def finished(bundle: str, scratch: Path, entries: int) -> Iterator[Row]:
    """A restart when all is done: the files are empty, as nobody reads them."""
    folder = scratch / "finished"
    for index in range(entries):
        place = folder / f"{index // A_FOLDER:04}" / f"IMG_{index:06}.jpg"
        if index % A_FOLDER == 0:
            place.parent.mkdir(parents=True)
        place.touch()
    sha256 = bundle_sha256(bundle)
    timings = {"decode": 1.912, "resize": 0.912, "encoder": 4.412, "decoder": 0.812, "total": 8.048}
    for ending in ("jsonl", "csv"):
        output = scratch / f"finished.{ending}"
        with Journal(str(output), sha256) as journal:
            for photo in map(find, walk(str(folder))):
                assert isinstance(photo, Found)
                said = ("a brown dog is swimming in the water", -7.312345678901234, timings, None)
                journal.append(Record(photo.name, *said, *photo[1:], sha256))
        times = []
        for _ in range(RESTARTS):
            begin = time.perf_counter()
            said_last = Command(folder, output, bundle).end()
            times.append(time.perf_counter() - begin)
            if f"0 captioned, {entries:,} done before" not in said_last:
                raise SystemExit(f"expected nothing to do: {said_last}")
        seconds = statistics.median(times)
        yield Row(
            f"restart of a finished library of {entries:,} photos, .{ending}",
            f"{seconds:.2f} s; median of {RESTARTS}",
            f"under {MOST_SECONDS:g} s",
            seconds < MOST_SECONDS,
        )


def as_markdown(before: Machine, bundle: str, rows: list[Row]) -> Iterator[str]:
    engine = find_engine()
    yield "# A library of photos on one machine"
    yield ""
    yield f"Bundle `{Path(bundle).name}`, measured by `benchmarks/check_library.py`."
    yield f"{before.cpu} ({before.architecture}), {before.cores} cores; {before.system};"
    yield f"load average before the start: {before.load_average};"
    yield f"Python {before.python}, edgecap {before.edgecap}, numpy {before.numpy},"
    yield f"Pillow {before.pillow}, {engine.distribution} {engine.version}."
    if before.disturbed:
        yield ""
        yield f"**Other load was found** (above {QUIET_LOAD:g}): measure again on a quiet machine."
    yield ""
    yield "| what | measured | target | reached |"
    yield "| --- | --- | --- | --- |"
    for row in rows:
        reached = "yes" if row.reached else "**no**"
        yield f"| {row.what} | {row.measured} | {row.goal} | {reached} |"


if __name__ == "__main__":
    sys.exit(main())
