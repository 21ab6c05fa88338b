"""What a bundle weighs: each member as it is, and deflated as a zip file holds it."""

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from edgecap.bundle import MANIFEST, MAXIMUM_MANIFEST_BYTES, open_storage
from edgecap.contract import MAXIMUM_MEMBER_BYTES
from edgecap.manifest import MEMBERS

# Of zip's own records: one before each member, one in the directory, one at the end.
_MEMBER_RECORDS = 30 + 46
_END_RECORD = 22


@dataclass(frozen=True)
class MemberSize:
    """Bytes of one member as a file, and deflated at level 9."""

    name: str
    bytes: int
    deflated_bytes: int


def member_sizes(path: str | os.PathLike[str]) -> tuple[MemberSize, ...]:
    """Sizes of the manifest and all members of a bundle, folder or zip file alike.

    Raises:
        UsageError: if there is nothing at `path`.
        BundleError: if a member is missing or cannot be read; contents are not checked.
    """
    with open_storage(path) as storage:
        return (
            _measure(MANIFEST, storage.read(MANIFEST, MAXIMUM_MANIFEST_BYTES)),
            *(_measure(name, storage.read(name, MAXIMUM_MEMBER_BYTES[name])) for name in MEMBERS),
        )


def folder_bytes(sizes: Iterable[MemberSize]) -> int:
    """Bytes of all files of the bundle as a folder."""
    return sum(size.bytes for size in sizes)


def zip_bytes(sizes: Iterable[MemberSize]) -> int:
    """Bytes of the bundle as `write_bundle` writes it into one zip file."""
    members = (size.deflated_bytes + _MEMBER_RECORDS + 2 * len(size.name) for size in sizes)
    return sum(members) + _END_RECORD


def _measure(name: str, content: bytes) -> MemberSize:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return MemberSize(name, len(content), len(packer.compress(content)) + len(packer.flush()))
