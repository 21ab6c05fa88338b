"""A bundle: two graphs, a tokenizer and the manifest that vouches for them.

On disk it is a folder `NAME.edgecap/` or one zip file of that name with the same members;
every command takes either. Nothing in a member is used before its size and SHA-256 have
been found to be what the manifest says.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgecap import schema
from edgecap.contract import check_manifest
from edgecap.errors import BundleError, UsageError
from edgecap.manifest import (
    DECODER,
    ENCODER,
    FORMAT,
    MEMBERS,
    TOKENIZER,
    VERSION,
    Manifest,
    content_sha256,
)
from edgecap.storage import FolderStorage, Storage, ZipStorage, write_folder, write_zip
from edgecap.tokenizer import Tokenizer

MANIFEST = "manifest.json"
MAXIMUM_MANIFEST_BYTES = 1_000_000


def read_manifest(content: bytes) -> Manifest:
    """Reads and checks what `Manifest.to_json` wrote.

    Raises:
        BundleError: if it is not a manifest, of another version, not the one that was
            sealed, or contradicts itself.
    """
    try:
        value = schema.parse(content)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise BundleError(f'{MANIFEST} does not say "format": "{FORMAT}"')
        if value.get("version") != VERSION:
            raise BundleError(
                f"bundle version {str(value.get('version'))[:20]} is unknown, this edgecap "
                f"reads version {VERSION}: upgrade edgecap or make the bundle again"
            )
        manifest = schema.from_value(Manifest, value)
        found = content_sha256(value)
    except (schema.SchemaError, UnicodeEncodeError) as error:
        raise BundleError(f"{MANIFEST} is broken ({error}): get the bundle again") from error
    if found != manifest.sha256:
        raise BundleError(f"{MANIFEST} was changed (its SHA-256 differs): get the bundle again")
    check_manifest(manifest)
    return manifest


@dataclass(frozen=True)
class Bundle:
    """An opened bundle, every member checked. The graphs are kept as the bytes of the files."""

    path: str
    manifest: Manifest
    tokenizer: Tokenizer
    encoder: bytes
    decoder: bytes

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Opens a bundle folder or zip file.

        Raises:
            UsageError: if there is nothing at `path`.
            BundleError: if it is not a sound bundle.
        """
        with _named(path):
            with open_storage(path) as storage:
                manifest = read_manifest(storage.read(MANIFEST, MAXIMUM_MANIFEST_BYTES))
                storage.check_names({MANIFEST, *MEMBERS})
                content = {name: _read_member(storage, manifest, name) for name in MEMBERS}
            tokenizer = Tokenizer.from_json(content[TOKENIZER])
            vocabulary = next(t.shape[-1] for t in manifest.decoder.outputs if t.name == "scores")
            if len(tokenizer) != vocabulary:
                raise BundleError(
                    f"the tokenizer has {len(tokenizer)} words and the decoder {vocabulary}: "
                    "make the bundle again"
                )
        return cls(os.fspath(path), manifest, tokenizer, content[ENCODER], content[DECODER])


def bundle_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a bundle, folder or zip file, as its manifest says; no member is opened.

    Raises:
        UsageError: if there is nothing at `path`.
        BundleError: if the manifest is not sound.
    """
    with _named(path), open_storage(path) as storage:
        return read_manifest(storage.read(MANIFEST, MAXIMUM_MANIFEST_BYTES)).sha256


@contextlib.contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except BundleError as error:
        raise BundleError(f"bundle {os.fspath(path)}: {error}") from error


def open_storage(path: str | os.PathLike[str]) -> Storage:
    """The folder or zip file at `path`, members unread.

    Raises:
        UsageError: if there is nothing at `path`.
        BundleError: if it is neither.
    """
    place = os.fspath(path)
    try:
        mode = os.stat(place).st_mode  # noqa: PTH116 (pathlib takes 3 % of a cold start)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"no bundle at {place}: give a .edgecap folder or file, "
            "or leave --bundle out to use the packaged one"
        ) from None
    except OSError as error:
        raise BundleError(f"cannot be read ({error.strerror}): check its permissions") from error
    if stat.S_ISDIR(mode):
        return FolderStorage(place)
    if not stat.S_ISREG(mode):
        raise BundleError("is neither a folder nor a regular file: give a bundle")
    return ZipStorage(place)


def _read_member(storage: Storage, manifest: Manifest, name: str) -> bytes:
    expected = manifest.members[name]
    content = storage.read(name, expected.bytes)
    if len(content) != expected.bytes:
        raise BundleError(
            f"{name} has {len(content)} bytes, the manifest says {expected.bytes}: "
            "get the bundle again"
        )
    if hashlib.sha256(content).hexdigest() != expected.sha256:
        raise BundleError(f"{name} was changed (its SHA-256 differs): get the bundle again")
    return content


def write_bundle(
    path: str | os.PathLike[str],
    manifest: Manifest,
    members: Mapping[str, bytes],
    as_zip: bool = False,
) -> Manifest:
    """Seals the manifest and writes the bundle beside `path`, then renames it into place.

    Args:
        path: where the bundle will stand; an older bundle there is replaced.
        members: content of `MEMBERS`, by name.
        as_zip: one deflated zip file instead of a folder.

    Returns:
        The sealed manifest.

    Raises:
        BundleError: if the manifest contradicts itself or the place cannot be written.
    """
    from pathlib import Path

    sealed = manifest.sealed(members)
    check_manifest(sealed)
    content = {MANIFEST: sealed.to_json(), **dict(sorted(members.items()))}
    (write_zip if as_zip else write_folder)(Path(path), content)
    return sealed
