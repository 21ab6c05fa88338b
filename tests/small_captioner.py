"""A captioner that trains in seconds: photos of 16 x 16, four words, and knows nothing."""

from typing import Any

from edgecap.tokenizer import SPECIAL_TOKENS, Tokenizer
from edgecap_converter.decoders import build_decoder
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import import_tensorflow, make_reproducible
from edgecap_converter.model import Configuration, Model
from edgecap_converter.plan import DecoderSize

WORDS = (*SPECIAL_TOKENS, "a", "red", "blue", "ball")
SIZE = DecoderSize(features=8, attention=8, embedding=8, hidden=16)


def _build(side: int) -> Any:
    keras = import_tensorflow().keras
    photo = keras.layers.Input((side, side, 3), name="normalized")
    first = keras.layers.Conv2D(4, 3, 2, "same", activation="relu", name="first")(photo)
    last = keras.layers.Conv2D(6, 3, 2, "same", activation="relu", name="last")(first)
    return keras.Model(photo, last, name="small")


SMALL = Encoder("small", 16, 127.0, 128.0, _build, None, "none")


def small_captioner() -> Model:
    """The same weights each time."""
    make_reproducible().keras.utils.set_random_seed(3)
    network = SMALL.network()
    decoder = build_decoder("attention", SIZE, network.output_shape[1:], len(WORDS))
    configuration = Configuration("small", "attention", SIZE, WORDS, 5, "none", 1, {})
    return Model(configuration, SMALL, network, decoder, Tokenizer(WORDS))
