"""The output file of a run over a library: a record a line, appended as each is done.

Whatever ends the run, the file holds whole lines: what was cut short is removed when it is opened
again. Of two records of one path the later counts, and the earlier is removed when the file is
closed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from edgecap.errors import OutputError, UsageError
from edgecap.files import sync_folder, whole_file
from edgecap_runtime.known import Index, Known
from edgecap_runtime.locking import open_alone
from edgecap_runtime.records import Csv, DamagedLine, ForeignLine, Format, JsonLines, Record

FORMATS: dict[str, Format] = {".jsonl": JsonLines(), ".csv": Csv()}
# What a power cut may cost, beside the photos in flight.
SYNC_SECONDS = 1.0
_LONGEST_LINE = 1_000_000


class Journal:
    """The output file, open and locked for this process. Use it in a `with` statement.

    One thread may append and read; any may ask what is known.

    Args:
        path: ends in one of `FORMATS`; made if there is nothing.
        bundle: SHA-256 of the bundle that this run captions with.

    Attributes:
        name: the path as it was given.
        bundle: as given.
        end: where the next line will begin, in bytes.
        damaged: lines that could not be read; nothing is known of their photos.

    Raises:
        UsageError: if there cannot be such a file at `path`, or edgecap did not write it.
        OutputError: if another process has it, or it cannot be read or written.
    """

    def __init__(self, path: str, bundle: str) -> None:
        self.name, self.bundle = path, bundle
        self.end = self.damaged = 0
        self._format = _format(path)
        # What a link points to is replaced, not the link.
        self._path = Path(os.path.realpath(path))
        self._index = Index(bundle)
        self._dropped: set[int] = set()
        with self._explained(), contextlib.ExitStack() as opening:
            self._file = opening.enter_context(open_alone(self._path, path))
            self._load()
            self._mend()
            opening.pop_all()
        self._unsynced = False
        self._failure: OSError | None = None
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync_regularly, daemon=True)
        self._syncing.start()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._closing.set()
        self._syncing.join()
        with self._explained(), self._file:
            # Where no more can be written, nothing can be rewritten either.
            if isinstance(error, OutputError):
                return
            if self._failure is not None:
                raise self._failure
            if self._dropped:
                self._rewrite()

    def __len__(self) -> int:
        """Photos that the file knows."""
        return len(self._index)

    def known(self, path: str) -> Known | None:
        """What the file says of the photo at a path."""
        return self._index.get(path)

    def read(self, offset: int) -> Record:
        """The record that begins at `offset`.

        Raises:
            OutputError: if it cannot be read any more.
        """
        try:
            with self._explained(), self._path.open("rb") as file:
                file.seek(offset)
                return self._format.decode(file.readline())
        except (DamagedLine, ForeignLine) as error:
            raise OutputError(f"{self.name}: somebody changed it; start again") from error

    def append(self, record: Record) -> None:
        """Writes a record down. A second later a power cut does not take it any more.

        Raises:
            OutputError: if the disk is full or gone. The file then ends with the record before.
        """
        begin = self.end
        with self._explained():
            if self._failure is not None:
                raise self._failure
            self._write(self._format.encode(record))
        self._note(record, begin)

    def _load(self) -> None:
        """Notes all records; `end` is then where the last whole line ends."""
        records = 0
        for begin, line in self._lines():
            self.end = begin + len(line)
            if begin == 0 and self._format.header:
                if line != self._format.header:
                    raise self._foreign()
                continue
            try:
                record = self._format.decode(line)
            except DamagedLine:
                self.damaged += 1
                self._dropped.add(begin)
            except ForeignLine:
                raise self._foreign() from None
            else:
                records += 1
                self._note(record, begin)
        if self.damaged and not records:
            raise self._foreign()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Where each line begins, and the line; not one without an end behind them."""
        begin = 0
        with self._path.open("rb") as file:
            for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
                if line.endswith(b"\n") or len(line) == _LONGEST_LINE:
                    yield begin, line
                    begin += len(line)

    def _mend(self) -> None:
        """Removes a last line without an end, and begins a file that is empty."""
        with self._path.open("rb") as file:
            file.seek(self.end)
            rest = file.read(_LONGEST_LINE)
        if rest:
            if not self._is_ours(rest):
                raise self._foreign()
            self.damaged += 1
            self._file.truncate(self.end)
        if self.end == 0:
            self._write(self._format.header)
        os.fsync(self._file.fileno())
        sync_folder(self._path.parent)

    def _is_ours(self, rest: bytes) -> bool:
        """Whether what has no end may be the beginning of a line of ours."""
        try:
            self._format.decode(rest)
        except ForeignLine:
            return False
        except DamagedLine:
            pass
        begins = self._format.beginning
        alike = begins.startswith(rest) or rest.startswith(begins)
        # A power cut may leave zeros.
        return self.end > 0 or alike or not rest.strip(b"\0")

    def _note(self, record: Record, begin: int) -> None:
        before = self._index.put(record, begin)
        if before is not None:
            self._dropped.add(before)

    def _write(self, line: bytes) -> None:
        """Appends all of a line or nothing; OSError if it is nothing."""
        rest = line
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self.end)
            raise
        self.end += len(line)
        self._unsynced = True

    def _sync_regularly(self) -> None:
        """Keeps what was appended on the disk without holding up who appends."""
        over = False
        while not over:
            over = self._closing.wait(SYNC_SECONDS)
            if self._unsynced:
                self._unsynced = False
                try:
                    os.fsync(self._file.fileno())
                except OSError as error:
                    self._failure = error

    def _rewrite(self) -> None:
        """The file without what later records took the place of, and without damaged lines."""
        with whole_file(self._path) as new:
            new.writelines(line for begin, line in self._lines() if begin not in self._dropped)
            if sys.platform == "win32":  # which renames nothing over an open file
                self._file.close()
        sync_folder(self._path.parent)

    def _foreign(self) -> UsageError:
        return UsageError(
            f"--output {self.name}: exists, and is no output of this version of edgecap: choose "
            "another name, or move it away"
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write {self.name} ({error.strerror}): free space or check its access "
                "rights; then the same command goes on"
            ) from error


def _format(path: str) -> Format:
    ending = os.path.splitext(path)[1].lower()  # noqa: PTH122
    if ending not in FORMATS:
        raise UsageError(f"--output {path}: expected a name that ends in {' or '.join(FORMATS)}")
    return FORMATS[ending]
