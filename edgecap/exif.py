"""Which way up a photo is, from its EXIF or XMP, without unpacking what else these hold.

Pillow would unpack all of it: a megabyte whose tags all point to the same bytes becomes gigabytes.
Source: TIFF 6.0, section 2; CIPA DC-008 (Exif 2.32), 4.6.4; XMP Specification Part 2, 3.3.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112
# TIFF's types of one to four bytes that hold whole numbers, as `struct` spells them.
BYTE, ASCII, SHORT, LONG, UNDEFINED = 1, 2, 3, 4, 7
_NUMBERS = {BYTE: "B", SHORT: "H", LONG: "I"}
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


class Tag(NamedTuple):
    """An entry of a directory: how many values, and the only one if it is a whole number."""

    tag: int
    type: int
    values: int
    number: int | None


def directory(data: bytes) -> Iterator[Tag]:
    """The tags of the first directory of a TIFF file, or of EXIF data, which is one.

    Raises:
        struct.error: where the data ends before the directory does.
    """
    order = "<" if data[:2] == b"II" else ">"
    (begin,) = struct.unpack_from(f"{order}I", data, 4)
    (tags,) = struct.unpack_from(f"{order}H", data, begin)
    for place in range(begin + 2, begin + 2 + 12 * tags, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", data, place)
        number = None
        if count == 1 and kind in _NUMBERS:
            (number,) = struct.unpack_from(order + _NUMBERS[kind], data, place + 8)
        yield Tag(tag, kind, count, number)


def orientation(image: Image.Image) -> int:
    """EXIF's orientation of an opened image, 1 to 8; 1 (upright) where nothing readable says so."""
    found = _from_tags(image)
    packet = image.info.get("xmp")
    if found is None and isinstance(packet, bytes) and (match := _XMP_ORIENTATION.search(packet)):
        found = int(match[1])
    return found if found is not None and 1 <= found <= 8 else 1


def _from_tags(image: Any) -> int | None:
    if hasattr(image, "tag_v2"):  # of a TIFF
        number = image.tag_v2.get(ORIENTATION)
        return number if isinstance(number, int) else None
    try:
        if (data := image.info.get("exif")) is None:
            # ImageMagick's way: three lines, then EXIF in hexadecimal digits.
            text = image.info["Raw profile type exif"]
            data = bytes.fromhex("".join(text.split("\n")[3:]))
        data = re.sub(rb"^(?:Exif\0\0){1,2}", b"", data)
        return next((tag.number for tag in directory(data) if tag.tag == ORIENTATION), None)
    except (KeyError, TypeError, ValueError, AttributeError, struct.error):
        return None
