"""The bundle's graphs on ONNX Runtime, made to go on to a given number of words."""

from pathlib import Path

import numpy as np
import onnxruntime

from edgecap import image
from edgecap.tokenizer import END_ID, START_ID, Tokenizer
from paper.captioners import Clock, Outputs, Said
from paper.their_text import Floats
from peers.onnx_files import NEXT_STATE

ENGINE = f"onnxruntime {onnxruntime.__version__}"
_NEVER = -np.inf


class OnnxCaptioner:
    """Greedy, one step a word.

    Args:
        encoder, decoder: ONNX files, their tensors named as `models` says.
        tokenizer: the bundle's.
        threads: of the encoder; the decoder takes one, as edgecap's does.
    """

    def __init__(self, encoder: Path, decoder: Path, tokenizer: Path, threads: int) -> None:
        self._encoder = _session(encoder, threads)
        self._decoder = _session(decoder, 1)
        self._tokenizer = Tokenizer.from_json(tokenizer.read_bytes())
        self._encoded = [one.name for one in self._encoder.get_outputs()]
        _, self._height, self._width, _ = self._encoder.get_inputs()[0].shape

    def caption(self, photo: Path, words: int) -> Said:
        """Exactly `words` words about a photo."""
        clock = Clock()
        pixels = clock.time("photo", lambda: image.load(photo, self._width, self._height))
        encoded = clock.time("encoder", lambda: self._encode(pixels[np.newaxis]))
        said = clock.time("decoder", lambda: self._describe(encoded, words))
        return Said(said, clock.milliseconds)

    def outputs(self, photo: Path) -> Outputs:
        """All outputs of the encoder in a row, and the first word's scores, centred."""
        pixels = image.load(photo, self._width, self._height)
        encoded = self._encode(pixels[np.newaxis])
        scores, _ = self._step(START_ID, encoded)
        features = np.concatenate([encoded[name].ravel() for name in sorted(encoded)])
        return Outputs(features, scores - scores.mean())

    def _encode(self, photo: np.ndarray) -> dict[str, Floats]:
        outputs = self._encoder.run(self._encoded, {"photo": photo})
        return dict(zip(self._encoded, outputs, strict=True))

    def _describe(self, encoded: dict[str, Floats], words: int) -> tuple[str, ...]:
        token, ids = START_ID, []
        for _ in range(words):
            scores, encoded["state"] = self._step(token, encoded)
            scores[: END_ID + 1] = _NEVER
            token = int(scores.argmax())
            ids.append(token)
        return self._tokenizer.decode(ids)

    def _step(self, token: int, encoded: dict[str, Floats]) -> tuple[Floats, Floats]:
        inputs = {"token": np.array([token], np.int32), **encoded}
        scores, state = self._decoder.run(("scores", NEXT_STATE), inputs)
        return scores[0], state


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Without it processors that have no VNNI add products of bytes in 16 bits, which overflow:
    # https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
