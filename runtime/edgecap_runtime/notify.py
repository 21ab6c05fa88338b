"""What the system itself tells of files that come: inotify on Linux, through `watchdog`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent


class Notifier:
    """Tells of files below folders until it is closed.

    Args:
        folders: paths; what is told begins with them.
        tell: is called in a thread of its own with a path, whether it is a folder, and whether
            it is complete: its writer closed it or renamed it into its place.

    Raises:
        ImportError: if `watchdog` is not installed.
        OSError: if the system watches no more folders, or one of these cannot be watched.
    """

    def __init__(self, folders: Sequence[str], tell: Callable[[str, bool, bool], None]) -> None:
        from watchdog import events
        from watchdog.observers import Observer

        kinds: list[type[FileSystemEvent]] = [
            events.DirCreatedEvent,
            events.DirMovedEvent,
            events.FileCreatedEvent,
            events.FileMovedEvent,
            events.FileClosedEvent,
        ]
        if sys.platform != "linux":  # where nobody tells that a file was closed
            kinds.append(events.FileModifiedEvent)

        handler = _Handler(tell)
        self._observer = Observer()
        try:
            for folder in folders:
                self._observer.schedule(handler, folder, recursive=True, event_filter=kinds)
            self._observer.start()
        except OSError:
            self._observer.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether it still tells: it stops where a folder is removed, or nothing can be watched."""
        emitters = self._observer.emitters
        return bool(emitters) and all(emitter.is_alive() for emitter in emitters)

    def close(self) -> None:
        """Tells no more."""
        self._observer.stop()
        self._observer.join()


class _Handler:
    """What `watchdog` hands its events to."""

    def __init__(self, tell: Callable[[str, bool, bool], None]) -> None:
        self._tell = tell

    def dispatch(self, event: FileSystemEvent) -> None:
        moved = event.event_type == "moved"
        path = event.dest_path if moved else event.src_path
        self._tell(str(path), event.is_directory, moved or event.event_type == "closed")
