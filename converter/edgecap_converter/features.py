"""Encoder features of all photos, computed once and kept on disk.

Letters: `N` photos, `D` encoder's feature width.
"""

import hashlib
from collections.abc import Sequence
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
    return np.stack([image.load(path, side, side, RESAMPLING) for path in paths])


def features_key(encoder: Encoder, network_sha256: str, paths: Sequence[Path]) -> str:
    """What the features depend on, as 16 hexadecimal digits: network, photos, preprocessing."""
    digest = hashlib.sha256()
    for part in (encoder.name, encoder.side, encoder.offset, encoder.scale, RESAMPLING):
        digest.update(f"{part}\n".encode())
    digest.update(network_sha256.encode())
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise ConversionError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()[:16]


def cached_features(
    encoder: Encoder, network: Any, network_sha256: str, paths: Sequence[Path], work: Path
) -> npt.NDArray[np.float16]:
    """Float16 `(N, height, width, D)`, memory-mapped from the working folder.

    A run that was stopped goes on with the next batch of photos.

    Raises:
        ConversionError: if a photo or the working folder cannot be read or written.
    """
    place = work / f"features-{features_key(encoder, network_sha256, paths)}.npy"
    if place.exists():
        return _open(place)
    tensorflow = import_tensorflow()
    partial, done_file = place.with_suffix(".partial"), place.with_suffix(".done")
    shape = (len(paths), *network.output_shape[1:])

    photo = tensorflow.TensorSpec((None, encoder.side, encoder.side, 3), tensorflow.uint8)

    @tensorflow.function(autograph=False, input_signature=[photo])  # type: ignore[untyped-decorator]
    def encode(pixels: Any) -> Any:
        return tensorflow.cast(
            network(encoder.normalize(pixels), training=False), tensorflow.float16
        )

    try:
        work.mkdir(parents=True, exist_ok=True)
        done = int(done_file.read_text()) if done_file.exists() and partial.exists() else 0
        mode = "r+" if done else "w+"
        features = open_memmap(partial, mode, np.float16, None if done else shape)
        with progress("features", len(paths), "photo", done) as advance:
            for start in range(done, len(paths), BATCH):
                batch = paths[start : start + BATCH]
                features[start : start + len(batch)] = encode(load_photos(encoder, batch)).numpy()
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


def _open(place: Path) -> npt.NDArray[np.float16]:
    features: npt.NDArray[np.float16] = np.load(place, mmap_mode="r")
    return features
