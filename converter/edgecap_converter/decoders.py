"""The decoders: what the photo gave -> words, one step at a time.

A decoder is four Keras models, so that training may treat all words of a caption at once where
the device goes word by word, and both run the same layers:

    projection  grid (B, height, width, D)   -> photo tensors, "state" (B, S) among them
    embedding   token (B,)                   -> vector (B, E)
    cell        vector, state, photo tensors -> hidden (B, X), state (B, S)
    head        hidden                       -> scores (B, V), before the softmax

The projection is exported at the end of the encoder, the other three are the decoder's step.

Letters: `B` batch, `P` grid positions, `D` encoder's feature width, `F` projected width,
`A` attention width, `E` embedding width, `H` LSTM width, `S` state (2 H), `V` vocabulary.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgecap.errors import UsageError
from edgecap_converter.frameworks import forget_names, import_tensorflow
from edgecap_converter.plan import DecoderSize

Grid = tuple[int, int, int]
"""Height, width and `D` of the encoder's output."""


@dataclass(frozen=True)
class Decoder:
    """One decoder with its weights; see the module's text for the four models."""

    name: str
    projection: Any
    embedding: Any
    cell: Any
    head: Any

    @property
    def models(self) -> tuple[Any, Any, Any, Any]:
        """All four, in the order in which weights are kept."""
        return (self.projection, self.embedding, self.cell, self.head)

    @property
    def variables(self) -> list[Any]:
        """What training changes."""
        return [variable for model in self.models for variable in model.trainable_variables]

    def photo(self, grid: Any) -> dict[str, Any]:
        """The tensors that depend on the photo alone, by the names of the exported graphs."""
        outputs: dict[str, Any] = self.projection(grid)
        return outputs

    def advance(self, vector: Any, state: Any, photo: Mapping[str, Any]) -> tuple[Any, Any]:
        """One step of the cell: hidden `(B, X)` and the next state `(B, S)`."""
        others = [photo[name] for name in sorted(photo) if name != "state"]
        hidden, state = self.cell([vector, state, *others])
        return hidden, state

    def step(self, token: Any, photo: Mapping[str, Any]) -> tuple[Any, Any]:
        """What the device runs for a word: scores `(B, V)` and state `(B, S)`."""
        hidden, state = self.advance(self.embedding(token), photo["state"], photo)
        return self.head(hidden), state


def build_decoder(name: str, size: DecoderSize, grid: Grid, vocabulary: int) -> Decoder:
    """A decoder with random weights.

    Args:
        name: one of `DECODERS`.
        vocabulary: `V`.

    Raises:
        UsageError: for an unknown name, or widths that the decoder cannot have.
    """
    if name not in DECODERS:
        raise UsageError(f"no decoder {name!r}: choose one of {', '.join(DECODERS)}")
    forget_names()
    keras = import_tensorflow().keras
    token = keras.layers.Input((), dtype="int32", name="token")
    vector = keras.layers.Embedding(vocabulary, size.embedding, name="embedding_words")(token)
    embedding = keras.Model(token, vector, name="embedding")
    projection, cell, head = DECODERS[name](size, grid, vocabulary)
    return Decoder(name, projection, embedding, cell, head)


def _attention(size: DecoderSize, grid: Grid, vocabulary: int) -> tuple[Any, Any, Any]:
    """Additive attention over the grid at each word (Bahdanau 2015, Xu 2015)."""
    tensorflow = import_tensorflow()
    layers, model = tensorflow.keras.layers, tensorflow.keras.Model
    positions = grid[0] * grid[1]

    grid_in = layers.Input(grid, name="grid")
    features = layers.Conv2D(size.features, 1, activation="relu", name="projection_features")(
        grid_in
    )
    keys = layers.Conv2D(size.attention, 1, name="projection_keys")(features)
    mean = layers.GlobalAveragePooling2D(name="projection_mean")(features)
    state = layers.Dense(2 * size.hidden, activation="tanh", name="projection_state")(mean)
    flat_features = layers.Reshape((positions, size.features), name="projection_flat")(features)
    flat_keys = layers.Reshape((positions, size.attention), name="projection_flat_keys")(keys)
    photo = {"features": flat_features, "keys": flat_keys, "state": state}
    projection = model(grid_in, photo, name="projection")

    vector = layers.Input((size.embedding,), name="vector")
    state = layers.Input((2 * size.hidden,), name="state")
    features = layers.Input((positions, size.features), name="features")
    keys = layers.Input((positions, size.attention), name="keys")
    hidden, memory = tensorflow.split(state, 2, axis=1)
    query = layers.Dense(size.attention, use_bias=False, name="cell_query")(hidden)
    energy = tensorflow.tanh(keys + query[:, tensorflow.newaxis, :])
    energy = layers.Dense(1, use_bias=False, name="cell_energy")(energy)
    weights = tensorflow.nn.softmax(energy[:, tensorflow.newaxis, :, 0])
    context = tensorflow.matmul(weights, features)[:, 0, :]
    hidden, state_out = _lstm([vector, context, hidden], memory, size.hidden)
    seen = tensorflow.concat([hidden, context], axis=1)
    cell = model([vector, state, features, keys], [seen, state_out], name="cell")
    return projection, cell, _head(size, seen.shape[-1], vocabulary)


