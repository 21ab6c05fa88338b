"""Measure `edgecap caption FOLDER --output NAME --cluster ADDRESS` on nodes of Ray on loopback.

    python benchmarks/check_cluster.py [--data DIR] [--photos N] [--write]

DIR holds photos, by default those of Flickr8k, which EDGECAP_FLICKR8K names; they are repeated
under other names until there are N. Exit status 1 if a number is missed. Run it on a machine that
does nothing else, with the extra `cluster`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from check_library import CORPUS, SOURCES, Row, repeated
from edgecap.commands.library import Request, caption_library
from edgecap_bench.conditions import QUIET_LOAD, Machine, machine
from edgecap_runtime import Captioner, default_bundle
from edgecap_runtime.captioner import available_threads
from edgecap_runtime.cluster import ClusterCaptioner
from edgecap_runtime.interpreter import find_engine
from edgecap_runtime.options import DEFAULT_THREADS
from edgecap_runtime.shards import FORMATS

if TYPE_CHECKING:
    from edgecap_runtime.records import Record

RESULTS = Path(__file__).resolve().parent / "results" / "cluster.md"
ROUNDS = 3
MOST_OVERHEAD = 0.15
WORKERS = 4
# Bytes; names and captions are small.
OBJECT_STORE = 200_000_000
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": os.pathsep.join(SOURCES),
}


@dataclass
class Run:
    """One run over all photos.

    Attributes:
        seconds: of all.
        first: seconds until the first result.
        driver: seconds of processor time of this process.
    """

    seconds: float
    first: float
    driver: float


class Observed:
    """A captioner whose results are counted.

    Args:
        captioner: a `Captioner` or a `ClusterCaptioner`.
        see: called with the number of each result, from 0.
    """

    def __init__(self, captioner: Any, see: Callable[[int], None]) -> None:
        self.bundle, self._captioner, self._see = captioner.bundle, captioner, see

    def caption_many(self, photos: Any, **search: Any) -> Iterator[Any]:
        for number, result in enumerate(self._captioner.caption_many(photos, **search)):
            self._see(number)
            yield result


def main() -> int:
    arguments = parse()
    before = machine()
    os.environ.update(SETTINGS)
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgecap-cluster-") as name:
        scratch = Path(name)
        folder = repeated(arguments.data, arguments.photos, scratch / "photos")
        for row in measured(folder, arguments.bundle, scratch, arguments.photos):
            print(f"{row.what}: {row.measured}", file=sys.stderr, flush=True)
            rows.append(row)
    lines = list(as_markdown(before, arguments.bundle, rows))
    print("\n".join(lines))
    if arguments.write:
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(row.reached for row in rows) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = os.environ.get(CORPUS)
    parser.add_argument("--data", metavar="DIR", default=data, required=data is None)
    parser.add_argument("--photos", metavar="N", type=int, default=10_000)
    parser.add_argument("--bundle", metavar="PATH", default=str(default_bundle()))
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    return parser.parse_args()


def measured(folder: Path, bundle: str, scratch: Path, photos: int) -> Iterator[Row]:
    """All rows, over runs of one machine and of clusters with as many cores."""
    cores = available_threads()
    threads = min(cores, DEFAULT_THREADS)
    alone, clustered = [], []
    with nodes(1, cores) as cluster:
        for number in range(ROUNDS):
            alone.append(run(folder, bundle, scratch / f"alone-{number}.jsonl", threads))
            output = scratch / f"cluster-{number}.jsonl"
            clustered.append(run(folder, bundle, output, threads, cluster))
    expected = records(scratch / "alone-0.jsonl")
    yield same("one node", expected, records(scratch / "cluster-0.jsonl"), photos)
    yield overhead(alone, clustered, photos, threads, cores)
    yield projection(clustered, photos)

    half = max(1, cores // 2)
    with nodes(2, half) as cluster:
        lost = cluster.list_all_nodes()[-1]

        def kill(number: int) -> None:
            if number == photos // 2:
                cluster.remove_node(lost, allow_graceful=False)

        run(folder, bundle, scratch / "killed.jsonl", min(half, threads), cluster, kill)
    found = records(scratch / "killed.jsonl")
    yield same(f"two nodes, one killed after {photos // 2:,} photos", expected, found, photos)


@contextlib.contextmanager
def nodes(count: int, cores: int) -> Iterator[Any]:
    """A Ray cluster of nodes with so many cores each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for index in range(count):
            options = {"include_dashboard": False} if index == 0 else {}
            cluster.add_node(num_cpus=cores, object_store_memory=OBJECT_STORE, **options)
        yield cluster
    finally:
        cluster.shutdown()


