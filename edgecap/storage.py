"""Named members in a folder or in a zip file, read with limits and written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Protocol

from edgecap.errors import BundleError

# A reader needs none of pathlib, tempfile, shutil and zipfile, which take long to import.
if TYPE_CHECKING:
    from pathlib import Path

# Deflate could shrink zeros 1,032 times; a graph with 90 % of its weights zero shrinks 6 times.
MAXIMUM_DEFLATE_RATIO = 100
# Of a zip file's directory, and of the comment behind it: four members take 300.
MAXIMUM_DIRECTORY_BYTES = 100_000


class Storage(Protocol):
    """Where a bundle's members lie."""

    def __enter__(self) -> Storage: ...
    def __exit__(self, *_: object) -> None: ...

    def read(self, name: str, maximum_bytes: int) -> bytes:
        """A member's content; at most `maximum_bytes + 1` bytes, so that too long shows.

        Raises:
            BundleError: if there is no such member or it cannot be read.
        """

    def check_names(self, expected: Iterable[str]) -> None:
        """Raises BundleError if there is any other member."""


def _check_names(found: Iterable[str], expected: Iterable[str]) -> None:
    extra = sorted(set(found) - set(expected))
    if extra:
        raise BundleError(
            f"holds {extra[0][:60]!r}, which is no member of a bundle: get the bundle again"
        )


class FolderStorage:
    """Members as files of a folder."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> FolderStorage:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, name: str, maximum_bytes: int) -> bytes:
        place = os.path.join(self._path, name)  # noqa: PTH118
        try:
            # A pipe or a device would make the reader wait for ever.
            if not stat.S_ISREG(os.lstat(place).st_mode):
                raise BundleError(f"{name} is not a regular file: get the bundle again")
            with open(place, "rb") as file:  # noqa: PTH123
                # `read` makes room for all it is asked for, before it looks at the file.
                size = os.fstat(file.fileno()).st_size
                return file.read(min(maximum_bytes, size) + 1)
        except FileNotFoundError:
            raise BundleError(f"{name} is missing: get the bundle again") from None
        except OSError as error:
            raise BundleError(f"{name} cannot be read ({error.strerror})") from error

    def check_names(self, expected: Iterable[str]) -> None:
        # Desktop systems drop files such as .DS_Store into every folder.
        try:
            names = os.listdir(self._path)  # noqa: PTH208
        except OSError as error:
            raise BundleError(f"cannot be listed ({error.strerror}): check its rights") from error
        _check_names((name for name in names if not name.startswith(".")), expected)


class _ZipContent(io.BufferedReader):
    """A zip file whose directory is read whole by zipfile, whatever its size, and kept."""

    in_directory = True

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.in_directory:
            return super().read(size)
        wanted = MAXIMUM_DIRECTORY_BYTES + 1 if size is None or size < 0 else size
        content = super().read(min(wanted, MAXIMUM_DIRECTORY_BYTES + 1))
        if len(content) > MAXIMUM_DIRECTORY_BYTES:
            raise BundleError("lists more members than a bundle has: get the bundle again")
        return content


class ZipStorage:
    """Members of one zip file; stored or deflated, not encrypted, each name once."""

    def __init__(self, path: str) -> None:
        import zipfile

        try:
            self._content = _ZipContent(io.FileIO(path))
        except OSError as error:
            raise BundleError(
                f"cannot be read ({error.strerror}): check its permissions"
            ) from error
        try:
            self._file = zipfile.ZipFile(self._content)
            self._content.in_directory = False
            self._members = {info.filename: info for info in self._file.infolist()}
            if len(self._members) != len(self._file.infolist()):
                raise BundleError("holds a member twice: get the bundle again")
        except BundleError:
            self._content.close()
            raise
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            self._content.close()
            raise BundleError(
                f"is neither a bundle folder nor a zip file ({error}): get the bundle again"
            ) from error

    def __enter__(self) -> ZipStorage:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._content.close()

    def read(self, name: str, maximum_bytes: int) -> bytes:
        import zipfile
        import zlib

        info = self._members.get(name)
        if info is None:
            raise BundleError(f"{name} is missing: get the bundle again")
        encrypted = info.flag_bits & 1
        plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        possible = info.file_size <= MAXIMUM_DEFLATE_RATIO * max(info.compress_size, 1)
        if encrypted or not plain or not possible:
            raise BundleError(f"{name} is packed in a way that bundles are not: get it again")
        try:
            with self._file.open(info) as file:
                return file.read(min(maximum_bytes, info.file_size) + 1)
        except (
            zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError,
            RuntimeError,
        ) as error:  # fmt: skip
            raise BundleError(f"{name} cannot be unpacked ({error}): get the bundle again") from (
                error
            )

    def check_names(self, expected: Iterable[str]) -> None:
        _check_names(self._members, expected)


def write_folder(path: Path, members: Mapping[str, bytes]) -> None:
    """Writes a folder beside `path`, then renames it; an older one at `path` is replaced."""
    with _staging(path) as staging:
        folder = staging / "new"
        folder.mkdir()
        for name, content in members.items():
            with (folder / name).open("wb") as file:
                _write_durably(file, content)
        # A folder cannot be renamed over one that holds files: the old one steps aside first.
        if path.is_dir() and not path.is_symlink():
            path.rename(staging / "old")
        folder.rename(path)


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """Writes a deflated zip file beside `path`, then renames it; the same input, the same bytes."""
    import zipfile

    with _staging(path) as staging:
        place = staging / "new"
        with zipfile.ZipFile(place, "w") as file:
            for name, content in members.items():
                # A fixed date and system: a bundle's bytes depend on its content alone.
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                info.create_system = 3
                info.external_attr = 0o644 << 16
                file.writestr(info, content, zipfile.ZIP_DEFLATED, 9)
        with place.open("rb+") as written:
            os.fsync(written.fileno())
        if path.is_dir() and not path.is_symlink():
            path.rename(staging / "old")
        place.replace(path)


@contextlib.contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what is not finished; gone afterwards, whatever happened."""
    from edgecap.files import temporary_folder

    def put_back(folder: Path) -> None:
        old = folder / "old"
        if old.exists() and not path.exists():
            old.rename(path)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(path.parent, f".{path.name}.", put_back) as folder:
            try:
                yield folder
            finally:
                put_back(folder)
    except OSError as error:
        raise BundleError(f"cannot write {path}: {error.strerror}") from error


def _write_durably(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
