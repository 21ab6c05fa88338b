"""Where caches and checkpoints are written."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgecap import files
from edgecap.errors import ConversionError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """`edgecap.files.whole_file`, in a folder that is made if it is missing.

    Raises:
        ConversionError: if the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.whole_file(path) as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from error


@contextlib.contextmanager
def working_folder(place: Path, prefix: str) -> Iterator[Path]:
    """`edgecap.files.temporary_folder`, for intermediate files.

    Raises:
        ConversionError: if the disk is full or the folder cannot be written.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        with files.temporary_folder(place, prefix) as folder:
            yield folder
    except OSError as error:
        raise cannot_write(place, error) from error


def cannot_write(path: Path, error: Exception) -> ConversionError:
    """The one line for a file or folder that cannot be written, whoever found out."""
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0][:200]
    return ConversionError(f"cannot write {path} ({reason}): free space or choose another folder")
