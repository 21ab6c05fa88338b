"""Files that appear under their name only when they are whole, and folders for what is not yet."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file beside `path`, synced and renamed to it at the end; removed on failure.

    A file that it replaces passes on its access rights.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            partial.chmod(path.stat().st_mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder last through a power cut, where the system can be asked to."""
    if os.name != "posix":
        return
    # A file system that cannot do it says so; there is nothing more to do then.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Locked while its folder is used. The folder's own lock is for those who make folders in it.
_IN_USE = ".in-use"


@contextlib.contextmanager
def temporary_folder(
    place: Path, prefix: str, rescue: Callable[[Path], None] = lambda _: None
) -> Iterator[Path]:
    """A new folder in `place`, removed with all in it at the end, however that comes.

    A process that is killed cannot remove its own: the next one does, for which nobody else may
    name folders there alike. Whether their makers live shows in their locks.

    Args:
        place: an existing folder.
        prefix: how the name begins.
        rescue: called with each folder that was left, before that is removed.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    with _locked(place, wait=True):
        for left in place.glob(f"{prefix}*"):
            with _locked(left / _IN_USE, wait=False) as abandoned:
                if abandoned:
                    rescue(left)
                    shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        stack = contextlib.ExitStack()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(_locked(folder / _IN_USE, wait=False))
    with stack:
        yield folder


@contextlib.contextmanager
def _locked(path: Path, wait: bool) -> Iterator[bool]:
    """Holds the lock of a folder or file, if it can be had; never where there are no such locks."""
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    # Not every file system has locks either: then nothing is known of other processes.
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
        else:
            yield True
