"""A run over a library of photos that goes on where an earlier one stopped.

Photos stream through it: which are to do is decided as they are found, whoever captions them
gives the results back, and each is written down as it comes.
"""

from __future__ import annotations

import contextlib
import itertools
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from edgecap.errors import SidecarError
from edgecap_runtime.found import Found
from edgecap_runtime.records import KEPT, WRITTEN, Record, complaint, rounded
from edgecap_runtime.sources import Unreachable

if TYPE_CHECKING:
    from edgecap_runtime.captioner import Result
    from edgecap_runtime.known import Known
    from edgecap_runtime.pipeline import Caption

# Takes a photo's path and caption; whether the caption stands in the sidecar now.
SidecarWriter: TypeAlias = Callable[[str, str], bool]
# Gives a result for each photo, such as a generator around `Captioner.caption_many`.
Captions: TypeAlias = (
    "Callable[[Iterator[Found | Unreachable]], Generator[Result[Found | Unreachable]]]"
)
CHANGED = "was changed or removed while it was read: the next run tries it again"


class Output(Protocol):
    """What is known, and where the results go: `Journal` for a file, `Shards` for a folder."""

    bundle: str
    """SHA-256 of the bundle that this run captions with."""

    @property
    def end(self) -> int:
        """The place of the next record; later ones have higher places."""

    def known(self, path: str) -> Known | None:
        """What it says of the photo at a path."""

    def read(self, place: int) -> Record:
        """The record at a place. Raises OutputError if it cannot be read any more."""

    def append(self, record: Record) -> None:
        """Takes a record. Raises OutputError if it cannot be written."""


class Done(NamedTuple):
    """A photo that the run is done with, and a line for people if something went wrong."""

    name: str
    complaint: str | None


@dataclass
class Counts:
    """What came of the photos of this run.

    Attributes:
        captioned: have got a caption.
        failed: have got none; folders that cannot be read among them.
        before, failed_before: were captioned, or failed, in an earlier run.
        sidecars_kept: sidecars left as they are, for somebody's own words.
        sidecars_failed: sidecars that could not be written.
    """

    captioned: int = 0
    failed: int = 0
    before: int = 0
    failed_before: int = 0
    sidecars_kept: int = 0
    sidecars_failed: int = 0


