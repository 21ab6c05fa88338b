"""Files that appear under their name only when they are whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgecap.errors import ConversionError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file beside `path`, synced and renamed to it at the end; removed on failure.

    Raises:
        ConversionError: if the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ConversionError(
            f"cannot write {path} ({error.strerror}): free space or choose another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
