"""Where shards lie: in a folder of a disk, or in storage that fsspec reaches."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from edgecap.errors import UsageError
from edgecap.files import sync_folder, whole_file
from edgecap_runtime.locking import open_alone
from edgecap_runtime.stored import open_storage

_LOCK = ".lock"


class Folder(Protocol):
    """Where shards lie."""

    def alone(self) -> contextlib.AbstractContextManager[object]:
        """Keeps other runs away, where that is possible.

        Raises:
            OutputError: if another run has it.
        """

    def names(self) -> list[str]:
        """Of all files but hidden ones, sorted."""

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None:
        """All of a file, or nothing under its name."""

    def remove(self, name: str) -> None: ...


class Disk:
    """A folder of this machine, made if it is not there.

    Raises:
        UsageError: if there cannot be one.
    """

    def __init__(self, path: str) -> None:
        self._path, self._name = Path(path), path
        if self._path.exists() and not self._path.is_dir():
            raise UsageError(f"--output {path}: is a file: with --cluster give a folder's name")
        try:
            self._path.mkdir(exist_ok=True)
        except FileNotFoundError:
            raise UsageError(f"--output {path}: its folder does not exist: make it first") from None

    def alone(self) -> contextlib.AbstractContextManager[object]:
        return open_alone(self._path / _LOCK, self._name)

    def names(self) -> list[str]:
        names = [one.name for one in self._path.iterdir()]
        # Only now is nobody else writing them.
        for name in names:
            if name.startswith(".") and name.endswith(".partial"):
                (self._path / name).unlink()
        return sorted(name for name in names if not name.startswith("."))

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        with whole_file(self._path / name) as file:
            file.write(content)
        sync_folder(self._path)

    def remove(self, name: str) -> None:
        (self._path / name).unlink()


class Storage:
    """A folder in storage that fsspec reaches, where nothing can be locked.

    Raises:
        UsageError: as `edgecap_runtime.stored.open_storage`.
    """

    def __init__(self, address: str) -> None:
        self._system, self._path = open_storage(address)
        self._system.makedirs(self._path, exist_ok=True)

    def alone(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def names(self) -> list[str]:
        self._system.invalidate_cache(self._path)
        paths = (path.rstrip("/") for path in self._system.ls(self._path, detail=False))
        # Some list the folder itself.
        names = (path.rpartition("/")[2] for path in paths if path != self._path.rstrip("/"))
        return sorted(name for name in names if not name.startswith("."))

    def read(self, name: str) -> bytes:
        content: bytes = self._system.cat_file(f"{self._path}/{name}")
        return content

    def write(self, name: str, content: bytes) -> None:
        partial = f"{self._path}/.{name}.partial"
        self._system.pipe_file(partial, content)
        self._system.mv(partial, f"{self._path}/{name}")

    def remove(self, name: str) -> None:
        self._system.rm_file(f"{self._path}/{name}")
