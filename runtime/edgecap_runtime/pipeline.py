"""A photo to a caption through one encoder and one decoder, with their buffers.

Letters: `V` vocabulary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from edgecap import image as photos
from edgecap.errors import BundleError
from edgecap.photo_file import MAXIMUM_FILE_BYTES
from edgecap.tokenizer import join_words
from edgecap_runtime.decode import Floats, beam, greedy
from edgecap_runtime.interpreter import Array, Engine, Network

if TYPE_CHECKING:
    from edgecap.bundle import Bundle

    class Readable(Protocol):
        def read(self, maximum_bytes: int, /) -> bytes: ...


# What can be captioned; of an object with `read`, such as a file, the bytes are read when its turn
# comes, and what it raises passes through.
Image: TypeAlias = "photos.ImageSource | Readable"


@dataclass(frozen=True)
class Caption:
    """What was said of one photo.

    Attributes:
        text: the caption as a person reads it; empty if the decoder ended at once.
        words: its words.
        log_probability: natural logarithm, as `edgecap_runtime.decode` defines it.
        timings_ms: milliseconds spent in "decode" (reading and decoding the photo), "resize",
            "encoder" and "decoder", and in "total".
    """

    text: str
    words: tuple[str, ...]
    log_probability: float
    timings_ms: dict[str, float]


class Pipeline:
    """One caption at a time; each thread needs its own.

    Args:
        bundle: the opened bundle; its bytes are shared, not copied.
        engine: from `find_engine`.
        threads: how many threads the encoder may use, at least 1.

    Raises:
        EngineError: if the engine refuses a graph.
        BundleError: if a graph is not what the manifest says.
    """

    def __init__(self, bundle: Bundle, engine: Engine, threads: int) -> None:
        manifest = bundle.manifest
        self._input = manifest.input
        self._tokenizer = bundle.tokenizer
        self._photo = manifest.encoder.inputs[0].name
        self._encoder = Network(bundle.encoder, manifest.encoder, engine, threads)
        # A word takes microseconds: handing parts of it to threads costs more than it saves.
        self._decoder = Network(bundle.decoder, manifest.decoder, engine, threads=1)
        # What the encoder says of the photo, "state" among it.
        self._encoded: dict[str, Floats] = {
            tensor.name: np.empty(tensor.shape, np.float32) for tensor in manifest.encoder.outputs
        }
        self._token = np.zeros(1, np.int32)
        self._scores = np.empty((1, len(bundle.tokenizer)), np.float32)

    def caption(self, image: Image, width: int, maximum_words: int) -> Caption:
        """Captions one photo with a beam of `width`; 1 is greedy search.

        Raises:
            ImageError: if the photo cannot be read.
            BundleError: if the decoder gives scores that are not finite.
            EngineError: if the engine fails.
        """
        begin = time.perf_counter()
        size = (self._input.width, self._input.height)
        if _is_ready(image, size):
            pixels: Array = image  # type: ignore[assignment]
            decoded = resized = begin
        else:
            photo = photos.decode(_fetched(image), size, _name(image))
            decoded = time.perf_counter()
            pixels = photos.resize(photo, *size, self._input.resampling)
            resized = time.perf_counter()

        self._encoder.set(self._photo, pixels[np.newaxis])
        self._encoder.invoke()
        for name, value in self._encoded.items():
            self._encoder.read(name, into=value)
        encoded = time.perf_counter()

        for name, value in self._encoded.items():
            self._decoder.set(name, value)
        search = (self._step, self._encoded["state"], self._scores[0], maximum_words)
        found = greedy(*search) if width == 1 else beam(*search, width)
        words = self._tokenizer.decode(found.ids)
        end = time.perf_counter()

        stages = {
            "decode": decoded - begin,
            "resize": resized - decoded,
            "encoder": encoded - resized,
            "decoder": end - encoded,
            "total": end - begin,
        }
        timings = {stage: 1_000 * seconds for stage, seconds in stages.items()}
        return Caption(join_words(words), words, found.log_probability, timings)

    def _step(self, token: int, state: Floats, scores: Floats) -> None:
        # An engine may look past its table for an id that is too high.
        if not 0 <= token < len(scores):
            raise BundleError(f"the word id {token} is outside 0..{len(scores) - 1}")
        self._token[0] = token
        self._decoder.set("token", self._token)
        self._decoder.set("state", state)
        self._decoder.invoke()
        self._decoder.read("state", into=state)
        self._decoder.read("scores", into=scores[np.newaxis])


def _fetched(image: Image) -> photos.ImageSource:
    """The photo with its bytes at hand: an error in fetching them is not one in decoding."""
    if isinstance(image, np.ndarray) or not hasattr(image, "read"):
        return image
    return image.read(MAXIMUM_FILE_BYTES + 1)


def _name(image: object) -> str | None:
    """What an error calls the photo, where it does not show in what was fetched."""
    name = getattr(image, "name", None) if hasattr(image, "read") else None
    return name if isinstance(name, str) else None


def _is_ready(image: object, size: tuple[int, int]) -> bool:
    """Whether it is a uint8 array of shape (height, width, 3) already."""
    return (
        isinstance(image, np.ndarray)
        and image.shape == (size[1], size[0], 3)
        and image.dtype == np.uint8
    )
