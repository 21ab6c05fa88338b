"""Debian's packages of any suite and architecture, unpacked into a folder: nothing is installed.

apt gets a configuration of its own, with an empty list of installed packages, so that it brings
all that a package depends on.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cache
from lean_install import Broken

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Debian 13 leaves to another package what links these to /usr.
MERGED = ("bin", "lib", "lib64", "sbin")
# What `update-alternatives` would link when they are installed.
ALTERNATIVES = ("blas/libblas.so.3", "lapack/liblapack.so.3")


def unpacked(suite: str, architecture: str, packages: Sequence[str]) -> Path:
    """The root of a file system with the packages and all that they depend on.

    Raises:
        Broken: if apt or dpkg fail, or are not there.
    """

    def make(folder: Path) -> None:
        for part in ("lists/partial", "archives/partial", "root"):
            (folder / part).mkdir(parents=True)
        (folder / "sources").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
        (folder / "status").touch()
        (folder / "apt.conf").write_text(
            f'Dir "{folder}"; Dir::State "{folder}"; Dir::State::status "{folder}/status";\n'
            f'Dir::Cache "{folder}"; Dir::Etc "{folder}"; Dir::Etc::sourcelist "sources";\n'
            'Dir::Etc::sourceparts "-"; Dir::Etc::parts "-"; Dir::Etc::main "-";\n'
            f'APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};\n'
            'APT::Install-Recommends "false"; Acquire::Languages "none";\n'
            'Acquire::GzipIndexes "true"; Acquire::Retries "3"; Debug::NoLocking "true";\n'
        )
        apt = {"APT_CONFIG": str(folder / "apt.conf")}
        _run(["apt-get", "--quiet", "update"], apt)
        _run(["apt-get", "--quiet", "--yes", "--download-only", "install", *packages], apt)
        root = folder / "root"
        for archive in sorted((folder / "archives").glob("*.deb")):
            _run(["dpkg-deb", "--extract", archive, root], {})
            archive.unlink()
        for name in MERGED:
            if not (root / name).exists() and (root / "usr" / name).exists():
                (root / name).symlink_to(f"usr/{name}")
        for library in ALTERNATIVES:
            for found in root.glob(f"usr/lib/*/{library}"):
                (found.parent.parent / found.name).symlink_to(
                    found.relative_to(found.parent.parent)
                )

    content = " ".join((MIRROR, suite, architecture, *packages))
    return cache.kept(f"{suite}-{architecture}", content, make) / "root"


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise Broken(f"Debian's {error.filename}: this needs apt, dpkg and {KEYRING}") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise Broken(f"status 0 of {' '.join(map(str, command))}: {said}")
