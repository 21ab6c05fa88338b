"""Photos in object storage and whatever else fsspec reaches: `s3://bucket/photos`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from edgecap.errors import SourceError, UsageError
from edgecap_runtime.found import Found
from edgecap_runtime.sources import Unreachable, is_passed_over, is_photo

# What the implementations of fsspec call the time of the last change.
_CHANGED = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")


class Stored(Found):
    """A photo at an address."""

    def again(self) -> Found | Unreachable:
        """The photo itself: an object is replaced whole, and the next run finds the other one."""
        return self

    def is_there(self) -> bool:
        """Whether this machine sees it."""
        system, path = open_storage(self.name)
        found: bool = system.exists(path)
        return found

    def read(self, _maximum_bytes: int) -> bytes:
        """Raises SourceError if it cannot be read."""
        system, path = open_storage(self.name)
        try:
            content: bytes = system.cat_file(path)
        except Exception as error:  # every implementation has its own
            raise SourceError(f"{self.name}: cannot be read ({reason(error)})") from error
        return content


def as_found(name: str, size: int, mtime_ns: int) -> Found:
    """A photo on this machine or at an address."""
    return (Stored if is_stored(name) else Found)(name, size, mtime_ns)


def is_stored(argument: str) -> bool:
    """Whether an argument is an address and no path."""
    return "://" in argument


def open_storage(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and its path in there.

    Raises:
        UsageError: if the address is of a kind that is unknown, or that needs another package.
    """
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{address}: {' '.join(str(error).split())}") from error
    except Exception as error:
        raise SourceError(f"{address}: cannot be reached ({reason(error)})") from error
    return system, path


def walk_stored(address: str) -> Iterator[Found | Unreachable]:
    """As `edgecap_runtime.sources.walk`, with the sizes and times that listing gives.

    Raises:
        UsageError: as `open_storage`.
    """
    system, root = open_storage(address)
    nothing = True
    try:
        for folder, folders, files in system.walk(root, detail=True, on_error="raise"):
            for name in filter(is_passed_over, list(folders)):
                del folders[name]
            for name in sorted(files):
                # The address may be that of a photo: then the name is empty.
                path = files[name]["name"] if not name else f"{folder}/{name}"
                if is_photo(path) and not is_passed_over(name):
                    nothing = False
                    yield _stored(system.unstrip_protocol(path), files[name])
    except Exception as error:  # every implementation has its own
        yield Unreachable(address, f"cannot be listed ({reason(error)}): check address and rights")
        return
    if nothing:
        yield Unreachable(address, "folder without photos: give one that holds some")


def reason(error: BaseException) -> str:
    """Why storage failed, for people, in a line."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def _stored(name: str, listed: dict[str, Any]) -> Found:
    changed = next((listed[key] for key in _CHANGED if listed.get(key) is not None), 0.0)
    if isinstance(changed, str):
        changed = datetime.datetime.fromisoformat(changed)
    if isinstance(changed, datetime.datetime):
        changed = changed.timestamp()
    # Seconds as a float hold microseconds and no more.
    return Stored(name, int(listed["size"] or 0), round(changed * 1e6) * 1_000)