def run(
    folder: Path,
    bundle: str,
    output: Path,
    threads: int,
    cluster: Any = None,
    see: Callable[[int], None] = lambda _: None,
) -> Run:
    """A whole run in this process: loading, joining the cluster, and closing the output."""
    address = None if cluster is None else cluster.address
    moments: list[float] = []

    def note(number: int) -> None:
        if number == 0:
            moments.append(time.perf_counter())
        see(number)

    def load() -> Any:
        if address is None:
            return Observed(Captioner.load(bundle, threads=threads), note)
        return Observed(ClusterCaptioner(address, bundle, threads=threads), note)

    request = Request(
        str(output), bundle, [str(folder)], None, load, {}, cluster=address, force=False,
        retry=False, sidecar=None, overwrite=False, watch=False, poll=None,
    )  # fmt: skip
    begin, processor = time.perf_counter(), time.process_time()
    status = caption_library(request)
    end = time.perf_counter()
    if status != 0:
        raise SystemExit(f"expected status 0, not {status}")
    return Run(end - begin, moments[0] - begin, time.process_time() - processor)


def same(what: str, expected: list[Record], found: list[Record], photos: int) -> Row:
    """Every photo once, and the same said of each."""
    paths = {record.path for record in found}
    alike = "the same" if found == expected else "not the same"
    return Row(
        f"{photos:,} photos, {what}",
        f"{len(found):,} records of {len(paths):,} photos, {alike} as on one machine",
        "every photo once, the same words",
        len(found) == len(paths) == photos and found == expected,
    )


def records(output: Path) -> list[Record]:
    """All of an output in the order of the paths, without the times that it took."""
    decode = FORMATS[output.suffix].decode
    files = output.glob("part-*") if output.is_dir() else [output]
    found = (record for file in files for record in decode(file.read_bytes()))
    return sorted((one._replace(timings_ms=None) for one in found), key=lambda one: one.path)


def overhead(alone: list[Run], clustered: list[Run], photos: int, threads: int, cores: int) -> Row:
    """Whole runs, in turns."""
    one, ray = (statistics.median(run.seconds for run in runs) for runs in (alone, clustered))
    share = ray / one - 1
    return Row(
        f"{photos:,} photos on a Ray cluster of one node, against one machine, same cores",
        f"{ray:.1f} s against {one:.1f} s, {100 * share:+.1f} %; whole runs, the cluster was "
        f"running; medians of {len(alone)} turns, cores: {cores}, threads a captioner: {threads}",
        f"at most {100 * MOST_OVERHEAD:+g} %",
        share <= MOST_OVERHEAD,
    )


def projection(clustered: list[Run], photos: int) -> Row:
    """Calculated, not measured: several machines like this one beside one that drives them.

    A run takes as long as to start it, and then as its slower half: captioning, which machines
    share, or the processor time of the driver, which they do not.
    """
    first = statistics.median(run.first for run in clustered)
    worker = statistics.median(run.seconds - run.first for run in clustered) / photos
    driver = statistics.median(run.driver for run in clustered) / photos
    one, many = (max(worker / count, driver) for count in (1, WORKERS))
    growth = (first + photos * one) / (first + photos * many)
    return Row(
        f"growth to {WORKERS} such machines, projected and not measured",
        f"{growth:.2f} times as fast over {photos:,} photos, {one / many:.2f} times over many "
        f"more; from {first:.1f} s to the first result, {1e3 * worker:.2f} ms a photo of a machine "
        f"and {1e3 * driver:.2f} ms a photo of the driver's processor time",
        "said as projected",
        True,
    )


def as_markdown(before: Machine, bundle: str, rows: list[Row]) -> Iterator[str]:
    engine = find_engine()
    yield "# A library of photos on a Ray cluster"
    yield ""
    yield f"Bundle `{Path(bundle).name}`, measured by `benchmarks/check_cluster.py`;"
    yield "all nodes are on one machine, over loopback."
    yield f"{before.cpu} ({before.architecture}), {before.cores} cores; {before.system};"
    yield f"load average before the start: {before.load_average};"
    yield f"Python {before.python}, edgecap {before.edgecap}, numpy {before.numpy},"
    yield f"Pillow {before.pillow}, {engine.distribution} {engine.version}, ray {version('ray')}."
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
