"""The arguments of `edgecap caption` -> photos.

Every photo has the `name` that its caption is printed with, and is something that
`Captioner.caption` takes: a path, or an object to `read`. Nothing here stops the run: for what
cannot be reached there is a photo whose reading fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from edgecap.errors import SourceError, UsageError
from edgecap_runtime.options import DEFAULT_TIMEOUT

# How files are named in the formats that `edgecap.image` decodes.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# What network drives and operating systems keep between photos: previews and what was deleted.
SYSTEM_FOLDERS = frozenset(
    ("@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)
_CHUNK_BYTES = 65_536
_LONGEST_LINE = 1_000_000


class File(NamedTuple):
    """A photo in a file."""

    name: str

    def __fspath__(self) -> str:
        return self.name


class Address(NamedTuple):
    """A photo behind an http or https address, which may take `timeout` seconds to come."""

    name: str
    timeout: float

    def read(self, maximum_bytes: int) -> bytes:
        """Raises SourceError if there is no photo at the address."""
        from edgecap_runtime.download import download

        return download(self.name, self.timeout, maximum_bytes)


class Pipe(NamedTuple):
    """A photo that comes through a file descriptor, such as standard input's."""

    name: str
    descriptor: int

    def read(self, maximum_bytes: int) -> bytes:
        """Raises SourceError if nothing comes."""
        try:
            with open(self.descriptor, "rb", closefd=False) as file:
                content = file.read(maximum_bytes)
        except OSError as error:
            raise SourceError(f"{self.name}: cannot be read ({error.strerror})") from error
        if not content:
            raise SourceError(f"{self.name}: standard input is empty: pipe a photo into it")
        return content


class Unreachable(NamedTuple):
    """Stands where a photo should have been."""

    name: str
    reason: str

    @property
    def error(self) -> SourceError:
        """What `read` raises."""
        return SourceError(f"{self.name}: {self.reason}")

    def read(self, _maximum_bytes: int) -> bytes:
        """Raises SourceError, always."""
        raise self.error


Photo: TypeAlias = File | Address | Pipe | Unreachable


def is_one_photo(argument: str) -> bool:
    """Whether an argument stands for exactly one photo, and not for as many as are found."""
    return _is_address(argument) or not (_is_folder(argument) or _is_pattern(argument))


def expand(argument: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[Photo]:
    """The photos that a path, folder, pattern or address stands for.

    A folder is searched as `walk` does. A pattern with a file of exactly that name is that file.

    Args:
        argument: as typed.
        timeout: seconds that an address may take.
    """
    if _is_address(argument):
        yield Address(argument, timeout)
    elif _is_folder(argument):
        yield from _in_folder(argument)
    elif _is_pattern(argument):
        yield from _matching(argument)
    else:
        yield File(argument)


def _is_address(argument: str) -> bool:
    return argument.lower().startswith(("http://", "https://"))


def _is_folder(path: str) -> bool:
    # `Path.is_dir` raises for a path that is too long or not allowed; here that is just no folder.
    return os.path.isdir(path)  # noqa: PTH112


def _is_pattern(argument: str) -> bool:
    return any(mark in argument for mark in "*?[") and not os.path.lexists(argument)


def _in_folder(folder: str) -> Iterator[Photo]:
    photo: Photo | None = None
    for photo in walk(folder):
        yield photo
    if photo is None:
        yield Unreachable(folder, "folder without photos: give one that holds some")


def walk(root: str) -> Iterator[File | Unreachable]:
    """The photos in a folder and all below it, one at a time, in the order of the names.

    What `is_passed_over` names is left out, and links to folders are not followed, so that none
    leads in a circle. In the place of a folder that cannot be read stands an `Unreachable`.
    """
    # A stack and no recursion: folders can lie deeper than Python's calls.
    levels = [_entries(root)]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
        elif isinstance(entry, str):
            levels.append(_entries(entry))
        else:
            yield entry


def is_photo(name: str) -> bool:
    """Whether a file's name, or path, ends as photos' names do."""
    return name.lower().endswith(EXTENSIONS)


def is_passed_over(name: str) -> bool:
    """Whether a file or folder of this name is none of its owner's: hidden, or a system's."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def _entries(folder: str) -> Iterator[str | File | Unreachable]:
    """What a folder holds: the paths of its folders, and its photos."""
    # Names, and not what `scandir` gives: that takes four times the memory.
    names, folders, links = [], set(), set()
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                name = entry.name
                if is_passed_over(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.add(name)
                elif not is_photo(name):
                    continue
                elif entry.is_symlink():
                    links.add(name)
                names.append(name)
    except OSError as error:
        reason = f"folder cannot be read ({error.strerror}): check its access rights"
        yield Unreachable(folder, reason)
        return
    inside = os.path.join(folder, "")  # noqa: PTH118
    for name in sorted(names):
        path = inside + name
        if name in folders:
            yield path
        elif name not in links or not _is_folder(path):
            yield File(path)


def _matching(pattern: str) -> Iterator[Photo]:
    from glob import iglob

    paths = sorted(iglob(pattern, recursive=True))  # noqa: PTH207 (the pattern may be absolute)
    for path in paths:
        if _is_folder(path):
            yield from _in_folder(path)
        else:
            yield File(path)
    if not paths:
        yield Unreachable(pattern, "no file matches: check the pattern")


def lines(descriptor: int) -> Iterator[str]:
    """Lines of a file descriptor, each as soon as it has come, without ends and empty ones.

    Names that are not UTF-8 come through as Python's file functions take them.

    Raises:
        UsageError: if it cannot be read, or is no list of paths.
    """
    rest, more = b"", True
    while more:
        try:
            # Not a Python file: a thread that waits in one holds a lock that Python's end needs.
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except OSError as error:
            raise UsageError(f"the list of images cannot be read ({error.strerror})") from error
        more = bool(chunk)
        *whole, rest = (rest + (chunk or b"\n")).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise UsageError(f"a line has more than {_LONGEST_LINE} bytes: give one path a line")
        for line in whole:
            if name := line.removesuffix(b"\r"):
                yield os.fsdecode(name)
