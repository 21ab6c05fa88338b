"""What a time was measured on: without it a time means nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL

import edgecap
from edgecap.machine import UNKNOWN, instructions, processor
from edgecap_bench.heat import Heat, governor, heat, throttling
from edgecap_bench.load import OtherLoad

if TYPE_CHECKING:
    from edgecap_runtime import Captioner

# With more than one task running, some of them wait on the smallest machines.
QUIET_LOAD = 1.0
# Cores: what a quiet system does by itself is a few hundredths.
QUIET_OTHERS = 0.2

_X86 = ("x86_64", "amd64", "i386", "i686")
# What the kernels of the engines make use of: vectors, and products of bytes.
_FEATURES = re.compile(
    r"sse4_1|sse4_2|avx|avx2|fma|f16c|avx_vnni|avx512\w+|amx_\w+"
    r"|neon|vfpv4|asimd|asimdhp|asimddp|i8mm|bf16|sve\w*"
)


@dataclass(frozen=True)
class Machine:
    """The machine before a measurement.

    Attributes:
        cpu: the model of the processor or of the board.
        architecture: "x86", or what the system calls it, such as "aarch64".
        cores: how many there are; None if unknown.
        system: the operating system and its version.
        python, edgecap, numpy, pillow: their versions.
        load_average: tasks that ran or waited, averaged over the last minute; None if unknown.
    """

    cpu: str
    architecture: str
    cores: int | None
    system: str
    python: str
    edgecap: str
    numpy: str
    pillow: str
    load_average: float | None

    @property
    def disturbed(self) -> bool:
        """Whether other work was running that makes times longer."""
        return self.load_average is not None and self.load_average > QUIET_LOAD


@dataclass(frozen=True)
class Setup:
    """What ran on the machine: a bundle (by the SHA-256 its manifest gives), engine, threads."""

    bundle_sha256: str
    engine: str
    engine_version: str
    threads: int


@dataclass(frozen=True)
class Conditions:
    """Everything around a measurement that its times depend on.

    Attributes:
        machine: before the measurement.
        distribution: of the operating system, such as "Debian GNU/Linux 12 (bookworm)".
        features: of the processor, those that the engines' kernels use; None if unknown.
        governor: what chooses the cores' frequency; None if unknown.
        commit: of edgecap's source tree, "unknown" outside one.
        before, after: heat and throttling.
        load_average_after: over the last minute, the measurement's own work included.
        other_cores: cores that other processes kept busy meanwhile, on average; None if unknown.
        warnings: why these times are longer than they need be; empty if nothing is known.
    """

    machine: Machine
    distribution: str
    features: tuple[str, ...] | None
    governor: str | None
    commit: str
    before: Heat
    after: Heat
    load_average_after: float | None
    other_cores: float | None
    warnings: tuple[str, ...]


class Watch:
    """Starts watching the machine when it is made."""

    def __init__(self) -> None:
        self._machine = machine()
        self._heat = heat()
        self._others = OtherLoad()

    def conditions(self) -> Conditions:
        """From then until now; what cannot be read is `UNKNOWN` or None, never an error."""
        others, after = self._others.cores(), heat()
        return Conditions(
            machine=self._machine,
            distribution=_distribution(),
            features=_features(),
            governor=governor(),
            commit=source_commit(),
            before=self._heat,
            after=after,
            load_average_after=_load_average(),
            other_cores=others,
            warnings=(*_disturbances(self._machine, others), *throttling(self._heat, after)),
        )


def _disturbances(before: Machine, other_cores: float | None) -> list[str]:
    # The load average remembers what we did a minute ago ourselves: it is the poorer witness.
    if other_cores is None:
        return ["other work was running before"] if before.disturbed else []
    return [f"other work took {other_cores:.2f} cores"] if other_cores > QUIET_OTHERS else []


def machine() -> Machine:
    """This machine now; what cannot be read is `UNKNOWN` or None, never an error."""
    family = platform.machine()
    return Machine(
        cpu=processor(),
        architecture="x86" if family.lower() in _X86 else family or UNKNOWN,
        cores=os.cpu_count(),
        system=f"{platform.system()} {platform.release()}".strip() or UNKNOWN,
        python=platform.python_version(),
        edgecap=edgecap.__version__,
        numpy=np.__version__,
        pillow=PIL.__version__,
        load_average=_load_average(),
    )


def setup(captioner: Captioner) -> Setup:
    """What a loaded captioner runs."""
    engine = captioner.engine
    sha256 = captioner.bundle.manifest.sha256
    return Setup(sha256, engine.distribution, engine.version, captioner.threads)


def source_commit() -> str:
    """The commit of the tree that edgecap is in, with "-dirty" behind it if it was changed."""
    here = Path(edgecap.__file__)

    def git(*arguments: str) -> str | None:
        done = subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    # An environment may lie in somebody's repository, of which edgecap is no part.
    if shutil.which("git") and git("ls-files", "--error-unmatch", here.name):
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or UNKNOWN
    return UNKNOWN


def _distribution() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return platform.platform(terse=True) or UNKNOWN


def _features() -> tuple[str, ...] | None:
    return tuple(sorted(filter(_FEATURES.fullmatch, instructions()))) or None


def _load_average() -> float | None:
    averages = getattr(os, "getloadavg", None)  # Windows has none
    if averages is None:
        return None
    try:
        last_minute: float = averages()[0]
    except OSError:
        return None
    return round(last_minute, 2)
