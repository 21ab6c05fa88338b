"""A photo's file -> a Pillow image that can be decoded in bounded time and memory.

Pillow's parsers are written in Python, loop over what a file says that it has, and keep what they
find. Each loop reads: so how often and how much they read is counted. The few ways in which a
little that is read costs much (sizes, scans, tags, texts, decoders in Python) have limits of their
own. All are checked before the pixels are decoded.
"""

from __future__ import annotations

import importlib
import io
import re
import struct
from typing import Any

from PIL import Image

from edgecap import exif

# Not AVIF, which Pillow's wheels for Windows on Arm lack; not plain PPM, over 1 s a megapixel.
FORMATS: tuple[str, ...] = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAXIMUM_PIXELS = 64_000_000  # that are decoded: a JPEG may be reduced while it is
MAXIMUM_JPEG_PIXELS = 256_000_000
MAXIMUM_SIDE = 65_535  # pixels, as in JPEG; Pillow's raw decoder is quadratic in a row's bytes
MAXIMUM_FILE_BYTES = 256_000_000
MAXIMUM_MEMORY = 320_000_000  # bytes held while decoding, beside the interpreter and the model
# Beside the pixels: thumbnails, profiles, depth maps. Twice that of a TIFF, whose tags are read
# twice.
MAXIMUM_HEADER_BYTES = 16_000_000
MAXIMUM_READS = 1_000_000  # half a microsecond each, and what the loop around it takes
# Every scan of a JPEG visits all pixels, 50 ms at 64 megapixels, for as little as 100 bytes of
# file. Encoders write about ten; libtiff draws the line at 100 too.
MAXIMUM_SCANS = 100
MAXIMUM_PARTS = 100_000  # segments of a JPEG, chunks of a PNG
MAXIMUM_TEXTS = 16  # packed ones of a PNG, which Pillow unpacks to a megabyte of letters each
MAXIMUM_TAG_VALUES = 65_535  # offsets of a TIFF's strips, mostly; each becomes half a kilobyte
# Decoders written in Python take 6 microseconds a pixel: run-length BMP, PPM that is not of 8 bits.
MAXIMUM_SLOW_PIXELS = 640 * 480

# Named as Pillow's modules: `Image.open` would import five parsers, or all forty, to find one,
# and warn of large photos by its own limit.
_SIGNATURES = re.compile(
    rb"(?P<Jpeg>\xff\xd8\xff)|(?P<Png>\x89PNG\r\n\x1a\n)|(?P<WebP>RIFF....WEBP)"
    rb"|(?P<Gif>GIF8[79]a)|(?P<Bmp>BM)|(?P<Tiff>II\*\0|MM\0\*)|(?P<Ppm>P[456]\s)",
    re.DOTALL,
)
_JPEG_SEGMENT = re.compile(rb"\xff([^\0\1\xd0-\xd8\xff])(..)", re.DOTALL)
_PNG_BEGIN, _WEBP_BEGIN = 8, 12
_TOO_MUCH_METADATA = (
    f"has more than {MAXIMUM_HEADER_BYTES:,} bytes beside its pixels; save it without metadata"
)


class Refusal(Exception):
    """Why a photo is refused and what to do, without its name."""


def parse(data: bytes, side: int) -> Image.Image:
    """The photo in a file's bytes, its header read; `load` decodes it.

    Args:
        data: the content of the file.
        side: pixels: a JPEG may come reduced by 2, 4 or 8, neither side below this.

    Raises:
        Refusal: if it is of none of `FORMATS`, or beyond a limit.
        Exception: whatever Pillow raises for what is damaged.
    """
    if not (signature := _SIGNATURES.match(data)) or not (kind := signature.lastgroup):
        found = "HEIF or AVIF" if data[4:8] == b"ftyp" else f"a file beginning with {data[:12]!r}"
        raise Refusal(f"expected {', '.join(FORMATS)}, found {found}; convert it to JPEG")
    scans = _CHECKS[kind](data) if kind in _CHECKS else 1
    reader = _Reader(data, _header_bytes(kind, data))
    image = _open(kind, reader)
    whole = image.width * image.height
    image.draft("RGB", (side, side))
    check_size(image)
    if whole > MAXIMUM_JPEG_PIXELS:
        raise Refusal(f"has {whole:,} pixels; expected {MAXIMUM_JPEG_PIXELS:,} at most: resize it")
    if any(tile[0] in Image.DECODERS for tile in image.tile) and whole > MAXIMUM_SLOW_PIXELS:
        raise Refusal(
            f"is {image.width} x {image.height} pixels; expected {MAXIMUM_SLOW_PIXELS:,} at most "
            f"in this kind of {image.format}: convert it to PNG"
        )
    needed = len(data) + 3 * reader.header_bytes + 4 * image.width * image.height
    if kind == "WebP":  # libwebp holds two canvases, and hands one over as bytes
        needed += 12 * whole
    elif kind == "Tiff":
        needed += _tiff_memory(image)
    elif scans > 1 or image.info.get("progressive"):  # 2 bytes a coefficient till the last scan
        factors = [across * down for _, across, down, _ in image.layer]
        needed += 2 * whole * sum(factors) // max(factors)
    if needed > MAXIMUM_MEMORY:
        raise Refusal(f"takes {needed:,} bytes to decode, over {MAXIMUM_MEMORY:,}; resize it")
    reader.header_done()
    return image  # type: ignore[no-any-return]


