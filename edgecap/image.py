"""A photo in any form -> the uint8 array the encoder takes, in training and on the device.

Pillow decodes, within limits that keep a photo from taking minutes, or more memory than a small
device has. Whatever is wrong with a photo becomes an `ImageError` of one line.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from edgecap.errors import ImageError, UsageError

# Not AVIF, which Pillow's wheels for Windows on Arm lack; not plain PPM, over 1 s a megapixel.
FORMATS: tuple[str, ...] = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAXIMUM_PIXELS = 64_000_000
MAXIMUM_FILE_BYTES = 256_000_000
MAXIMUM_MEMORY = 320_000_000  # bytes held while decoding, beside the interpreter and the model
# Every scan of a JPEG visits all pixels, 50 ms at 64 megapixels, for as little as 100 bytes of
# file. Encoders write about ten; libtiff draws the line at 100 too.
MAXIMUM_SCANS = 100
_FILTERS = "bilinear bicubic lanczos box nearest"
RESAMPLING = {name: Image.Resampling[name.upper()] for name in _FILTERS.split()}

# Named as Pillow's modules: `Image.open` would import five parsers, or all forty, to find one,
# and warn of large photos by its own limit.
_SIGNATURES = re.compile(
    rb"(?P<Jpeg>\xff\xd8\xff)|(?P<Png>\x89PNG\r\n\x1a\n)|(?P<WebP>RIFF....WEBP)"
    rb"|(?P<Gif>GIF8[79]a)|(?P<Bmp>BM)|(?P<Tiff>II\*\0|MM\0\*)|(?P<Ppm>P[456]\s)",
    re.DOTALL,
)
_JPEG_SEGMENT = re.compile(rb"\xff([^\0\1\xd0-\xd8\xff])(..)", re.DOTALL)
_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
_UPRIGHT = {i: Image.Transpose[turn] for i, turn in enumerate(_TURNS.split(), start=2)}

Array: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray[Any, np.dtype[Any]]
)


def load(source: ImageSource, width: int, height: int, resampling: str = "bilinear") -> Array:
    """Return a photo as a C-contiguous uint8 RGB array of shape (height, width, 3), 0 to 255.

    The whole photo is squashed into the shape. An array that has it already is returned unchanged.
    Raises `ImageError` as `decode` does and `UsageError` as `resize` does.
    """
    wanted = (height, width, 3)
    if isinstance(source, np.ndarray) and source.shape == wanted and source.dtype == np.uint8:
        return np.ascontiguousarray(source)
    return resize(decode(source, (width, height)), width, height, resampling)


def resize(image: Image.Image, width: int, height: int, resampling: str) -> Array:
    """Squash an RGB image into a C-contiguous uint8 array of shape (height, width, 3).

    Raises `UsageError` if `resampling` is not a key of `RESAMPLING`.
    """
    if resampling not in RESAMPLING:
        raise UsageError(f"unknown resampling {resampling!r}: use one of {', '.join(RESAMPLING)}")
    return np.array(image.resize((width, height), RESAMPLING[resampling]), dtype=np.uint8)


def decode(
    source: ImageSource,
    minimum_size: tuple[int, int] = (MAXIMUM_PIXELS, MAXIMUM_PIXELS),
    name: str | None = None,
) -> Image.Image:
    """Return a photo as an upright RGB image: transparency on white, an animation's first frame.

    `source` is a path, a file's bytes, a binary file (read from where it stands), a Pillow image,
    or a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4). `minimum_size`, (width, height) in
    pixels, is what the caller will resize to: the photo may come back reduced, by a whole number,
    to no less than twice the longer of these. 16-bit grey is divided by 257; floats are refused.

    Raises `ImageError`, naming `source` (by `name` if given), if it cannot be read or decoded or
    exceeds a limit.
    """
    side = 2 * max(minimum_size)  # for both sides, as EXIF may turn the photo
    with _explained(source, name), _Quiet():
        if isinstance(source, np.ndarray):
            image = _from_array(source)
        elif isinstance(source, Image.Image):
            image = source
        else:
            image = _parse(_read(source), side)
        _check_pixels(image)
        image.load()
        rgb = _rgb(image, max(1, min(image.size) // side))
        orientation: Any = 1
        with contextlib.suppress(Exception):  # bad EXIF leaves a photo as it is stored
            if len(image.info.get("exif") or b"") < 2**20:  # or Pillow may unpack a GB of it
                orientation = image.getexif().get(0x0112)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
            rgb.info = {}  # so that decoding the result again does not turn it again
        return rgb


def embedded_xmp(path: str | os.PathLike[str]) -> bytes | None:
    """Return the XMP packet that a photo's file holds; None if it cannot be read or has none."""
    with contextlib.suppress(Exception), _Quiet(), Image.open(path, formats=FORMATS) as image:
        packet = image.info.get("xmp")
        return packet if isinstance(packet, bytes) else None
    return None


class _Refusal(Exception):
    """Why a photo is refused and what to do, without its name."""


def _read(source: object) -> bytes:
    if isinstance(source, str | os.PathLike):
        status = os.stat(source)  # noqa: PTH116 (pathlib is slow to import)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe could wait for ever
            raise _Refusal("is a folder or a device; expected a file: give the path of a photo")
        size = status.st_size
    else:
        source = source.read(MAXIMUM_FILE_BYTES + 1) if hasattr(source, "read") else source
        if not isinstance(source, bytes | bytearray | memoryview):
            raise _Refusal("expected a path, bytes, a binary file, an image or a uint8 array")
        size = len(source)
    if size == 0:
        raise _Refusal("is empty (0 bytes); copy it again from its source")
    if size > MAXIMUM_FILE_BYTES:
        raise _Refusal(f"has {size:,} bytes; expected {MAXIMUM_FILE_BYTES:,} at most: shrink it")
    if not isinstance(source, str | os.PathLike):
        return bytes(source)
    with io.FileIO(source) as file:
        return file.read()


