"""Many photos: the rate on two cores, and what ten times as many take of memory and time."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

from lean_install import Broken

from edgecap_runtime import Captioner
from edgecap_runtime.startup import without_engine_notes
from targets.workbench import Result, Workbench

CORES = 2
LEAST_OF_TWICE_ONE_THREAD = 0.9
PARTS = 5
MOST_MORE_MEGABYTES = 2.0
# "Linear": a photo of ten times as many takes at most so much longer.
MOST_LONGER = 0.05
TIMES_AS_MANY = 10
_COMMAND = (
    "import os, sys, time; from edgecap.cli import main; begin = time.perf_counter(); "
    "sys.stdout = open(os.devnull, 'w'); status = main(); "
    "print(time.perf_counter() - begin, open('/proc/self/status').read(), file=sys.stderr); "
    "sys.stdout = sys.__stdout__; sys.stderr.flush(); sys.exit(status)"
)
_PROBE = (
    "import subprocess, sys; "
    "done = subprocess.run([sys.executable, '-c', sys.argv[1], *sys.argv[2:]], "
    "stderr=subprocess.PIPE, check=True, text=True); print(done.stderr)"
)


def rate(workbench: Workbench) -> Result:
    """`caption_many` on two cores against twice the rate of one thread's stages, in turns."""
    with without_engine_notes():
        one, many = (Captioner.load(workbench.bundle_path, threads=n) for n in (1, CORES))
    photos = [path.read_bytes() for path in workbench.photos(workbench.many)]
    for captioner in (one, many):
        list(captioner.caption_many(photos[:20]))
    alone_ms = together = 0.0
    for part in range(PARTS):
        chosen = photos[part::PARTS]
        alone_ms += sum(one.caption(photo).timings_ms["total"] for photo in chosen)
        begin = time.perf_counter()
        for result in many.caption_many(chosen):
            if result.error is not None:
                raise result.error
        together += time.perf_counter() - begin
    bulk, alone = len(photos) / together, 1_000 * len(photos) / alone_ms
    share = bulk / (CORES * alone)
    measured = (
        f"{100 * share:.0f} %: {bulk:.1f} captions a second, one thread {alone:.1f}; "
        f"{len(photos):,} photos in {PARTS} turns"
    )
    return Result(measured, share >= LEAST_OF_TWICE_ONE_THREAD)


def growth(workbench: Workbench) -> Result:
    """Resident memory and time a photo of the installed command, for ten times as many photos."""
    few, many = workbench.many, TIMES_AS_MANY * workbench.many
    (less, first), (more, last) = (_command(workbench, count) for count in (few, many))
    longer = (last / many) / (first / few) - 1
    measured = (
        f"{more - less:+.1f} MB: {less:.1f} MB after {few:,} photos, {more:.1f} MB after "
        f"{many:,}; {1_000 * first / few:.2f} and {1_000 * last / many:.2f} ms a photo"
    )
    return Result(measured, more - less <= MOST_MORE_MEGABYTES and longer <= MOST_LONGER)


def _command(workbench: Workbench, count: int) -> tuple[float, float]:
    """Resident megabytes at the end of `edgecap caption --from LIST`, and its seconds."""
    lean = workbench.lean
    photos = itertools.islice(itertools.cycle(workbench.photos(count)), count)
    listed = Path(lean.empty) / "many.txt"
    listed.write_text("".join(f"{path.resolve()}\n" for path in photos), encoding="utf-8")
    arguments = ("caption", "--from", listed, *workbench.bundle_option)
    said = lean.run("python", "-c", _PROBE, _COMMAND, *arguments)
    seconds, memory = re.search(r"([\d.]+) Name:", said), re.search(r"VmRSS:\s*(\d+) kB", said)
    if seconds is None or memory is None:
        raise Broken(f"the system tells no memory: {said[-300:]}")
    return 1_024 * int(memory[1]) / 1e6, float(seconds[1])
