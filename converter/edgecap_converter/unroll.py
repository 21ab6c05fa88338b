"""A decoder over whole captions: teacher-forced scores, dropout, loss.

Letters: `N` photos, `B` captions, `T` words of a caption and its end, `V` vocabulary,
`D` encoder's feature width, `E` embedding width, `X` width of the cell's output.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from edgecap.tokenizer import PAD_ID
from edgecap_converter.decoders import Decoder
from edgecap_converter.frameworks import import_tensorflow


class Masks(NamedTuple):
    """Dropout as factors of 0 or 1 / (1 - rate)."""

    features: Any
    """As the grid: `(N, height, width, D)`."""
    vectors: Any
    """`(B, T, E)`."""
    hidden: Any
    """`(T * B, X)`, what the head sees."""


NO_DROPOUT = Masks(1.0, 1.0, 1.0)


def dropout_masks(decoder: Decoder, grid: Any, inputs: Any, rate: float, seed: Any) -> Masks:
    """Masks for a grid and ids `(B, T)`, decided by `seed`, two integers, alone.

    To be called outside XLA, whose random numbers are slow on a CPU.
    """
    tensorflow = import_tensorflow()
    random, keep = tensorflow.random.experimental, 1.0 - rate
    batch, words = inputs.shape
    shapes = (
        grid.shape,
        (batch, words, decoder.embedding.output_shape[-1]),
        (batch * words, decoder.cell.output_shape[0][-1]),
    )
    return Masks(
        *(
            tensorflow.cast(
                tensorflow.random.stateless_uniform(
                    shape, random.stateless_fold_in(seed, place), dtype=tensorflow.float16
                )
                < keep,
                tensorflow.float32,
            )
            / keep
            for place, shape in enumerate(shapes)
        )
    )


def unroll(decoder: Decoder, grid: Any, inputs: Any, masks: Masks) -> Any:
    """Scores `(B, T, V)`, each word given the true words before it.

    Args:
        grid: float32 `(N, height, width, D)`; each photo has `B / N` captions, one after another.
        inputs: ids `(B, T)`: start, then the words.
    """
    tensorflow = import_tensorflow()
    batch, words = inputs.shape
    photo = decoder.photo(grid * masks.features)
    captions = batch // grid.shape[0]
    if captions > 1:
        photo = repeat_photos(photo, captions)
    vectors = decoder.embedding(inputs) * masks.vectors
    state, hidden = photo["state"], []
    for word in range(words):
        step_hidden, state = decoder.advance(vectors[:, word], state, photo)
        hidden.append(step_hidden)
    scores = decoder.head(tensorflow.concat(hidden, axis=0) * masks.hidden)
    by_word = tensorflow.reshape(scores, (words, batch, scores.shape[-1]))
    return tensorflow.transpose(by_word, (1, 0, 2))


def smoothed_loss(scores: Any, targets: Any, smoothing: float) -> Any:
    """Mean cross-entropy in nats a word against softened targets (Szegedy 2016, section 7).

    Args:
        scores: `(B, T, V)`.
        targets: ids `(B, T)`; places with `PAD_ID` do not count.
        smoothing: share of the probability that is spread over all words.
    """
    tensorflow = import_tensorflow()
    log_sum = tensorflow.reduce_logsumexp(scores, axis=-1)
    true = tensorflow.gather(scores, targets, batch_dims=2)
    mean = tensorflow.reduce_mean(scores, axis=-1)
    losses = log_sum - (1 - smoothing) * true - smoothing * mean
    counts = tensorflow.cast(tensorflow.not_equal(targets, PAD_ID), scores.dtype)
    return tensorflow.reduce_sum(losses * counts) / tensorflow.reduce_sum(counts)


def repeat_photos(photo: Mapping[str, Any], captions: int) -> dict[str, Any]:
    """Each photo's tensors `captions` times, one after another."""
    tensorflow = import_tensorflow()
    return {name: tensorflow.repeat(t, captions, axis=0) for name, t in photo.items()}
