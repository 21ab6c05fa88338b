"""A file that one process at a time works on."""

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import IO

from edgecap.errors import OutputError, UsageError

if sys.platform == "win32":
    import msvcrt

    # Windows lets nobody read a locked part: this one lies behind all that is ever written.
    _PLACE = 2**62

    def try_lock(file: IO[bytes]) -> bool:
        """Whether this process has the open file for itself now, until it closes it.

        Raises:
            OSError: if the file system knows no locks.
        """
        position = file.tell()
        try:
            file.seek(_PLACE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            file.seek(position)
        return True

else:
    import fcntl

    def try_lock(file: IO[bytes]) -> bool:
        """Whether this process has the open file for itself now, until it closes it.

        Raises:
            OSError: if the file system knows no locks.
        """
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False


def open_alone(path: Path, name: str) -> IO[bytes]:
    """A file to append to, made if there is none, that no other process opens in this way.

    Args:
        path: of the file; another process may put another file there when it is done.
        name: what people call it.

    Raises:
        UsageError: if there cannot be a file at `path`.
        OutputError: if another process has it.
        OSError: if it cannot be opened.
    """
    while True:
        # A pipe or a device would make us wait, or lose what is written.
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"--output {name}: is no file: choose another name")
        try:
            file = path.open("ab+", buffering=0)
        except FileNotFoundError:
            raise UsageError(f"--output {name}: its folder does not exist: make it first") from None
        with contextlib.ExitStack() as opening:
            opening.enter_context(file)
            if not _locked(file, name):
                raise OutputError(
                    f"{name}: another edgecap is writing it: let that one end, or choose another "
                    "--output"
                )
            if _is_at(path, file):
                opening.pop_all()
                return file


def _locked(file: IO[bytes], name: str) -> bool:
    try:
        return try_lock(file)
    except OSError as error:
        reason = f"cannot be locked ({error.strerror}): choose an --output on another disk"
        raise OutputError(f"{name}: {reason}") from error


def _is_at(path: Path, file: IO[bytes]) -> bool:
    """Whether it is still the file that stands at the path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
