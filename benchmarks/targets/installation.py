"""What an installation without extras weighs and holds, and how soon it has said something."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

from lean_install import MAXIMUM_DISTRIBUTIONS, Broken, Environment

from edgecap.errors import EngineError
from edgecap.sizes import folder_bytes, member_sizes, zip_bytes
from edgecap_runtime.captioner import available_threads
from edgecap_runtime.options import DEFAULT_THREADS
from targets.workbench import Result, Workbench

MOST_MEGABYTES = 9.0
WORKSTATION_ONLY = ("tensorflow", "keras", "tf_keras")
MOST_TIMES_THE_IMPORTS, MOST_TIMES_A_SCRIPT = 1.5, 1.15
MOST_TIMES_THE_MEMORY = 1.8
PAIRS, WARM_UP = 21, 2
IMPORTS = "import numpy, PIL.Image; from ai_edge_litert.interpreter import Interpreter"
BARE = Path(__file__).with_name("bare.py")
# Runs a command of edgecap, or nothing, and ends with what it held of memory at most.
_COMMAND = "import sys; from edgecap.cli import main; status = main()"
_PEAK = 'print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))'


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


def against_the_imports(workbench: Workbench) -> Result:
    """A caption from the command line against the imports it cannot do without."""
    caption_ms, bare_ms = _in_turns(workbench, ("python", "-c", IMPORTS))
    return _times(caption_ms, bare_ms, "the imports", MOST_TIMES_THE_IMPORTS)


def against_a_script(workbench: Workbench) -> Result:
    """A caption from the command line against a script without checks; EngineError as below."""
    bundle, photo, threads = _request(workbench)
    caption_ms, bare_ms = _in_turns(workbench, ("python", BARE, bundle, photo, threads), same=True)
    return _times(caption_ms, bare_ms, "the script", MOST_TIMES_A_SCRIPT)


def peak_memory(workbench: Workbench) -> Result:
    """Of a caption from the command line, against that of the imports."""
    lean, (bundle, photo, threads) = workbench.lean, _request(workbench)
    options = ("caption", photo, "--bundle", bundle, "--threads", threads)
    said = lean.run("python", "-c", f"{_COMMAND}; {_PEAK}", *options)
    ours, bare = map(_megabytes, (said, lean.run("python", "-c", f"{IMPORTS}; {_PEAK}")))
    ratio = ours / bare
    measured = f"{ratio:.2f} times: {ours:.1f} MB, the imports {bare:.1f} MB"
    return Result(measured, ratio <= MOST_TIMES_THE_MEMORY)


def _request(workbench: Workbench) -> tuple[str, str, str]:
    threads = min(available_threads(), DEFAULT_THREADS)
    return str(workbench.bundle_path), str(workbench.photo), str(threads)


def _megabytes(said: str) -> float:
    found = re.search(r"VmHWM:\s*(\d+) kB", said)
    if found is None:
        raise Broken(f"the system tells no peak memory: {said}")
    return 1_024 * int(found[1]) / 1e6


def _in_turns(
    workbench: Workbench, other: tuple[str | Path, ...], same: bool = False
) -> tuple[float, float]:
    """Medians in milliseconds of `edgecap caption` and of another command, in turns.

    Raises:
        EngineError: if two captions of the same photo differ; `same` says that the other command
            gives one too.
    """
    lean = workbench.lean
    command = ("edgecap", "caption", workbench.photo, *workbench.bundle_option)
    captions, times, other_times = set(), [], []
    for _ in range(WARM_UP + PAIRS):
        for one, spent in ((command, times), (other, other_times)):
            said, seconds = _timed(lean, *one)
            spent.append(seconds)
            if one is command or same:
                captions.add(said)
    if len(captions) != 1:
        raise EngineError(f"the same photo had {len(captions)} captions: {captions}")
    caption_ms, other_ms = (1_000 * statistics.median(t[WARM_UP:]) for t in (times, other_times))
    return caption_ms, other_ms


def _times(caption_ms: float, bare_ms: float, what: str, most: float) -> Result:
    ratio = caption_ms / bare_ms
    measured = f"{ratio:.2f} times: {caption_ms:.0f} ms, {what} {bare_ms:.0f} ms"
    return Result(f"{measured}; medians of {PAIRS} pairs", ratio <= most)


def _timed(environment: Environment, *command: str | Path) -> tuple[str, float]:
    begin = time.perf_counter()
    said = environment.run(*command)
    return said, time.perf_counter() - begin
