"""The decoders' shapes and sums; the paper's `merge` against Keras's own layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.errors import UsageError
from edgecap_converter import export
from edgecap_converter.decoders import DECODERS, Decoder, Grid, build_decoder
from edgecap_converter.encoder_weights import RANDOM, load_network
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.plan import DecoderSize
from edgecap_converter.quantization import DYNAMIC_RANGE, FLOAT, FULL_INTEGER
from edgecap_converter.unroll import NO_DROPOUT, unroll
from edgecap_runtime.interpreter import Network, find_engine

PAPER = DecoderSize(features=256, embedding=256, hidden=256)
SMALL = DecoderSize(features=16, attention=6, embedding=12, hidden=16)
GRID, VOCABULARY = (2, 3, 7), 11
WORDS = np.array([[1, 4, 5], [1, 6, 7]], np.int32)


def _merge(grid: Grid = GRID) -> Decoder:
    """A small one whose biases count, as in a trained one."""
    import_tensorflow().keras.utils.set_random_seed(3)
    decoder = build_decoder("merge", SMALL, grid, VOCABULARY)
    generator = np.random.default_rng(4)
    for model in decoder.models:
        model.set_weights([w + generator.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return decoder


def _grid(photos: int) -> Any:
    return np.random.default_rng(1).random((photos, *GRID)).astype(np.float32)


def _scores(decoder: Decoder, grid: Any) -> Any:
    """Scores `(B, T, V)` after each word of the first `B` of `WORDS`, step by step."""
    photo, scores = decoder.photo(grid), []
    for token in WORDS[: len(grid)].T:
        step_scores, photo["state"] = decoder.step(token, photo)
        scores.append(step_scores.numpy())
    return np.stack(scores, axis=1)


def test_merge_has_the_papers_parameters() -> None:
    decoder = build_decoder("merge", PAPER, (1, 1, 4096), 7579)
    image, words = 4096 * 256 + 256, 7579 * 256
    lstm = 4 * ((256 + 256) * 256 + 256)
    head = 256 * 256 + 256 + 256 * 7579 + 7579
    counts = [model.count_params() for model in decoder.models]
    assert counts == [image, words, lstm, head]
    assert sum(counts) == 5_527_963


def test_merge_is_the_papers_network_of_keras_layers() -> None:
    """Dense + LSTM over the whole sentence, added, as the paper builds them."""
    keras = import_tensorflow().keras
    layers = keras.layers
    vector, words = layers.Input((GRID[-1],)), layers.Input((None,), dtype="int32")
    image = layers.Dense(SMALL.features, activation="relu", name="image")(vector)
    embedded = layers.Embedding(VOCABULARY, SMALL.embedding, name="words")(words)
    said = layers.LSTM(SMALL.hidden, return_sequences=True, name="lstm")(embedded)
    both = layers.Add()([said, layers.Reshape((1, SMALL.features))(image)])
    both = layers.Dense(SMALL.embedding, activation="relu", name="narrow")(both)
    paper = keras.Model([vector, words], layers.Dense(VOCABULARY, name="scores")(both))

    decoder, grid = _merge(), _grid(2)
    paper.get_layer("image").set_weights(decoder.projection.get_weights())
    paper.get_layer("words").set_weights(decoder.embedding.get_weights())
    kernel, bias = decoder.cell.get_weights()
    of_words, of_state = kernel[: SMALL.embedding], kernel[SMALL.embedding :]
    paper.get_layer("lstm").set_weights([of_words, of_state, bias])
    weights = decoder.head.get_weights()
    paper.get_layer("narrow").set_weights(weights[:2])
    paper.get_layer("scores").set_weights(weights[2:])

    expected = paper([grid.mean(axis=(1, 2)), WORDS]).numpy()
    np.testing.assert_allclose(_scores(decoder, grid), expected, atol=1e-5)
    # The last words differ in both sentences, the first do not: there only the photos do.
    assert (np.abs(expected[0] - expected[1]).max(axis=-1) > 1e-3).all()


def test_merge_starts_from_nothing() -> None:
    state = _merge().photo(_grid(2))["state"].numpy()
    np.testing.assert_array_equal(state, np.zeros((2, 2 * SMALL.hidden), np.float32))


def test_merge_is_trained_as_the_device_steps_through_it() -> None:
    decoder, grid = _merge(), _grid(2)
    unrolled = unroll(decoder, grid, WORDS, NO_DROPOUT).numpy()
    np.testing.assert_allclose(_scores(decoder, grid), unrolled, atol=1e-5)


def test_merge_refuses_what_it_cannot_add() -> None:
    with pytest.raises(UsageError, match="--features 256 and --hidden 512: make them the same"):
        build_decoder("merge", DecoderSize(features=256, hidden=512), GRID, VOCABULARY)


def test_an_unknown_decoder_names_the_known() -> None:
    with pytest.raises(UsageError, match="choose one of merge, lstm, attention"):
        build_decoder("transformer", SMALL, GRID, VOCABULARY)


@pytest.mark.parametrize("name", list(DECODERS))
def test_every_decoder_takes_a_vector_for_a_grid(name: str) -> None:
    decoder = build_decoder(name, SMALL, (1, 1, 9), VOCABULARY)
    photo = decoder.photo(np.ones((2, 1, 1, 9), np.float32))
    scores, state = decoder.step(np.array([1, 4], np.int32), photo)
    assert scores.shape == (2, VOCABULARY)
    assert state.shape == photo["state"].shape == (2, 2 * SMALL.hidden)


def _tiny_encoder() -> Encoder:
    def build(side: int) -> Any:
        keras = import_tensorflow().keras
        photo = keras.layers.Input((side, side, 3), name="normalized")
        grid = keras.layers.Conv2D(7, 5, strides=4, activation="relu", name="only")(photo)
        return keras.Model(photo, grid, name="one_convolution")

    return Encoder("one_convolution", 16, 127.0, 128.0, build, None, "none")


@pytest.mark.parametrize(
    ("modes", "tolerance"), [((FLOAT, FLOAT), 1e-5), ((FULL_INTEGER, DYNAMIC_RANGE), 0.05)]
)
def test_merge_on_the_runtime(tmp_path: Path, modes: tuple[str, str], tolerance: float) -> None:
    encoder = _tiny_encoder()
    network, _ = load_network(encoder, RANDOM, seed=1)
    decoder = _merge(network.output_shape[1:])
    photos = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    exported = (
        export.export_encoder(encoder, network, decoder, photos, modes[0], tmp_path),
        export.export_decoder(decoder, modes[1], tmp_path),
    )
    encode, step = (Network(part.content, part.graph, find_engine(), 1) for part in exported)

    encode.set("photo", photos[:1])
    encode.invoke()
    step.set("image", encode.get("image"))
    step.set("state", encode.get("state"))
    expected = _scores(decoder, network(encoder.normalize(photos[:1])))[0]
    assert not encode.get("state").any()
    assert np.ptp(expected, axis=0).max() > 4 * tolerance
    for token, scores in zip(WORDS[0], expected, strict=True):
        step.set("token", np.array([token], np.int32))
        step.invoke()
        step.set("state", step.get("state"))
        np.testing.assert_allclose(step.get("scores")[0], scores, atol=tolerance)
