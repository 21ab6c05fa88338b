"""What a time was measured on: without it a time means nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import PIL

import edgecap
from edgecap.machine import UNKNOWN, processor

if TYPE_CHECKING:
    from edgecap_runtime import Captioner

# With more than one task running, some of them wait on the smallest machines.
QUIET_LOAD = 1.0

_X86 = ("x86_64", "amd64", "i386", "i686")


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


def _load_average() -> float | None:
    if not hasattr(os, "getloadavg"):  # Windows
        return None
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
