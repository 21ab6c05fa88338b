"""Encoder features of all photos, computed once and kept on disk.

Letters: `N` photos, `D` encoder's feature width.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from edgecap import image
from edgecap.errors import ConversionError
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.progress import progress

RESAMPLING = "bilinear"
BATCH = 32


def load_photos(encoder: Encoder, paths: Sequence[Path]) -> npt.NDArray[np.uint8]:
    """Photos as the encoder takes them: uint8 `(N, side, side, 3)`, as the device loads them."""
    side = encoder.side
    photos = np.empty((len(paths), side, side, 3), np.uint8)
    for index, path in enumerate(paths):
        photos[index] = image.load(path, side, side, RESAMPLING)
    return photos


def encode_function(encoder: Encoder, network: Any) -> Callable[[Any], npt.NDArray[np.float16]]:
    """The compiled network: uint8 `(N, side, side, 3)` -> float16 `(N, height, width, D)`.

    It takes `BATCH` photos at a time.
    """
    tensorflow = import_tensorflow()
    photo = tensorflow.TensorSpec((None, encoder.side, encoder.side, 3), tensorflow.uint8)

    @tensorflow.function(autograph=False, input_signature=[photo])  # type: ignore[untyped-decorator]
    def encode(pixels: Any) -> Any:
        grid = network(encoder.normalize(pixels), training=False)
        return tensorflow.cast(grid, tensorflow.float16)

    def encode_all(pixels: Any) -> npt.NDArray[np.float16]:
        starts = range(0, len(pixels), BATCH)
        return np.concatenate([encode(pixels[start : start + BATCH]).numpy() for start in starts])

    return encode_all


def features_key(
    encoder: Encoder, network_sha256: str, paths: Sequence[Path], mirrored: bool
) -> str:
    """What the features depend on, as 16 hexadecimal digits: network, photos, preprocessing."""
    digest = hashlib.sha256()
    for part in (encoder.name, encoder.side, encoder.offset, encoder.scale, RESAMPLING, mirrored):
        digest.update(f"{part}\n".encode())
    digest.update(network_sha256.encode())
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise ConversionError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()[:16]


def cached_features(
    encoder: Encoder,
    network: Any,
    network_sha256: str,
    paths: Sequence[Path],
    work: Path,
    mirrored: bool = False,
) -> npt.NDArray[np.float16]:
    """Float16 `(N, height, width, D)` of the photos, or of their mirror images, memory-mapped.

    A run that was stopped goes on with the next batch of photos.

    Raises:
        ConversionError: if a photo or the working folder cannot be read or written.
    """
    place = work / f"features-{features_key(encoder, network_sha256, paths, mirrored)}.npy"
    if place.exists():
        return _open(place)
    partial, done_file = place.with_suffix(".partial"), place.with_suffix(".done")
    shape = (len(paths), *network.output_shape[1:])
    encode = encode_function(encoder, network)
    try:
        work.mkdir(parents=True, exist_ok=True)
        # One killed before it wrote its note leaves it empty.
        noted = done_file.read_text() if done_file.exists() and partial.exists() else ""
        done = int(noted or 0)
        mode = "r+" if done else "w+"
        features = open_memmap(partial, mode, np.float16, None if done else shape)
        _reserve(partial)
        with progress("features", len(paths), "photo", done) as advance:
            for start in range(done, len(paths), BATCH):
                batch = paths[start : start + BATCH]
                pixels = load_photos(encoder, batch)
                pixels = pixels[:, :, ::-1] if mirrored else pixels
                features[start : start + len(batch)] = encode(pixels)
                advance(len(batch))
                if (start // BATCH) % 20 == 19:
                    # The features reach the disk before the note that they are there.
                    features.flush()
                    done_file.write_text(str(start + len(batch)))
        features.flush()
        del features
        partial.replace(place)
        done_file.unlink(missing_ok=True)
    except OSError as error:
        raise ConversionError(
            f"cannot keep features in {work} ({error.strerror}): free space or choose another "
            "--work folder"
        ) from error
    return _open(place)


def _reserve(partial: Path) -> None:
    """Takes the room on the disk now: a page of a mapped file that finds none ends the process.

    Raises:
        OSError: if there is too little; the file is gone then.
    """
    if not hasattr(os, "posix_fallocate"):  # Windows and macOS
        return
    try:
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
    except OSError:
        partial.unlink()
        raise


def _open(place: Path) -> npt.NDArray[np.float16]:
    features: npt.NDArray[np.float16] = np.load(place, mmap_mode="r")
    return features
