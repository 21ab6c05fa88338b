"""The paper's networks in Keras, as its notebooks write them, with random weights.

Nothing is shared with `edgecap_converter`: this is the opponent. Letters: `B` batch, `T` words of
the longest caption, `V` vocabulary.
"""

from typing import Any

from edgecap_converter.frameworks import import_tensorflow

SIDE = 224
FC2 = 4_096
"""Values that VGG16 gives at `fc2`."""
UNITS = 256
DROPOUT = 0.5


def vgg16(side: int = SIDE) -> Any:
    """VGG16 to `fc2`: float32 `(B, side, side, 3)`, BGR with means subtracted -> `(B, 4096)`."""
    keras = import_tensorflow().keras
    whole = keras.applications.VGG16(weights=None, input_shape=(side, side, 3))
    return keras.Model(whole.input, whole.get_layer("fc2").output, name="vgg16")


def merge(features: int, longest: int, vocabulary: int) -> Any:
    """The merge decoder (Tanti et al. 2017), the whole prefix through a masked LSTM at each word.

    Takes `photo` `(B, features)` and `words` `(B, T)`, ids as float32 with zeros in front; gives
    the softmax over `V`.
    """
    keras = import_tensorflow().keras
    layers = keras.layers
    photo = layers.Input((features,), name="photo")
    seen = layers.Dense(UNITS, activation="relu")(layers.Dropout(DROPOUT)(photo))
    words = layers.Input((longest,), name="words")
    vectors = layers.Embedding(vocabulary, UNITS, mask_zero=True)(words)
    read = layers.LSTM(UNITS)(layers.Dropout(DROPOUT)(vectors))
    merged = layers.Dense(UNITS, activation="relu")(layers.add([seen, read]))
    scores = layers.Dense(vocabulary, activation="softmax")(merged)
    return keras.Model([photo, words], scores, name="merge")
