"""What the inputs of a graph are on train photos: it sets the ranges of a full-int8 graph.

Letters: `N` photos, `D` encoder's feature width.
"""

import numpy as np
import numpy.typing as npt

from edgecap.tokenizer import END_ID, START_ID
from edgecap_converter.checkpoints import Arrays
from edgecap_converter.decoders import Decoder
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import import_tensorflow

# Of the decoder: so many photos, with so many words of each.
PHOTOS, WORDS = 64, 8


def encoder_samples(encoder: Encoder, photos: npt.NDArray[np.uint8]) -> Arrays:
    """`photo`: float32 as the network takes it, from uint8 `(N, side, side, 3)`.

    Its values reach both ends of the range: the input's scale is then the encoder's own
    normalization, exactly, whatever the photos.
    """
    samples = photos.copy()
    samples[0, 0, 0], samples[0, 0, 1] = 0, 255
    normalized = (samples.astype(np.float32) - encoder.offset) / encoder.scale
    return {"photo": normalized.astype(np.float32)}


def decoder_samples(decoder: Decoder, grid: npt.NDArray[np.floating]) -> Arrays:
    """The inputs of the first steps of greedy captions, by name; first axis the samples.

    Args:
        grid: features `(N, height, width, D)`.
    """
    tensorflow = import_tensorflow()
    photo = decoder.photo(grid[:PHOTOS].astype(np.float32))
    token = tensorflow.fill([photo["state"].shape[0]], START_ID)
    steps = []
    for _ in range(WORDS):
        steps.append({"token": token, **photo})
        scores, state = decoder.step(token, photo)
        photo = {**photo, "state": state}
        # The end is never chosen: the device takes no step after it.
        first = END_ID + 1
        token = first + tensorflow.argmax(scores[:, first:], axis=1, output_type="int32")
    return {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
