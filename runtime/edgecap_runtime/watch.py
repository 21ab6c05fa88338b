"""The photos that arrive in folders, each when it is complete.

A photo is complete when its writer has closed it or renamed it into its place, as far as the system
tells, and otherwise when its size and time stayed the same for `SETTLED_SECONDS`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from edgecap_runtime.found import Found, find
from edgecap_runtime.notify import Notifier
from edgecap_runtime.options import NOTIFIED_POLL_SECONDS, POLL_SECONDS
from edgecap_runtime.sources import File, Unreachable, is_passed_over, is_photo, walk

SETTLED_SECONDS = 2.0
# A photo that fails is tried again while its file is younger: its writer may have paused.
PATIENCE_SECONDS = 60.0
# Of the time that looking through the folders may take, the multiple that passes in between.
_REST = 10


class _Waiting(NamedTuple):
    """A photo that may not be complete: as it was, and when to look again (monotonic seconds)."""

    photo: Found | Unreachable
    due: float


class _Arrival(NamedTuple):
    """A file that may be a photo, to be looked at in `seconds`, or a folder that came."""

    path: str
    is_folder: bool
    seconds: float


class Watch:
    """Watches folders from now on, with all below them. To be closed.

    Args:
        folders: paths.
        poll_seconds: how often all of them are looked through; by default as the system allows.
        say: takes a line for people.
    """

    def __init__(
        self, folders: Sequence[str], poll_seconds: float | None, say: Callable[[str], None]
    ) -> None:
        self._folders = folders
        self._say = say
        self._arrivals: SimpleQueue[_Arrival | None] = SimpleQueue()
        self._waiting: dict[str, _Waiting] = {}
        self._unreachable: set[str] = set()
        self._notifier = self._notified()
        default = POLL_SECONDS if self._notifier is None else NOTIFIED_POLL_SECONDS
        self._poll_seconds = default if poll_seconds is None else poll_seconds
        how = "told by the system" if self._notifier else f"looking every {self._poll_seconds:g} s"
        say(f"watching {', '.join(folders)}, {how}")

    def close(self) -> None:
        """Ends `photos`."""
        self._arrivals.put(None)
        if self._notifier is not None:
            self._notifier.close()

    def postpone(self, photo: Found) -> bool:
        """Whether a photo that failed is young enough to be tried again; it then comes again."""
        age = _age(photo)
        if age < PATIENCE_SECONDS:
            self._arrivals.put(_Arrival(photo.name, False, max(age, SETTLED_SECONDS)))
        return age < PATIENCE_SECONDS

    def photos(self) -> Iterator[Found | Unreachable]:
        """Photos as they become complete, without end; known ones come again now and then."""
        next_look = time.monotonic() + self._poll_seconds
        while True:
            soonest = min((one.due for one in self._waiting.values()), default=next_look)
            left = min(soonest, next_look) - time.monotonic()
            with contextlib.suppress(Empty):
                arrival = self._arrivals.get(timeout=max(0.0, min(left, POLL_SECONDS)))
                while True:  # all that have come, before those that wait are looked through
                    if arrival is None:
                        return
                    yield from self._looked_at(arrival)
                    arrival = self._arrivals.get_nowait()
            yield from self._due()
            begin = time.monotonic()
            if begin >= next_look or self._is_left_alone():
                yield from self._all()
                end = time.monotonic()
                next_look = end + max(self._poll_seconds, _REST * (end - begin))

    def _notified(self) -> Notifier | None:
        try:
            return Notifier(self._folders, self._tell)
        except ImportError:
            reason = "watchdog is not installed (extra 'watch')"
        except OSError as error:
            reason = error.strerror or "unknown"
        self._say(f"the system does not tell what arrives: {reason}")
        return None

    def _is_left_alone(self) -> bool:
        """Whether the system has just stopped telling; from then on the folders are polled."""
        if self._notifier is None or self._notifier.alive:
            return False
        self._notifier.close()
        self._notifier, self._poll_seconds = None, min(self._poll_seconds, POLL_SECONDS)
        self._say(f"the system tells no more: looking every {self._poll_seconds:g} s")
        return True

    def _tell(self, path: str, is_folder: bool, complete: bool) -> None:
        self._arrivals.put(_Arrival(path, is_folder, 0.0 if complete else SETTLED_SECONDS))

    def _looked_at(self, arrival: _Arrival) -> Iterator[Found | Unreachable]:
        path = arrival.path
        root = max((one for one in self._folders if path.startswith(one)), key=len, default="")
        # Windows knows two separators.
        parts = path[len(root) :].replace(os.sep, "/").split("/")
        if any(is_passed_over(part) for part in parts):
            return
        if arrival.is_folder:
            yield from self._below(path)
        elif is_photo(path):
            photo = find(File(path))
            self._waiting[path] = _Waiting(photo, time.monotonic() + arrival.seconds)

    def _due(self) -> Iterator[Found]:
        """Those that waited long enough, if they have not changed; they wait again if they have."""
        now = time.monotonic()
        for path in [path for path, one in self._waiting.items() if one.due <= now]:
            before = self._waiting.pop(path).photo
            photo = find(File(path))
            if photo != before:
                self._waiting[path] = _Waiting(photo, now + SETTLED_SECONDS)
            elif isinstance(photo, Found):  # what is gone is gone
                yield photo

    def _all(self) -> Iterator[Found | Unreachable]:
        unreachable = self._unreachable
        self._unreachable = set()
        for folder in self._folders:
            for photo in self._below(folder):
                if isinstance(photo, Found):
                    yield photo
                    continue
                self._unreachable.add(photo.name)
                if photo.name not in unreachable:  # it is said once
                    yield photo

    def _below(self, folder: str) -> Iterator[Found | Unreachable]:
        """The photos of a folder, but for those that somebody may be writing now: these wait."""
        for one in walk(folder):
            photo = find(one)
            young = isinstance(photo, Found) and _age(photo) < SETTLED_SECONDS
            if not young:
                yield photo
            elif photo.name not in self._waiting:
                due = time.monotonic() + SETTLED_SECONDS
                self._waiting[photo.name] = _Waiting(photo, due)


def _age(photo: Found) -> float:
    """Seconds between now and its modification, which another machine's clock may have ahead."""
    return abs(time.time() - photo.mtime_ns / 1e9)
