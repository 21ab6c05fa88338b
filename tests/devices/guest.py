"""A virtual environment of another architecture's Python, run by qemu.

Debian's packages of that architecture give the Python and its libraries, as Raspberry Pi OS has
them. qemu translates the machine code; the kernel is this machine's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import debian
from lean_install import Environment
from workshop import progress

# Older ones, such as Debian 12's own 7.2, crash where LiteRT 2.2 and later allocate tensors.
QEMU_SUITE = "bookworm-backports"
# Debian's architecture -> program, processor: those of the Raspberry Pi 4 and 2.
QEMU = {"arm64": ("qemu-aarch64", "cortex-a72"), "armhf": ("qemu-arm", "cortex-a7")}


class Guest(Environment):
    """Used as any other environment is.

    Args:
        folder: an empty one.
        suite, architecture: Debian's names, such as "bookworm" and "arm64".
        python: its version there, such as "3.11".
        system: packages of Debian for this Python, which the environment then sees.

    Raises:
        Broken: if the packages cannot be fetched, or the Python does not run.
    """

    def __init__(
        self, folder: Path, suite: str, architecture: str, python: str, *system: str
    ) -> None:
        packages = (f"python{python}", "python3-pip-whl", "libstdc++6", *system)
        root = debian.unpacked(suite, architecture, packages)
        program, processor = QEMU[architecture]
        programs = debian.unpacked(QEMU_SUITE, "amd64", ("qemu-user-static",)) / "usr" / "bin"
        self._qemu = [programs / program, "-cpu", processor, "-L", root]
        self._python = root / "usr" / "bin" / f"python{python}"
        (self.pip_wheel,) = root.glob("usr/share/python-wheels/pip-*.whl")
        self.programs, self.empty = root / "usr" / "bin", folder / "empty"
        self.empty.mkdir(parents=True)
        # With pip in it, another Python would have to be started by its own name.
        options = ("--without-pip", *(["--system-site-packages"] if system else []))
        self.run("python", "-m", "venv", *options, folder / "venv")
        self.programs = folder / "venv" / "bin"
        self._python = self.programs / "python"

    def program(self, name: str | Path) -> list[str | Path]:
        """What starts a program that is installed here: qemu knows no scripts."""
        script = [] if name == "python" else [self.programs / name]
        return [*self._qemu, self._python, *script]

    def pip(self, *arguments: str | Path) -> None:
        """Runs the pip that `python3 -m venv` installs there, without a network."""
        self.run("python", self.pip_wheel / "pip", "--isolated", *arguments)

    def install(self, wheels: Path, wanted: Sequence[str | Path], edgecap: Path) -> None:
        """Lets the target's own pip choose and install from a folder of wheels.

        It decides by its own markers and tags, so a wheel that is missing or made for something
        else fails.

        Args:
            wheels: the folder.
            wanted: what a user asks pip for.
            edgecap: our wheel; installed after `wanted`, on its own, if that does not name it.
        """
        progress(f"installing on an emulated {self._qemu[2]}: {', '.join(map(str, wanted))}")
        offline = (
            "install",
            "--no-compile",
            "--no-cache-dir",
            "--no-index",
            "--find-links",
            wheels,
        )
        self.pip(*offline, *wanted)
        if edgecap not in wanted:
            self.pip(*offline, "--no-deps", edgecap)

    def describe(self) -> str:
        """qemu's version and the processor that it plays."""
        done = subprocess.run([self._qemu[0], "--version"], capture_output=True, text=True)
        version = done.stdout.split("\n")[0].split(" (")[0]
        return f"{version}, {self._qemu[2]}"
