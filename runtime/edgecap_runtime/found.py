"""Photos as files that can change."""

from __future__ import annotations

import os
from typing import NamedTuple

from edgecap_runtime.sources import File, Unreachable


class Found(NamedTuple):
    """A photo in a file, and what tells whether it is still the same file."""

    name: str
    size: int
    """In bytes."""
    mtime_ns: int
    """Nanoseconds since 1970."""

    def __fspath__(self) -> str:
        return self.name

    def again(self) -> Found | Unreachable:
        """The photo as its file is now."""
        return find(File(self.name))

    def is_there(self) -> bool:
        """Whether this machine sees its file."""
        return isinstance(self.again(), Found)


def find(photo: File | Unreachable) -> Found | Unreachable:
    """The photo as its file is now."""
    if isinstance(photo, Unreachable):
        return photo
    try:
        status = os.stat(photo.name)  # noqa: PTH116 (pathlib takes three times as long)
    except OSError as error:
        reason = f"cannot be reached ({error.strerror}): check its path and access rights"
        return Unreachable(photo.name, reason)
    return Found(photo.name, status.st_size, status.st_mtime_ns)