def check_size(image: Image.Image) -> None:
    """Raises Refusal if an image has no pixels, too many, or too many in a row."""
    width, height = image.size
    if not 0 < width * height <= MAXIMUM_PIXELS:
        raise Refusal(f"is {width} x {height} pixels; expected 1 to {MAXIMUM_PIXELS:,}: resize it")
    if max(width, height) > MAXIMUM_SIDE:
        raise Refusal(
            f"is {width} x {height} pixels; expected sides of {MAXIMUM_SIDE:,} at most: resize it"
        )


class _Reader(io.BytesIO):
    """A file's bytes for Pillow: whatever its parsers loop over or keep, they read first."""

    def __init__(self, data: bytes, maximum_header_bytes: int) -> None:
        super().__init__(data)
        self.header_bytes = 0
        self._most, self._reads = maximum_header_bytes, 0
        self._in_header = True

    def header_done(self) -> None:
        """From now on pixels are read, which are not kept."""
        self._in_header = False

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file's; raises Refusal for the read that is one, or some bytes, too many."""
        self._reads += 1
        if self._reads > MAXIMUM_READS:
            raise Refusal(f"has more than {MAXIMUM_READS:,} parts to read; save it again as JPEG")
        content = super().read(size)
        if self._in_header:
            self.header_bytes += len(content)
            if self.header_bytes > self._most:
                raise Refusal(_TOO_MUCH_METADATA)
        return content


class _OrientationOnly(Image.Image):
    """Of the EXIF, Pillow is to know the orientation and nothing else: see `edgecap.exif`."""

    _orientation: Image.Exif | None = None

    def getexif(self) -> Image.Exif:
        if self._orientation is None:
            self._orientation = Image.Exif()
            self._orientation[exif.ORIENTATION] = exif.orientation(self)
        return self._orientation


def _open(kind: str, reader: _Reader) -> Any:
    """Pillow's image of a kind, as it is named there, without its own reading of EXIF."""
    module = importlib.import_module(f"PIL.{kind}ImagePlugin")
    plain = getattr(module, f"{kind}ImageFile")
    return type(plain.__name__, (_OrientationOnly, plain), {})(reader, "")


def _header_bytes(kind: str, data: bytes) -> int:
    if kind == "WebP":  # read whole
        return len(data)
    return MAXIMUM_HEADER_BYTES * (2 if kind == "Tiff" else 1)


def _check_jpeg(data: bytes) -> int:
    """How many scans the (first) picture of a JPEG has, or refuse too many to decode."""
    scans = segments = position = 0
    while (segment := _JPEG_SEGMENT.search(data, position)) and segment[1] != b"\xd9":  # its end
        segments += 1
        scans += segment[1] == b"\xda"
        if scans > MAXIMUM_SCANS or segments > 100 * MAXIMUM_SCANS:
            raise Refusal(f"has over {MAXIMUM_SCANS} scans or {segments} parts; save it again")
        position = segment.start() + 2 + max(2, int.from_bytes(segment[2], "big"))
    return scans


def _check_png(data: bytes) -> int:
    """Refuse a PNG of too many chunks or packed texts."""
    position, texts = _PNG_BEGIN, 0
    for _ in range(MAXIMUM_PARTS):
        if position + 8 > len(data):
            return 1
        length, name = struct.unpack_from(">I4s", data, position)
        texts += name in (b"zTXt", b"iTXt")
        if texts > MAXIMUM_TEXTS:
            raise Refusal(f"has over {MAXIMUM_TEXTS} packed texts; save it again without metadata")
        position += length + 12
    raise Refusal(f"has over {MAXIMUM_PARTS:,} chunks; save it again")


def _check_webp(data: bytes) -> int:
    """Refuse a WebP of too many chunks, or with too much metadata, which Pillow copies."""
    position, metadata = _WEBP_BEGIN, 0
    for _ in range(MAXIMUM_PARTS):
        if position + 8 > len(data) or metadata > MAXIMUM_HEADER_BYTES:
            break
        name, length = struct.unpack_from("<4sI", data, position)
        metadata += length if name in (b"ICCP", b"EXIF", b"XMP ") else 0
        position += 8 + length + length % 2
    else:
        raise Refusal(f"has over {MAXIMUM_PARTS:,} chunks; save it again")
    if metadata > MAXIMUM_HEADER_BYTES:
        raise Refusal(_TOO_MUCH_METADATA)
    return 1


def _check_tiff(data: bytes) -> int:
    """Refuse a TIFF with a tag of too many values; bytes stay bytes, and may be many."""
    try:
        for tag in exif.directory(data):
            plain = tag.type in (exif.BYTE, exif.ASCII, exif.UNDEFINED)
            if tag.values > MAXIMUM_TAG_VALUES and not plain:
                raise Refusal(f"has over {MAXIMUM_TAG_VALUES:,} strips, or the like; save it again")
    except struct.error:
        raise Refusal("damaged or cut short (its directory); copy it again from its source") from (
            None
        )
    return 1


_CHECKS = {"Jpeg": _check_jpeg, "Png": _check_png, "WebP": _check_webp, "Tiff": _check_tiff}


def _tiff_memory(image: Any) -> int:
    """Bytes beside the pixels: a copy to turn them, and libtiff's buffer of a strip or tile."""
    tags, (width, height) = image.tag_v2, image.size
    memory = 0 if exif.orientation(image) == 1 else 4 * width * height
    if image.tile and image.tile[0][0] == "libtiff":
        across, down = tags.get(322), tags.get(323)  # of a tile; or the rows of a strip:
        if across is None:
            across, down = tags.get(256), min(tags.get(278, 2**32), tags.get(257))
        bits = max(tags.get(258, (1,))) * max(4, tags.get(277, 1))
        memory += across * down * bits // 8
    return memory
