"""What the output file of a library says of each photo, small enough for a million of them."""

from __future__ import annotations

import struct
from typing import NamedTuple

from edgecap_runtime.records import SIDECARS, Record


class Known(NamedTuple):
    """A record without its words.

    Attributes:
        offset: its place in the output, higher for later ones: in a file where its line begins,
            in bytes.
        size, mtime_ns, sidecar: as in `edgecap_runtime.records.Record`.
        same_bundle: whether it was made with the bundle of this run.
        failed: whether it is an error.
    """

    offset: int
    size: int
    mtime_ns: int
    same_bundle: bool
    failed: bool
    sidecar: str | None


class Index:
    """`Known` by path, in about 200 bytes each.

    A path is kept as its hash of 64 bits: of a million, two share one with a probability of
    3e-8, and the later of these two would count.
    """

    _PACKED = struct.Struct("<qqqB")

    def __init__(self, bundle: str) -> None:
        self._bundle = bundle
        self._packed: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def get(self, path: str) -> Known | None:
        """What is known of a path."""
        packed = self._packed.get(hash(path))
        if packed is None:
            return None
        offset, size, mtime_ns, flags = self._PACKED.unpack(packed)
        return Known(offset, size, mtime_ns, bool(flags & 1), bool(flags & 2), SIDECARS[flags >> 2])

    def put(self, record: Record, offset: int) -> int | None:
        """Remembers the record that stands at `offset`; gives the place of an earlier one."""
        flags = (
            (record.bundle == self._bundle)
            | (record.error is not None) << 1
            | SIDECARS.index(record.sidecar) << 2
        )
        key = hash(record.path)
        before = self._packed.get(key)
        self._packed[key] = self._PACKED.pack(offset, record.size, record.mtime_ns, flags)
        return None if before is None else self._PACKED.unpack(before)[0]
