"""Captions in XMP files beside the photos: `photo.jpg.xmp`, as photo managers read them.

The caption is written as `dc:description` and as IPTC's alternative text, and with it the hash of
what was written: a text with another hash is somebody's own.

Source: IPTC Photo Metadata Standard 2021.1.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from edgecap.errors import SidecarError
from edgecap.files import whole_file
from edgecap_runtime.rdf import XmpError
from edgecap_runtime.xmp import EMPTY, Packet, Property

DESCRIPTION = Property("dc", "http://purl.org/dc/elements/1.1/", "description", True)
ALTERNATIVE_TEXT = Property(
    "Iptc4xmpCore", "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", "AltTextAccessibility", True
)
# SHA-256 of the caption that edgecap wrote last.
OURS = Property("edgecap", "urn:edgecap:xmp/1.0/", "CaptionSHA256", False)
TEXTS = (DESCRIPTION, ALTERNATIVE_TEXT)
PROPERTIES = (*TEXTS, OURS)
MAXIMUM_BYTES = 16_000_000


def write_sidecar(photo: str, caption: str, *, overwrite: bool = False) -> bool:
    """Writes a caption into the sidecar of a photo, which itself is only read.

    All else in the sidecar stays as it is. Somebody's own words stay too, those in the photo
    included, which the sidecar would hide; so does a sidecar of the shorter name, `photo.xmp`,
    which programs leave unread where there is a `photo.jpg.xmp`.

    Args:
        photo: path of the photo.
        caption: one line; if it is empty nothing is written.
        overwrite: whether somebody's own words give way.

    Returns:
        Whether the caption stands in both places now.

    Raises:
        SidecarError: if the sidecar cannot be read, is no XMP, or cannot be written.
    """
    path = Path(f"{photo}.xmp")
    before = _read(path)
    shorter = Path(photo).with_suffix(".xmp")
    if not caption or (before is None and not overwrite and shorter.exists()):
        return False
    try:
        packet = Packet(before or EMPTY, PROPERTIES)
        stale = [text for text in TEXTS if packet.text(text) != caption]
        kept = [] if overwrite else _somebodys_own(stale, packet, photo)
        if len(stale) > len(kept):
            for text in stale:
                if text not in kept:
                    packet.set(text, caption)
            packet.set(OURS, _sha256(caption))
            _write(path, packet.content())
    except XmpError as error:
        raise SidecarError(f"{path}: {error}: mend it or move it away") from error
    return not kept


def _somebodys_own(texts: list[Property], packet: Packet, photo: str) -> list[Property]:
    """Those of the texts that edgecap did not write."""
    ours = packet.text(OURS)
    complete = all(packet.text(text) for text in texts)
    in_photo = None if complete else _packet_in(photo)

    def is_theirs(text: Property) -> bool:
        if said := packet.text(text):
            return _sha256(said) != ours
        return in_photo is not None and in_photo.text(text) != ""

    return [text for text in texts if is_theirs(text)]


def _packet_in(photo: str) -> Packet | None:
    """The packet in the photo's file, if there is one that can be read."""
    from edgecap.image import embedded_xmp

    with contextlib.suppress(XmpError):
        if content := embedded_xmp(photo):
            return Packet(content, PROPERTIES)
    return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> bytes | None:
    """The file's bytes; None if there is none.

    Raises:
        SidecarError: if it cannot be read, or is too large to be a sidecar.
    """
    try:
        status = path.stat()
        # A pipe or a device would make us wait.
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAXIMUM_BYTES:
            expected = f"a file of {MAXIMUM_BYTES:,} bytes at most"
            raise SidecarError(f"{path}: expected {expected}: move it away")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"cannot be read ({error.strerror}): check its access rights"
        raise SidecarError(f"{path}: {reason}") from error


def _write(path: Path, content: bytes) -> None:
    """Puts the sidecar in its place, whole.

    Raises:
        XmpError: if it could not be read again.
        SidecarError: if it cannot be written.
    """
    Packet(content, PROPERTIES)
    try:
        # What a link points to is replaced, not the link.
        with whole_file(Path(os.path.realpath(path))) as file:
            file.write(content)
    except OSError as error:
        raise SidecarError(
            f"{path.parent}: no sidecar can be written there ({error.strerror}): "
            "make it writable, or leave out --sidecar"
        ) from error
