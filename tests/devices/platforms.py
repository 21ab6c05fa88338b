"""Platforms that wheels are made for, and what pip would install there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lean_install import Environment, require

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Wheels:
    """A platform as pip and environment markers know it.

    Attributes:
        tags: of the wheels that it takes, the best first.
        python: major and minor number.
        os_name, sys_platform, platform_system, platform_machine: values of the markers.
    """

    tags: tuple[str, ...]
    python: str
    os_name: str
    sys_platform: str
    platform_system: str
    platform_machine: str

    @property
    def _markers(self) -> str:
        names = ("os_name", "sys_platform", "platform_system", "platform_machine")
        values = {name: getattr(self, name) for name in names}
        python = {"python_version": self.python, "python_full_version": f"{self.python}.0"}
        return json.dumps({**values, **python})

    def _pip(self, builder: Environment, command: str, *arguments: str | Path) -> str:
        return builder.run(
            "python", HERE / "foreign_pip.py", self._markers, command, "--quiet",
            "--only-binary=:all:", "--python-version", self.python,
            *(f"--platform={tag}" for tag in self.tags), *arguments,
        )  # fmt: skip

    def resolved(self, builder: Environment, *wanted: str | Path) -> dict[str, str]:
        """Name -> version of all that `pip install` would install there."""
        nowhere = builder.empty / "nowhere"
        options = ("--dry-run", "--target", nowhere, "--report", "-")
        report = json.loads(self._pip(builder, "install", *options, *wanted))
        found = [item["metadata"] for item in report["install"]]
        return {item["name"].lower().replace("_", "-"): item["version"] for item in found}

    def download(self, builder: Environment, folder: Path, *wanted: str | Path) -> None:
        """Wheels of all that `pip install` would install there, into a folder."""
        self._pip(builder, "download", "--dest", folder, *wanted)


def linux(machine: str, python: str, glibc: int) -> Wheels:
    """Linux with glibc 2.`glibc`."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(glibc, 16, -1)]
    return Wheels(
        (*tags, f"manylinux2014_{machine}", f"linux_{machine}"),
        python, "posix", "linux", "Linux", machine,
    )  # fmt: skip


def macos(python: str, version: int = 14) -> Wheels:
    """macOS on Apple silicon."""
    tags = [
        f"macosx_{number}_0_{kind}"
        for number in range(version, 10, -1)
        for kind in ("arm64", "universal2")
    ]
    return Wheels(tuple(tags), python, "posix", "darwin", "Darwin", "arm64")


def windows(python: str) -> Wheels:
    """Windows on x64."""
    return Wheels(("win_amd64",), python, "nt", "win32", "Windows", "AMD64")


def check_markers(builder: Environment) -> None:
    """That markers are evaluated for the platform asked for: tqdm needs colorama on Windows."""
    for platform, needed in ((windows("3.11"), True), (linux("x86_64", "3.11", 36), False)):
        found = platform.resolved(builder, "tqdm")
        require(("colorama" in found) == needed, f"markers of {platform.sys_platform}", found)
