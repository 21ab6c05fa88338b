"""The output of a run on a cluster: a folder of shards, on a shared disk or in object storage.

Nothing can be appended to an object or to a Parquet file, so results are written some at a time,
each shard whole or not at all. Of two records of one path the later counts; the earlier is removed
when the folder is closed.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from edgecap.errors import EdgecapError, OutputError, UsageError
from edgecap_runtime.folders import Disk, Folder, Storage
from edgecap_runtime.known import Index, Known
from edgecap_runtime.parquet import Parquet
from edgecap_runtime.records import DamagedLine, ForeignLine, JsonLines, Record
from edgecap_runtime.stored import is_stored, reason

# A shard is written when it has so many records, or was begun so long ago.
RECORDS, SECONDS = 1_000, 60.0
# Shards are named by their number and by the run that wrote them: what two runs write at once,
# where nothing can be locked, does not meet.
_NAME = re.compile(r"part-(\d{6,})-[0-9a-f]{8}\.\w+")
# A place is the number of a shard and that of a record in it.
_ROW_BITS = 32


class ShardFormat(Protocol):
    """How records become the content of a file."""

    def encode(self, records: Sequence[Record]) -> bytes:
        """All of a file."""

    def decode(self, content: bytes) -> list[Record]:
        """What `encode` wrote.

        Raises:
            DamagedLine, ForeignLine: if it is something else.
        """


class JsonLinesFile:
    """A line for each record."""

    def encode(self, records: Sequence[Record]) -> bytes:
        return b"".join(map(JsonLines().encode, records))

    def decode(self, content: bytes) -> list[Record]:
        return list(map(JsonLines().decode, content.splitlines(keepends=True)))


FORMATS: dict[str, ShardFormat] = {".jsonl": JsonLinesFile(), ".parquet": Parquet()}


class Shards:
    """The folder of shards, locked for this process where it can be. Use it in a `with` statement.

    It does what `edgecap_runtime.journal.Journal` does, for one thread; any may ask what is known.

    Args:
        path: of the folder, or an address for fsspec; ends in one of `FORMATS`; made if there is
            nothing.
        bundle: SHA-256 of the bundle that this run captions with.

    Raises:
        UsageError: if there cannot be such a folder at `path`, or edgecap did not write it.
        OutputError: if another process has it, or it cannot be read or written.
    """

    # What is not whole has no name.
    damaged = 0

    def __init__(self, path: str, bundle: str) -> None:
        self.name, self.bundle = path, bundle
        self._ending = os.path.splitext(path)[1].lower()  # noqa: PTH122
        if self._ending not in FORMATS:
            expected = " or ".join(FORMATS)
            raise UsageError(
                f"--output {path}: with --cluster expected a name ending in {expected}"
            )
        self._format = FORMATS[self._ending]
        self._index = Index(bundle)
        self._run = uuid.uuid4().hex[:8]
        self._begun: list[Record] = []
        self._begun_at = 0.0
        # Rows of each shard that later records took the place of.
        self._dropped: defaultdict[int, set[int]] = defaultdict(set)
        self._cached = lru_cache(maxsize=8)(self._read)
        with self._explained(), contextlib.ExitStack() as opening:
            self._folder: Folder = Storage(path) if is_stored(path) else Disk(path)
            opening.enter_context(self._folder.alone())
            self._shards = self._folder.names()
            for name in self._shards:
                if not _NAME.fullmatch(name) or not name.endswith(self._ending):
                    raise self._foreign(name)
            for shard in range(len(self._shards)):
                for row, record in enumerate(self._read(shard)):
                    self._note(record, _place(shard, row))
            self._opened = opening.pop_all()

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        with self._opened, self._explained():
            # Where no more can be written, nothing can be rewritten either.
            if not isinstance(error, OutputError):
                self._flush()
                self._rewrite()

    def __len__(self) -> int:
        """Photos that the shards know."""
        return len(self._index)

    @property
    def end(self) -> int:
        """The place of the next record; later ones have higher places."""
        return _place(len(self._shards), len(self._begun))

    def known(self, path: str) -> Known | None:
        """What the shards say of the photo at a path."""
        return self._index.get(path)

    def read(self, place: int) -> Record:
        """The record at a place.

        Raises:
            OutputError: if it cannot be read any more.
        """
        shard, row = _shard(place)
        if shard == len(self._shards):
            return self._begun[row]
        with self._explained():
            return self._cached(shard)[row]

    def append(self, record: Record) -> None:
        """Takes a record; it is written with others that come after it.

        Raises:
            OutputError: if the shard that it completes cannot be written.
        """
        self._note(record, self.end)
        if not self._begun:
            self._begun_at = time.monotonic()
        self._begun.append(record)
        if len(self._begun) >= RECORDS or time.monotonic() - self._begun_at >= SECONDS:
            with self._explained():
                self._flush()

    def _note(self, record: Record, place: int) -> None:
        before = self._index.put(record, place)
        if before is not None:
            shard, row = _shard(before)
            self._dropped[shard].add(row)

    def _flush(self) -> None:
        if not self._begun:
            return
        last = _NAME.fullmatch(self._shards[-1]) if self._shards else None
        number = int(last[1]) + 1 if last else 0
        name = f"part-{number:06}-{self._run}{self._ending}"
        self._folder.write(name, self._format.encode(self._begun))
        self._shards.append(name)
        self._begun = []

    def _rewrite(self) -> None:
        """Removes what later records took the place of."""
        for shard, rows in self._dropped.items():
            kept = [one for row, one in enumerate(self._read(shard)) if row not in rows]
            if kept:
                self._folder.write(self._shards[shard], self._format.encode(kept))
            else:
                self._folder.remove(self._shards[shard])

    def _read(self, shard: int) -> list[Record]:
        name = self._shards[shard]
        try:
            return self._format.decode(self._folder.read(name))
        except (DamagedLine, ForeignLine):
            raise self._foreign(name) from None

    def _foreign(self, name: str) -> UsageError:
        return UsageError(
            f"--output {self.name}: holds {name}, no output of this version of edgecap: choose "
            "another name, or move it away"
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except EdgecapError:
            raise
        except Exception as error:  # storage has errors of its own
            raise OutputError(
                f"cannot write {self.name} ({reason(error)}): free space or check its access "
                "rights; then the same command goes on"
            ) from error


def _place(shard: int, row: int) -> int:
    return shard << _ROW_BITS | row


def _shard(place: int) -> tuple[int, int]:
    """The shard of a place, and the row in it."""
    return place >> _ROW_BITS, place & (1 << _ROW_BITS) - 1
