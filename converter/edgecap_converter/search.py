"""Greedy captions from the Keras decoder: the float model that the exported one is held against.

Letters: `N` photos, `B` batch, `D` encoder's feature width, `T` words.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.tokenizer import END_ID, START_ID, Tokenizer, join_words
from edgecap_converter.decoders import Decoder
from edgecap_converter.frameworks import import_tensorflow

BATCH = 250


class GreedySearch:
    """Captions photos word by word, as the runtime does it; compiled once, used every epoch."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, maximum_words: int) -> None:
        self._tokenizer = tokenizer
        tensorflow = import_tensorflow()

        @tensorflow.function(autograph=False)  # type: ignore[untyped-decorator]
        def search(grid: Any) -> Any:
            photo = decoder.photo(grid)
            token = tensorflow.fill([tensorflow.shape(grid)[0]], START_ID)
            chosen = []
            for _ in range(maximum_words):
                scores, photo["state"] = decoder.step(token, photo)
                # Ids below END_ID are never chosen, as in the runtime.
                best = tensorflow.argmax(scores[:, END_ID:], axis=1, output_type="int32")
                token = best + END_ID
                chosen.append(token)
            return tensorflow.stack(chosen, axis=1)

        self._search = search

    def captions(self, features: npt.NDArray[Any]) -> list[str]:
        """One caption a photo, from float features `(N, height, width, D)`."""
        captions = []
        for start in range(0, len(features), BATCH):
            grid = np.asarray(features[start : start + BATCH], np.float32)
            for row in self._search(grid).numpy():
                ended = np.flatnonzero(row == END_ID)
                words = row[: ended[0]] if len(ended) else row
                captions.append(join_words(self._tokenizer.decode(words.tolist())))
        return captions
