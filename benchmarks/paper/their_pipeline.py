"""The paper's captioning loop, on Keras or on a TFLite engine.

As theirs: each word re-tokenizes the whole string, runs the whole prefix and finds its word by a
linear scan. Unlike theirs, it goes on to a given number of words: padding and the end are never
chosen. Their TFLite loop ran in TensorFlow; here LiteRT runs it alone, which favours it.

Letters: `F` values that the encoder gives, `T` words of the longest caption, `V` vocabulary.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from paper.captioners import Clock, Outputs, Said
from paper.their_text import END, LONGEST, START, Floats, TheirTokenizer, pad

# Keras's `preprocess_input` for VGG16: blue, green, red, each without its ImageNet mean.
_MEANS = np.array([103.939, 116.779, 123.68], np.float32)
KERAS_FILE = ".h5"


class Networks(Protocol):
    """Encoder and decoder on some engine."""

    side: int

    def encode(self, photo: Floats) -> Floats:
        """`(1, side, side, 3)` -> `(1, F)`."""

    def decode(self, features: Floats, words: Floats) -> Floats:
        """`(1, F)`, `(1, T)` -> the probability of each next word, `(1, V)`."""


class KerasNetworks:
    """`predict` of Keras, from two `.h5` files."""

    def __init__(self, encoder: Path, decoder: Path, threads: int) -> None:
        from edgecap_converter.frameworks import import_tensorflow

        tensorflow = import_tensorflow()
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
        load = tensorflow.keras.models.load_model
        self._encoder = load(encoder, compile=False)
        self._decoder = load(decoder, compile=False)
        self.side = int(self._encoder.input_shape[1])

    def encode(self, photo: Floats) -> Floats:
        features: Floats = self._encoder.predict(photo, verbose=0)
        return features

    def decode(self, features: Floats, words: Floats) -> Floats:
        scores: Floats = self._decoder.predict([features, words], verbose=0)
        return scores


class LiteNetworks:
    """`set_tensor`, `invoke`, `get_tensor` on two `.tflite` files."""

    def __init__(self, encoder: Path, decoder: Path, threads: int) -> None:
        from edgecap_runtime.interpreter import find_engine

        engine = find_engine()
        self._encoder, self._decoder = (
            engine.interpreter(model_path=str(path), num_threads=threads)
            for path in (encoder, decoder)
        )
        for interpreter in (self._encoder, self._decoder):
            interpreter.allocate_tensors()
        (photo,) = self._encoder.get_input_details()
        self.side = int(photo["shape"][1])
        self._photo = photo["index"]
        inputs = self._decoder.get_input_details()
        self._words = next(one["index"] for one in inputs if "words" in one["name"])
        self._features = next(one["index"] for one in inputs if "photo" in one["name"])

    def encode(self, photo: Floats) -> Floats:
        self._encoder.set_tensor(self._photo, photo)
        return _run(self._encoder)

    def decode(self, features: Floats, words: Floats) -> Floats:
        self._decoder.set_tensor(self._features, features)
        self._decoder.set_tensor(self._words, words)
        return _run(self._decoder)


def _run(interpreter: Any) -> Floats:
    interpreter.invoke()
    output: Floats = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output


def load_networks(encoder: Path, decoder: Path, threads: int) -> Networks:
    """Both on the engine that their files are for."""
    if encoder.suffix == KERAS_FILE:
        return KerasNetworks(encoder, decoder, threads)
    return LiteNetworks(encoder, decoder, threads)


class TheirCaptioner:
    """The loop of their notebooks over either engine."""

    def __init__(self, networks: Networks, tokenizer: TheirTokenizer) -> None:
        self._networks = networks
        self._tokenizer = tokenizer
        self._never = [0, tokenizer.word_index[END]]

    def caption(self, photo: Path, words: int) -> Said:
        """Exactly `words` words about a photo."""
        clock = Clock()
        pixels = clock.time("photo", lambda: load_photo(photo, self._networks.side))
        features = clock.time("encoder", lambda: self._networks.encode(preprocess(pixels)))
        text = clock.time("decoder", lambda: self._describe(features, words))
        return Said(tuple(text.split()[1:]), clock.milliseconds)

    def outputs(self, photo: Path) -> Outputs:
        """The encoder's features, and the logarithm of the first word's probabilities, centred."""
        pixels = load_photo(photo, self._networks.side)
        features = self._networks.encode(preprocess(pixels))
        scores = np.log(self._networks.decode(features, self._prefix(START)))[0]
        return Outputs(features[0], scores - scores.mean())

    def _describe(self, features: Floats, words: int) -> str:
        text = START
        for _ in range(words):
            scores = self._networks.decode(features, self._prefix(text))
            scores[0, self._never] = 0
            text += f" {self._tokenizer.word(int(np.argmax(scores)))}"
        return text

    def _prefix(self, text: str) -> Floats:
        return pad(self._tokenizer.sequence(text), LONGEST)


def load_photo(path: Path, side: int) -> Floats:
    """A photo as Keras's `load_img` gives it: float32 `(side, side, 3)`, RGB, nearest neighbour."""
    with Image.open(path) as photo:
        resized = photo.convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    return np.asarray(resized, np.float32)


def preprocess(pixels: Floats) -> Floats:
    """`(side, side, 3)` RGB -> `(1, side, side, 3)` as VGG16 takes it."""
    return pixels[np.newaxis, ..., ::-1] - _MEANS