class Library:
    """What is to do, and what becomes of it.

    A photo is done if the journal has it with the same path, size, modification time and bundle.

    Args:
        journal: what is known; the new results go there.
        write_sidecar: if given, every photo with a caption gets a sidecar too.
        force: photos that earlier runs did are to do again.
        retry: those that failed are.
        overwrite: sidecars that were kept are to be written.
    """

    def __init__(
        self,
        journal: Output,
        write_sidecar: SidecarWriter | None = None,
        *,
        force: bool = False,
        retry: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.counts = Counts()
        self._journal = journal
        self._write_sidecar = write_sidecar
        self._force, self._retry, self._overwrite = force, retry, overwrite
        # What stands before it was done by earlier runs.
        self._begin = journal.end
        # Where their records begin: 8 bytes each.
        self._lacking = array("q")
        # Found and not yet written down: a folder may be given twice, or a file be told of.
        self._in_flight: set[Found | Unreachable] = set()

    def run(
        self,
        photos: Iterable[Found | Unreachable],
        caption: Captions,
        postpone: Callable[[Found], bool] = lambda _: False,
    ) -> Generator[Done]:
        """Captions those of the photos that are not done.

        Args:
            photos: all of the library, as they are found.
            caption: is called once, if there is anything to caption.
            postpone: asked about each photo that fails; if it says yes that is not written down.

        Raises:
            OutputError: if the journal cannot be written.
        """
        return self._run(self._to_do(photos, self._meet), caption, postpone)

    def follow(
        self,
        photos: Iterable[Found | Unreachable],
        caption: Captions,
        postpone: Callable[[Found], bool],
    ) -> Generator[Done]:
        """Captions photos that arrive, without an end; known ones may be among them.

        Args:
            photos: as they arrive.
            caption, postpone: as in `run`.

        Raises:
            OutputError: if the journal cannot be written.
        """
        return self._run(self._to_do(photos, lambda _: None), caption, postpone)

    def complete_sidecars(self) -> Generator[Done]:
        """Writes the sidecars that photos lack which `run` found done; captions nothing.

        Raises:
            OutputError: if the journal cannot be read or written.
        """
        for offset in self._lacking:
            yield self._noted(self._journal.read(offset))
        del self._lacking[:]

    @property
    def lacking_sidecars(self) -> int:
        """How many `complete_sidecars` has to write."""
        return len(self._lacking)

    def count(self, photos: Iterable[Found | Unreachable]) -> int:
        """How many of the photos `run` had to do when it began."""
        return sum(
            isinstance(photo, Unreachable)
            or (known := self._done(photo)) is None
            or known.offset >= self._begin
            for photo in photos
        )

    def _to_do(
        self, photos: Iterable[Found | Unreachable], meet: Callable[[Known], None]
    ) -> Iterator[Found | Unreachable]:
        """Those that are not done; `meet` is told of those that were when the run began."""
        for photo in photos:
            # In this order: what has just left the one is in the other.
            if photo in self._in_flight:
                continue
            known = None if isinstance(photo, Unreachable) else self._done(photo)
            if known is None:
                self._in_flight.add(photo)
                yield photo
            elif known.offset < self._begin:
                meet(known)

    def _meet(self, known: Known) -> None:
        self.counts.failed_before += known.failed
        self.counts.before += not known.failed
        if self._lacks_sidecar(known):
            self._lacking.append(known.offset)

    def _run(
        self,
        to_do: Iterator[Found | Unreachable],
        caption: Captions,
        postpone: Callable[[Found], bool],
    ) -> Generator[Done]:
        for photo in to_do:
            if isinstance(photo, Unreachable):
                yield self._failed(photo, str(photo.error))
                continue
            # Only now is a model needed.
            with contextlib.closing(caption(itertools.chain((photo,), to_do))) as results:
                for result in results:
                    done = self._written(result, postpone)
                    self._in_flight.discard(result.source)
                    if done is not None:
                        yield done

    def _written(
        self, result: Result[Found | Unreachable], postpone: Callable[[Found], bool]
    ) -> Done | None:
        """Writes a result and its sidecar down; None if the photo was postponed."""
        photo, error = result.source, result.error
        if isinstance(photo, Unreachable):
            return self._failed(photo, str(photo.error))
        if (now := photo.again()) != photo:
            if isinstance(now, Found) and postpone(now):
                return None
            return self._failed(photo, f"{photo.name}: {CHANGED}")
        if error is None:
            self.counts.captioned += 1
            return self._noted(self._record(photo, result.caption, None))
        if postpone(photo):
            return None
        reason = complaint(photo.name, error)
        self._noted(self._record(photo, None, reason))
        return self._failed(photo, reason)

    def _done(self, photo: Found) -> Known | None:
        """What is known of the photo, if it is done."""
        known = self._journal.known(photo.name)
        if (
            known is None
            or not known.same_bundle
            or (known.size, known.mtime_ns) != (photo.size, photo.mtime_ns)
        ):
            return None
        again = self._force or (self._retry and known.failed)
        return None if again and known.offset < self._begin else known

    def _lacks_sidecar(self, known: Known) -> bool:
        wanted = (None, KEPT) if self._overwrite else (None,)
        return self._write_sidecar is not None and not known.failed and known.sidecar in wanted

    def _record(self, photo: Found, caption: Caption | None, error: str | None) -> Record:
        return Record(
            path=photo.name,
            caption=caption.text if caption else None,
            log_probability=caption.log_probability if caption else None,
            timings_ms=rounded(caption.timings_ms) if caption else None,
            error=error,
            size=photo.size,
            mtime_ns=photo.mtime_ns,
            bundle=self._journal.bundle,
        )

    def _noted(self, record: Record) -> Done:
        """Writes the sidecar first: what the journal has needs nothing more."""
        problem = None
        if self._write_sidecar is not None and record.caption is not None:
            try:
                written = self._write_sidecar(record.path, record.caption)
            except SidecarError as error:
                problem = str(error)
                self.counts.sidecars_failed += 1
            else:
                self.counts.sidecars_kept += not written
                record = record._replace(sidecar=WRITTEN if written else KEPT)
        self._journal.append(record)
        return Done(record.path, problem)

    def _failed(self, photo: Found | Unreachable, reason: str) -> Done:
        self._in_flight.discard(photo)
        self.counts.failed += 1
        return Done(photo.name, reason)
