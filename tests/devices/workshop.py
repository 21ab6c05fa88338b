"""What all targets share: the wheel, the photos, and what x86 says of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lean_install import ROOT, SMALLEST_NEWEST_PYTHON, Broken, Environment, require
from recording import Comparison, Recording, compare

if TYPE_CHECKING:
    from platforms import Wheels

HERE = Path(__file__).resolve().parent
NUMPY = "numpy"

PYTHONS = ("3.10", "3.11", "3.12", "3.13")

# Run by a target's Python: what is compared has to have the same versions.
VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Reference:
    """What others are compared with: what it is, where it is installed, and what it said."""

    label: str
    environment: Environment
    recording: Recording


@dataclass(frozen=True)
class Outcome:
    """One installation that captioned the photos.

    Attributes:
        target: what it stands for.
        checked: on what, and how.
        census: as `lean_install.Environment.census` gives it.
        versions: of engine, Pillow and numpy, by distribution.
        against: what it was compared with.
        comparison: with that.
    """

    target: str
    checked: str
    census: dict[str, Any]
    versions: dict[str, str]
    against: str
    comparison: Comparison


@dataclass(frozen=True)
class Resolved:
    """A platform on which nothing was run: how many distributions pip installs, by Python."""

    target: str
    distributions: dict[str, int]
    engine: str


@dataclass(frozen=True)
class Kernels:
    """XNNPACK and LiteRT's own kernels.

    Attributes:
        operations: of the encoder, by name, as `operations.py` prints them.
        slower: how many times as long the encoder takes on the latter.
    """

    operations: dict[str, dict[str, float]]
    slower: float


@dataclass(frozen=True)
class Unsupported:
    """A platform that no engine exists for, and what edgecap says there."""

    target: str
    said: str


class Workshop:
    """Everything is made when it is first asked for, in the folder `scratch`.

    Args:
        scratch: an empty folder.
        pythons: of this machine; the first builds the wheel.
        photos: files to caption.
    """

    def __init__(self, scratch: Path, pythons: Sequence[str], photos: Sequence[Path]) -> None:
        self._scratch = scratch
        self.pythons = pythons
        self.photos = scratch / "photos"
        self.photos.mkdir()
        for photo in photos:
            shutil.copyfile(photo, self.photos / photo.name)
        self._installed: dict[tuple[str, ...], Environment] = {}
        self._references: dict[tuple[tuple[str, ...], str], Reference] = {}

    def folder(self, name: str) -> Path:
        """A new folder for a target's things."""
        path = self._scratch / name
        path.mkdir(parents=True)
        return path

    @cached_property
    def builder(self) -> Environment:
        """An environment with nothing but pip."""
        return Environment(self._scratch / "builder", self.pythons[0])

    @cached_property
    def wheel(self) -> Path:
        """The wheel of this source tree."""
        self.builder.pip("wheel", "--no-deps", "--wheel-dir", self._scratch, ROOT)
        (wheel,) = self._scratch.glob("edgecap-*.whl")
        return wheel

    def wheels(self, name: str, platform: Wheels, *wanted: str | Path) -> Path:
        """A folder with the wheels that pip would take on a platform."""
        folder = self.folder(name)
        platform.download(self.builder, folder, *wanted)
        return folder

    def resolve(self, target: str, platforms: Sequence[Wheels]) -> Resolved:
        """What `pip install edgecap` takes on platforms that differ in their Python.

        Raises:
            Broken: if pip finds no wheels for one of them, or not LiteRT.
        """
        progress(f"{target}: resolving")
        found = [platform.resolved(self.builder, self.wheel) for platform in platforms]
        for one in found:
            require("ai-edge-litert" in one and "tflite-runtime" not in one, "LiteRT", one)
        counts = {
            platform.python: len(one) - 1 for platform, one in zip(platforms, found, strict=True)
        }
        return Resolved(target, counts, f"ai-edge-litert {found[-1]['ai-edge-litert']}")

    def check(
        self,
        target: str,
        checked: str,
        environment: Environment,
        reference: Reference | None = None,
    ) -> Outcome:
        """Inspects and captions in an environment, and compares.

        Args:
            target, checked: as in `Outcome`.
            environment: where edgecap is installed.
            reference: what to compare with; by default x86 with the same engine and Pillow.

        Raises:
            Broken: if a command fails, or other words are more than a near tie.
        """
        progress(f"{target}: captioning {len(list(self.photos.iterdir()))} photos")
        versions = self.versions(environment)
        if reference is None:
            pinned = [f"{name}=={version}" for name, version in versions.items() if name != NUMPY]
            reference = self.reference(*pinned)
        comparison = compare(self._record(environment), reference.recording)
        require(comparison.explained, f"near ties where words differ on {target}", comparison)
        census = environment.census()
        return Outcome(target, checked, census, versions, reference.label, comparison)

    def reference(self, *wanted: str, kernels: str = "default") -> Reference:
        """What x86 says with the engine and the Pillow that pip installs for `wanted`."""
        if wanted not in self._installed:
            progress(f"installing on this machine: {', '.join(wanted)}")
            small = wanted[0].startswith("tflite-runtime")
            python = self.old_python if small else self.pythons[-1]
            environment = Environment(self.folder(f"reference-{len(self._installed)}"), python)
            environment.pip("install", *wanted, "numpy<2" if small else NUMPY, "click")
            environment.pip("install", "--no-deps", self.wheel)
            self._installed[wanted] = environment
        environment = self._installed[wanted]
        if (wanted, kernels) not in self._references:
            said = ", ".join(f"{name} {one}" for name, one in self.versions(environment).items())
            label = f"x86, {said}" + ("" if kernels == "default" else f", {kernels} kernels")
            recording = self._record(environment, kernels)
            self._references[wanted, kernels] = Reference(label, environment, recording)
        return self._references[wanted, kernels]

    def _record(self, environment: Environment, kernels: str = "default") -> Recording:
        """What the `edgecap` of an environment says of the photos, all in one process."""
        record = environment.empty / f"{kernels}.npz"
        printed = environment.run("python", HERE / "record.py", record, kernels, self.photos)
        return Recording.read(printed, record)

    def versions(self, environment: Environment) -> dict[str, str]:
        """Of engine, Pillow and numpy; `edgecap inspect` says which engine it is."""
        inspected = json.loads(environment.run("edgecap", "inspect", "--json"))
        engine = inspected["engine"]["distribution"]
        found = environment.run("python", "-c", VERSIONS, engine, "pillow", NUMPY)
        versions: dict[str, str] = json.loads(found)
        return versions

    @property
    def old_python(self) -> str:
        """The newest Python of this machine that has wheels of tflite-runtime.

        Raises:
            Broken: if there is none.
        """
        code = f"import sys; sys.exit(list(sys.version_info[:2]) > {SMALLEST_NEWEST_PYTHON})"
        for python in reversed(self.pythons):
            if subprocess.run([python, "-c", code], check=False).returncode == 0:
                return python
        raise Broken(f"a Python 3.10 or 3.11 for tflite-runtime: {', '.join(self.pythons)}")


def progress(message: str) -> None:
    """Says on standard error what goes on."""
    print(message, file=sys.stderr, flush=True)