def _parse(data: bytes, side: int) -> Image.Image:
    """Return the photo in a file's bytes, with its header read and cheap enough to decode."""
    if not (signature := _SIGNATURES.match(data)) or not (kind := signature.lastgroup):
        found = "HEIF or AVIF" if data[4:8] == b"ftyp" else f"a file beginning with {data[:12]!r}"
        raise _Refusal(f"expected {', '.join(FORMATS)}, found {found}; convert it to JPEG")
    scans = _scans(data) if kind == "Jpeg" else 1
    importlib.import_module(f"PIL.{kind}ImagePlugin")
    image: Any = Image.OPEN[kind.upper()][0](io.BytesIO(data), "")
    pixels = _check_pixels(image)
    image.draft("RGB", (side, side))
    needed = len(data) + 4 * image.width * image.height
    if kind == "WebP":  # libwebp holds two canvases, and hands one over as bytes
        needed += 12 * pixels
    elif scans > 1 or image.info.get("progressive"):  # 2 bytes a coefficient till the last scan
        factors = [across * down for _, across, down, _ in image.layer]
        needed += 2 * pixels * sum(factors) // max(factors)
    if needed > MAXIMUM_MEMORY:
        raise _Refusal(f"takes {needed:,} bytes to decode, over {MAXIMUM_MEMORY:,}; resize it")
    return image  # type: ignore[no-any-return]


def _scans(data: bytes) -> int:
    """Return how many scans the (first) picture of a JPEG has, or refuse too many to decode."""
    scans = segments = position = 0
    while (segment := _JPEG_SEGMENT.search(data, position)) and segment[1] != b"\xd9":  # its end
        segments += 1
        scans += segment[1] == b"\xda"
        if scans > MAXIMUM_SCANS or segments > 100 * MAXIMUM_SCANS:
            raise _Refusal(f"has over {MAXIMUM_SCANS} scans or {segments} parts; save it again")
        position = segment.start() + 2 + max(2, int.from_bytes(segment[2], "big"))
    return scans


def _check_pixels(image: Image.Image) -> int:
    width, height = image.size
    if not 0 < width * height <= MAXIMUM_PIXELS:
        raise _Refusal(f"is {width} x {height} pixels; expected 1 to {MAXIMUM_PIXELS:,}: resize it")
    return width * height


def _from_array(array: np.ndarray[Any, np.dtype[Any]]) -> Image.Image:
    shape, dtype = array.shape, array.dtype
    if dtype != np.uint8 or len(shape) < 2 or 0 in shape or shape[2:] not in ((), (3,), (4,)):
        expected = "uint8, 0 to 255, of shape (height, width), (height, width, 3) or (..., 4)"
        raise _Refusal(f"is {dtype} of shape {shape}; expected {expected}: convert it")
    return Image.fromarray(np.ascontiguousarray(array))


def _rgb(image: Image.Image, factor: int) -> Image.Image:
    """Return an image in RGB, reduced by a whole factor; in strips, to hold it all only once."""
    if image.mode == "RGB" and factor == 1 and not image.has_transparency_data:
        return image
    width, height = image.size
    rows = max(1, 1_000_000 // (width * factor)) * factor
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        result.paste(_opaque(strip).reduce(factor), (0, top // factor))
    return result


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":  # a grey level of 16 bits (I;16, or I of 32 bits), or a float
        values = np.asarray(image, dtype=float)  # numpy 2.1 crashes on -1 == big-endian integers
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise _Refusal("has floats or a range other than 0 to 65535; save it with 8 or 16 bits")
        grey = np.rint(values / 257).astype(np.uint8)
        grey[values == image.info.get("transparency", -1)] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "La":  # premultiplied, and Pillow converts it to LA only
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba, white = image.convert("RGBA"), Image.new("RGB", image.size, (255, 255, 255))
    white.paste(rgba, mask=rgba)
    return white


class _Quiet:
    """Hides Pillow's warnings while any thread decodes; `catch_warnings` alone mixes threads up."""

    lock, threads, filters = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if _Quiet.threads == 0:
                self.filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module="PIL")
            _Quiet.threads += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            _Quiet.threads -= 1
            if _Quiet.threads == 0:
                self.filters.close()


@contextlib.contextmanager
def _explained(source: object, name: str | None) -> Iterator[None]:
    """Turn whatever goes wrong with `source` into an `ImageError` of one line."""
    try:
        yield
    except Exception as error:
        if name is None and isinstance(source, str | os.PathLike):
            name = os.fsdecode(source)
        elif name is None:
            name = f"photo given as {type(source).__name__}"
        name = name if name.isprintable() else ascii(name)
        if isinstance(error, _Refusal):
            reason = str(error)
        elif isinstance(error, OSError) and error.errno:  # the system's; Pillow's have no number
            reason = f"{os.strerror(error.errno).lower()}; check its path and access rights"
        elif isinstance(error, MemoryError | Image.DecompressionBombError):
            reason = "decoding it takes more memory than there is; resize it"
        else:
            cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            reason = f"damaged or cut short ({cause}); copy it again from its source"
        raise ImageError(f"{name}: {reason}") from error
