"""`edgecap doctor`.

Nothing that could take this process down is imported here: numpy, Pillow and the engine hold
machine code, and so have processes of their own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

import edgecap
from edgecap.cli import print_line
from edgecap.commands.engine import backend_option
from edgecap.errors import EngineError
from edgecap_runtime.engines import COMMANDS, DISTRIBUTIONS, Platform

# Name of the distribution -> the module that holds its machine code.
BASE = {"click": "click", "numpy": "numpy", "pillow": "PIL.Image"}
# The slowest machine is an emulated one.
LONGEST_SECONDS = 300.0

# By `platform.machine()`, in Linux's words: what the packages were compiled for, and what makes
# int8 arithmetic fast where it is there; of names divided by a bar one is enough.
NEEDED = {"x86_64": ("sse4_2",), "aarch64": ("asimd",), "armv7l": ("neon",)}
FASTER = {"x86_64": ("avx2", "avx512_vnni|avx_vnni"), "aarch64": ("asimddp",)}

# Windows has no signals; a crashed process leaves a status of its own.
_WINDOWS_CRASHES = {0xC000001D: "SIGILL", 0xC0000005: "SIGSEGV"}
_CRASHES = {
    "SIGILL": "it was compiled for newer processors than this one: "
    f"try the other engine ({COMMANDS['tflite-runtime']}), or another machine",
    "SIGKILL": "Linux does that where memory runs out: end other programs, or add swap",
}
_OTHER_CRASH = "install the packages again:  pip install --force-reinstall edgecap"


class _Ended(NamedTuple):
    """How a child process ended: the name of the signal that ended it, or what it complained of."""

    signal: str | None
    complaint: str | None


@click.command()
@backend_option
def command(backend: str) -> None:
    """Show what this machine has, and whether edgecap runs on it.

    The packaged bundle is run once, in a process of its own: even if that crashes, a line says
    why and what to do. The exit status is 1 if it does not run.

    \b
    Example:  edgecap doctor
    """
    for name, value in _facts():
        print_line(f"{name:12}  {value}")
    ended = _run("-m", "edgecap", "inspect", "--backend", backend)
    if ended.signal is not None:
        advice = _CRASHES.get(ended.signal, _OTHER_CRASH)
        culprit = _culprit(backend)
        raise EngineError(
            f"the packaged bundle does not run: {culprit} ended by {ended.signal}: {advice}"
        )
    if ended.complaint is not None:
        raise EngineError(f"the packaged bundle does not run: {ended.complaint}")
    print_line(f"{'bundle':12}  the packaged one runs")


def _facts() -> Iterator[tuple[str, str]]:
    import platform

    from edgecap import machine
    from edgecap_runtime.captioner import available_threads

    memory = machine.memory()
    libc = " ".join(platform.libc_ver())
    yield "edgecap", f"{edgecap.__version__}, {Path(edgecap.__file__).parent}"
    yield "Python", f"{platform.python_version()}, {Platform.this().bits}-bit, {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()} {libc}".strip()
    yield "processor", f"{machine.processor()} ({platform.machine()}), {available_threads()} cores"
    yield "instructions", _instructions(platform.machine(), machine.instructions())
    yield (
        "memory",
        f"{memory.total / 1e6:,.0f} MB, {memory.available / 1e6:,.0f} of them available"
        if memory
        else machine.UNKNOWN,
    )
    for distribution in BASE:
        yield distribution, _version(distribution) or f"missing: run  pip install {distribution}"
    versions = {name: _version(name) for name, _ in DISTRIBUTIONS.values()}
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield "engine", installed or f"missing: {Platform.this().advice()}"


def _instructions(machine: str, found: frozenset[str]) -> str:
    if not found:
        return "unknown"
    missing = [
        f"{names.replace('|', ' or ')} ({why})"
        for table, why in ((NEEDED, "needed"), (FASTER, "int8 would be faster with it"))
        for names in table.get(machine, ())
        if found.isdisjoint(names.split("|"))
    ]
    return f"missing {', '.join(missing)}" if missing else "all that are of use"


def _version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _culprit(backend: str) -> str:
    """Which package crashes when it is only imported, or else the engine at work."""
    engines = [
        f"{package}.interpreter"
        for name, (_, package) in DISTRIBUTIONS.items()
        if backend in ("auto", name)
    ]
    for module in (*BASE.values(), *engines):
        if _run("-c", f"import {module}").signal is not None:
            return f"import {module}"
    return "running a graph"


def _run(*arguments: str) -> _Ended:
    """Runs Python with arguments, to its end."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            # Not where the user is: a folder may hold a module of the same name.
            cwd=Path(edgecap.__file__).parent.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Ended(None, f"it has not finished after {LONGEST_SECONDS:.0f} seconds")
    if done.returncode < 0:
        return _Ended(signal.Signals(-done.returncode).name, None)
    if done.returncode in _WINDOWS_CRASHES:
        return _Ended(_WINDOWS_CRASHES[done.returncode], None)
    if done.returncode == 0:
        return _Ended(None, None)
    lines = done.stderr.strip().splitlines()
    return _Ended(None, lines[-1].removeprefix("edgecap: ") if lines else "it says nothing")
