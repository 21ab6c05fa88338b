"""A photo in any form -> the uint8 array the encoder takes, in training and on the device.

Pillow decodes, within limits (`edgecap.photo_file`) that keep a photo from taking minutes, or more
memory than a small device has. Whatever is wrong with a photo becomes an `ImageError` of one line.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
import warnings
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from edgecap.errors import ImageError, UsageError
from edgecap.exif import orientation
from edgecap.memory import give_back
from edgecap.photo_file import (
    MAXIMUM_FILE_BYTES,
    MAXIMUM_PIXELS,
    Refusal,
    check_size,
    parse,
)

_FILTERS = "bilinear bicubic lanczos box nearest"
RESAMPLING = {name: Image.Resampling[name.upper()] for name in _FILTERS.split()}

_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
_UPRIGHT = {i: Image.Transpose[turn] for i, turn in enumerate(_TURNS.split(), start=2)}

LARGE_PIXELS = 8_000_000  # decoded ones; what smaller photos leave behind is little

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
    with _Explained(source, name), _Quiet():
        if isinstance(source, np.ndarray):
            image = _from_array(source)
        elif isinstance(source, Image.Image):
            image = source
        else:
            image = parse(_read(source), side)
        check_size(image)
        large = image.width * image.height >= LARGE_PIXELS
        if large:  # earlier ones, whose memory may have been in use until now
            give_back()
        image.load()
        rgb = _rgb(image, max(1, min(image.size) // side))
        if (turn := _UPRIGHT.get(orientation(image))) is not None:
            rgb = rgb.transpose(turn)
            rgb.info = {}  # so that decoding the result again does not turn it again
        if large:
            del image
            give_back()
        return rgb


def embedded_xmp(path: str | os.PathLike[str]) -> bytes | None:
    """Return the XMP packet that a photo's file holds; None if it cannot be read or has none."""
    with contextlib.suppress(Exception), _Quiet():
        packet = parse(_read(path), side=1).info.get("xmp")
        return packet if isinstance(packet, bytes) else None
    return None


def _read(source: object) -> bytes:
    if isinstance(source, str | os.PathLike):
        status = os.stat(source)  # noqa: PTH116 (pathlib is slow to import)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe could wait for ever
            raise Refusal("is a folder or a device; expected a file: give the path of a photo")
        size = status.st_size
    else:
        source = source.read(MAXIMUM_FILE_BYTES + 1) if hasattr(source, "read") else source
        if not isinstance(source, bytes | bytearray | memoryview):
            raise Refusal("expected a path, bytes, a binary file, an image or a uint8 array")
        size = len(source)
    if size == 0:
        raise Refusal("is empty (0 bytes); copy it again from its source")
    if size > MAXIMUM_FILE_BYTES:
        raise Refusal(f"has {size:,} bytes; expected {MAXIMUM_FILE_BYTES:,} at most: shrink it")
    if not isinstance(source, str | os.PathLike):
        return bytes(source)
    with io.FileIO(source) as file:
        return file.read()


def _from_array(array: np.ndarray[Any, np.dtype[Any]]) -> Image.Image:
    shape, dtype = array.shape, array.dtype
    if dtype != np.uint8 or len(shape) < 2 or 0 in shape or shape[2:] not in ((), (3,), (4,)):
        expected = "uint8, 0 to 255, of shape (height, width), (height, width, 3) or (..., 4)"
        raise Refusal(f"is {dtype} of shape {shape}; expected {expected}: convert it")
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
            raise Refusal("has floats or a range other than 0 to 65535; save it with 8 or 16 bits")
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


class _Explained:
    """Turns whatever goes wrong with `source` into an `ImageError` of one line.

    No generator: with an exception it is a cycle that holds a photo until garbage is collected.
    """

    def __init__(self, source: object, name: str | None) -> None:
        self._source, self._name = source, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception):
            raise ImageError(f"{self._shown_name()}: {_reason(error)}") from error

    def _shown_name(self) -> str:
        name = self._name
        if name is None and isinstance(self._source, str | os.PathLike):
            name = os.fsdecode(self._source)
        elif name is None:
            name = f"photo given as {type(self._source).__name__}"
        return name if name.isprintable() else ascii(name)


def _reason(error: Exception) -> str:
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, OSError) and error.errno:  # the system's; Pillow's have no number
        return f"{os.strerror(error.errno).lower()}; check its path and access rights"
    if isinstance(error, MemoryError | Image.DecompressionBombError):
        return "decoding it takes more memory than there is; resize it"
    cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"damaged or cut short ({cause}); copy it again from its source"
