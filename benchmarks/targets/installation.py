"""What an installation without extras weighs and holds, and how soon it has said something."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from lean_install import MAXIMUM_DISTRIBUTIONS, Environment

from edgecap.errors import EngineError
from edgecap.sizes import folder_bytes, member_sizes, zip_bytes
from targets.workbench import Result, Workbench

MOST_MEGABYTES = 9.0
WORKSTATION_ONLY = ("tensorflow", "keras", "tf_keras")
MOST_TIMES_THE_IMPORTS = 1.6
PAIRS, WARM_UP = 21, 2
IMPORTS = "import numpy, PIL.Image; from ai_edge_litert.interpreter import Interpreter"


def size(workbench: Workbench) -> Result:
    """All files of the bundle, in MB of 10^6 bytes."""
    members = member_sizes(workbench.bundle_path)
    whole, packed = folder_bytes(members) / 1e6, zip_bytes(members) / 1e6
    return Result(f"{whole:.3f} MB ({packed:.3f} MB in one zip file)", whole <= MOST_MEGABYTES)


def distributions(workbench: Workbench) -> Result:
    """What pip installs besides edgecap; pip and setuptools, which venv brings, aside."""
    census = workbench.lean.census()
    names = [name for name in census["distributions"] if name != "edgecap"]
    found = [name for name in WORKSTATION_ONLY if name in census["importable"]]
    measured = f"{len(names)}: {', '.join(names)}; importable: {', '.join(found) or 'neither'}"
    return Result(measured, len(names) <= MAXIMUM_DISTRIBUTIONS and not found)


def cold_start(workbench: Workbench) -> Result:
    """A caption from the command line against the imports it cannot do without.

    Both in processes of their own, in turns.

    Raises:
        EngineError: if two captions of the same photo differ.
    """
    lean, photo = workbench.lean, workbench.photo
    command = ("edgecap", "caption", photo, *workbench.bundle_option)
    captions, times, bare_times = set(), [], []
    for _ in range(WARM_UP + PAIRS):
        caption, seconds = _timed(lean, *command)
        _, bare_seconds = _timed(lean, "python", "-c", IMPORTS)
        captions.add(caption)
        times.append(seconds)
        bare_times.append(bare_seconds)
    if len(captions) != 1:
        raise EngineError(f"the same photo had {len(captions)} captions: {captions}")
    caption_ms, bare_ms = (1_000 * statistics.median(t[WARM_UP:]) for t in (times, bare_times))
    ratio = caption_ms / bare_ms
    measured = f"{ratio:.2f} times: {caption_ms:.0f} ms, the imports {bare_ms:.0f} ms"
    return Result(f"{measured}; medians of {PAIRS} pairs", ratio <= MOST_TIMES_THE_IMPORTS)


def _timed(environment: Environment, *command: str | Path) -> tuple[str, float]:
    begin = time.perf_counter()
    said = environment.run(*command)
    return said, time.perf_counter() - begin