def _lstm_only(size: DecoderSize, grid: Grid, vocabulary: int) -> tuple[Any, Any, Any]:
    """The photo starts the state and is not seen again (Vinyals 2015, in spirit)."""
    tensorflow = import_tensorflow()
    layers, model = tensorflow.keras.layers, tensorflow.keras.Model

    grid_in = layers.Input(grid, name="grid")
    mean = layers.GlobalAveragePooling2D(name="projection_mean")(grid_in)
    features = layers.Dense(size.features, activation="relu", name="projection_features")(mean)
    # No tanh here: trained on Flickr8k it stood at 1 or -1 for every photo, with no gradient left,
    # and nothing else tells the photos apart.
    state = layers.Dense(2 * size.hidden, name="projection_state")(features)
    projection = model(grid_in, {"state": state}, name="projection")

    vector = layers.Input((size.embedding,), name="vector")
    state = layers.Input((2 * size.hidden,), name="state")
    hidden, memory = tensorflow.split(state, 2, axis=1)
    hidden, state_out = _lstm([vector, hidden], memory, size.hidden)
    cell = model([vector, state], [hidden, state_out], name="cell")
    return projection, cell, _head(size, size.hidden, vocabulary)


def _merge(size: DecoderSize, grid: Grid, vocabulary: int) -> tuple[Any, Any, Any]:
    """Photo and words meet after the LSTM, added (Tanti 2018; Rampal and Mohanty 2020)."""
    if size.features != size.hidden:
        raise UsageError(
            "the merge decoder adds the photo to what the LSTM gives: expected equal widths, "
            f"found --features {size.features} and --hidden {size.hidden}: make them the same"
        )
    tensorflow = import_tensorflow()
    layers, model = tensorflow.keras.layers, tensorflow.keras.Model

    grid_in = layers.Input(grid, name="grid")
    mean = layers.GlobalAveragePooling2D(name="projection_mean")(grid_in)
    image = layers.Dense(size.features, activation="relu", name="projection_image")(mean)
    # The LSTM never sees the photo.
    state = tensorflow.zeros_like(tensorflow.concat([image, image], axis=1))
    projection = model(grid_in, {"image": image, "state": state}, name="projection")

    vector = layers.Input((size.embedding,), name="vector")
    state = layers.Input((2 * size.hidden,), name="state")
    image = layers.Input((size.features,), name="image")
    hidden, memory = tensorflow.split(state, 2, axis=1)
    hidden, state_out = _lstm([vector, hidden], memory, size.hidden)
    cell = model([vector, state, image], [hidden + image, state_out], name="cell")
    return projection, cell, _head(size, size.hidden, vocabulary, "relu")


def _lstm(inputs: list[Any], memory: Any, width: int) -> tuple[Any, Any]:
    """An LSTM step (Hochreiter 1997, Gers 2000) from one dense layer: hidden `(B, H)`, state.

    One dense layer, since pruning and quantization-aware training know dense layers.
    """
    tensorflow = import_tensorflow()
    # A forget gate that starts open lets gradients reach the first words (Jozefowicz 2015).
    gates = tensorflow.keras.layers.Dense(4 * width, name="cell_gates")
    entered, forgotten, candidate, shown = tensorflow.split(
        gates(tensorflow.concat(inputs, axis=1)), 4, axis=1
    )
    gates.bias.assign(tensorflow.repeat([0.0, 1.0, 0.0, 0.0], width))
    memory = tensorflow.sigmoid(forgotten) * memory + tensorflow.sigmoid(entered) * tensorflow.tanh(
        candidate
    )
    hidden = tensorflow.sigmoid(shown) * tensorflow.tanh(memory)
    return hidden, tensorflow.concat([hidden, memory], axis=1)


def _head(size: DecoderSize, width: int, vocabulary: int, activation: str = "tanh") -> Any:
    """Hidden `(B, width)` -> scores through a narrow layer, which keeps the word layer small."""
    keras = import_tensorflow().keras
    hidden = keras.layers.Input((width,), name="hidden")
    narrow = keras.layers.Dense(size.embedding, activation=activation, name="head_narrow")(hidden)
    scores = keras.layers.Dense(vocabulary, name="head_words")(narrow)
    return keras.Model(hidden, scores, name="head")


Builder = Callable[[DecoderSize, Grid, int], tuple[Any, Any, Any]]
DECODERS: dict[str, Builder] = {
    "merge": _merge,
    "lstm": _lstm_only,
    "attention": _attention,
}
