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
        raise ConversionError(
            f"cannot write {path} ({error.strerror}): free space or choose another --work folder"
        ) from error
