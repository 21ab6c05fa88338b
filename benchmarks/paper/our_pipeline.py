"""A bundle through `edgecap_runtime`, made to go on to a given number of words."""

from pathlib import Path

import numpy as np

from edgecap import image
from edgecap.bundle import Bundle
from edgecap.tokenizer import END_ID, START_ID
from edgecap_runtime.decode import Floats
from edgecap_runtime.interpreter import Network, find_engine
from edgecap_runtime.pipeline import Pipeline
from paper.captioners import Outputs, Said

# Below every score that a network gives, above what the runtime refuses.
_NEVER = -1e29


class _Endless(Pipeline):
    """Never chooses the end: every caption has as many words as it may have."""

    def _step(self, token: int, state: Floats, scores: Floats) -> None:
        super()._step(token, state, scores)
        scores[END_ID] = _NEVER


class OurCaptioner:
    """A bundle on the device's own pipeline, greedy.

    Args:
        path: a bundle, folder or zip file.
        threads: of the encoder; a step of the decoder takes one, as everywhere in edgecap.

    Raises:
        EdgecapError: whatever loading a bundle raises.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._bundle = Bundle.open(path)
        self._engine = find_engine()
        self._threads = threads
        self._pipeline = _Endless(self._bundle, self._engine, threads)

    def caption(self, photo: Path, words: int) -> Said:
        """Exactly `words` words about a photo."""
        caption = self._pipeline.caption(str(photo), 1, words)
        spent = caption.timings_ms
        stages = {
            "photo": spent["decode"] + spent["resize"],
            "encoder": spent["encoder"],
            "decoder": spent["decoder"],
            "total": spent["total"],
        }
        return Said(caption.words, stages)

    def outputs(self, photo: Path) -> Outputs:
        """All outputs of the encoder in a row, and the first word's scores, centred."""
        manifest = self._bundle.manifest
        encoder = Network(self._bundle.encoder, manifest.encoder, self._engine, self._threads)
        decoder = Network(self._bundle.decoder, manifest.decoder, self._engine, threads=1)
        expected = manifest.input
        pixels = image.load(photo, expected.width, expected.height, expected.resampling)
        encoder.set(manifest.encoder.inputs[0].name, pixels[np.newaxis])
        encoder.invoke()
        features = []
        for tensor in manifest.encoder.outputs:
            value = encoder.get(tensor.name)
            decoder.set(tensor.name, value)
            features.append(value.ravel())
        decoder.set("token", np.array([START_ID], np.int32))
        decoder.invoke()
        scores = decoder.get("scores")[0]
        return Outputs(np.concatenate(features), scores - scores.mean())
