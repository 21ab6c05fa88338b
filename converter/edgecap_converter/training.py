"""Trains a decoder on cached features, chooses the epoch by dev CIDEr, resumes after a kill.

Letters: `N` photos, `B` batch, `T` words of a caption and its end, `V` vocabulary,
`D` encoder's feature width, `X` width of the cell's output.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.metrics import Scorer
from edgecap.tokenizer import PAD_ID, Tokenizer
from edgecap_converter import checkpoints
from edgecap_converter.batches import Captions, batch_count, epoch_batches
from edgecap_converter.decoders import Decoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.progress import progress, say
from edgecap_converter.search import GreedySearch


@dataclass(frozen=True)
class TrainingSettings:
    """How a decoder is trained. Defaults are what measured best for Flickr8k."""

    epochs: int = 15
    batch: int = 160
    """Captions a step."""
    learning_rate: float = 2e-3
    """Highest of the one-cycle schedule (Smith 2018): up over a tenth of the steps, then down."""
    weight_decay: float = 1e-2
    dropout: float = 0.5
    """Of features, word vectors and what the head sees."""
    label_smoothing: float = 0.1
    maximum_gradient: float = 5.0
    """Largest norm of a step's gradient."""
    maximum_words: int = 20
    """Longest caption that is learned and written."""


class Trainer:
    """One decoder, its optimizer and the compiled training step."""

    def __init__(
        self, decoder: Decoder, settings: TrainingSettings, total_steps: int, seed: int
    ) -> None:
        tensorflow = import_tensorflow()
        self.decoder, self.settings, self.seed = decoder, settings, seed
        self.total_steps, self.step_count = total_steps, 0
        self._variables = [v for model in decoder.models for v in model.trainable_variables]
        self._optimizer = tensorflow.keras.optimizers.AdamW(
            settings.learning_rate,
            weight_decay=settings.weight_decay,
            global_clipnorm=settings.maximum_gradient,
        )
        self._optimizer.build(self._variables)
        # XLA fuses the many small operations of the unrolled words: twice as fast on a CPU. Its
        # random numbers are slow there, so the masks are drawn outside.
        self._step = tensorflow.function(self._train_step, autograph=False, jit_compile=True)
        self._masks = tensorflow.function(self._dropout_masks, autograph=False)

    def learn(
        self,
        grid: npt.NDArray[Any],
        inputs: npt.NDArray[np.int32],
        targets: npt.NDArray[np.int32],
    ) -> Any:
        """One step on float `(B, height, width, D)` and ids `(B, T)`; the loss as a tensor."""
        rate = self.settings.learning_rate * one_cycle(self.step_count / self.total_steps)
        self._optimizer.learning_rate.assign(rate)
        # The random numbers of a step depend on its number alone: a resumed run repeats them.
        masks = self._masks(grid, inputs, np.array([self.seed, self.step_count], np.int32))
        loss = self._step(grid, inputs, targets, masks)
        self.step_count += 1
        return loss

    def _dropout_masks(self, grid: Any, inputs: Any, seed: Any) -> tuple[Any, Any, Any]:
        """Factors of 0 or 1 / (1 - dropout) for features, word vectors and the head's input."""
        tensorflow = import_tensorflow()
        random, keep = tensorflow.random.experimental, 1.0 - self.settings.dropout
        embedding, cell = self.decoder.embedding, self.decoder.cell
        batch, words = inputs.shape
        shapes = (
            grid.shape,
            (batch, words, embedding.output_shape[-1]),
            (batch * words, cell.output_shape[0][-1]),
        )
        return tuple(
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

    def _train_step(self, grid: Any, inputs: Any, targets: Any, masks: Any) -> Any:
        tensorflow = import_tensorflow()
        with tensorflow.GradientTape() as tape:
            scores = self._unroll(tensorflow.cast(grid, tensorflow.float32), inputs, masks)
            loss = smoothed_loss(scores, targets, self.settings.label_smoothing)
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        return loss

    def _unroll(self, grid: Any, inputs: Any, masks: Any) -> Any:
        """Scores `(B, T, V)`, each word given the true words before it."""
        tensorflow = import_tensorflow()
        features_mask, vectors_mask, hidden_mask = masks
        photo = self.decoder.photo(grid * features_mask)
        vectors = self.decoder.embedding(inputs) * vectors_mask
        state, hidden = photo["state"], []
        for word in range(inputs.shape[1]):
            step_hidden, state = self.decoder.advance(vectors[:, word], state, photo)
            hidden.append(step_hidden)
        scores = self.decoder.head(tensorflow.concat(hidden, axis=0) * hidden_mask)
        by_word = tensorflow.reshape(scores, (len(hidden), -1, scores.shape[-1]))
        return tensorflow.transpose(by_word, (1, 0, 2))

    def state(self) -> checkpoints.Arrays:
        """Weights and optimizer, enough to go on as if nothing had happened."""
        optimizer = {f"optimizer/{i}": v.numpy() for i, v in enumerate(self._optimizer.variables)}
        return {**checkpoints.weights(self.decoder.models), **optimizer}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], step_count: int) -> None:
        """Takes up what `state` gave."""
        checkpoints.assign(self.decoder.models, arrays)
        for index, variable in enumerate(self._optimizer.variables):
            variable.assign(arrays[f"optimizer/{index}"])
        self.step_count = step_count


def one_cycle(done: float) -> float:
    """Learning rate as a share of its highest, after a share `done` of all steps (0..1)."""
    warm_up = 0.1
    if done < warm_up:
        return done / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


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


def train(
    decoder: Decoder,
    tokenizer: Tokenizer,
    settings: TrainingSettings,
    features: npt.NDArray[np.float16],
    captions: Captions,
    dev_features: npt.NDArray[np.float16],
    dev_references: Sequence[Sequence[str]],
    folder: Path,
    seed: int,
) -> list[dict[str, float]]:
    """Trains `decoder` in place; it ends with the weights of the best epoch by dev CIDEr.

    Args:
        features: `(N, height, width, D)` of the photos that `captions` counts.
        folder: where this run keeps its checkpoints; a run found there goes on.

    Returns:
        Loss and dev scores of each epoch.

    Raises:
        ConversionError: if a checkpoint cannot be written or read.
    """
    steps = batch_count(captions, settings.batch)
    trainer = Trainer(decoder, settings, steps * settings.epochs, seed)
    search = GreedySearch(decoder, tokenizer, settings.maximum_words)
    scorer = Scorer(dev_references)
    latest, best = folder / "latest.npz", folder / "best.npz"
    history: list[dict[str, float]] = []
    if latest.exists():
        arrays, history = checkpoints.load(latest)
        trainer.restore(arrays, len(history) * steps)
        say(f"going on after epoch {len(history)} of {settings.epochs}")
    for epoch in range(len(history), settings.epochs):
        losses = []
        with progress(f"epoch {epoch + 1}/{settings.epochs}", steps, "step") as advance:
            batches = epoch_batches(captions, settings.batch, settings.maximum_words, seed, epoch)
            for batch in batches:
                loss = trainer.learn(features[batch.photos], batch.inputs, batch.targets)
                losses.append(float(loss))
                advance(1, f"loss {np.mean(losses[-50:]):.3f}")
        scores = scorer.score(search.captions(dev_features))
        history.append({"loss": float(np.mean(losses)), **scores.as_dict()})
        say(f"epoch {epoch + 1}: dev CIDEr {scores.cider:.1f}, BLEU-4 {scores.bleu_4:.1f}")
        # The best first: a kill between the two repeats this epoch and writes the same again.
        if scores.cider >= max(past["cider"] for past in history):
            checkpoints.save(best, checkpoints.weights(decoder.models), history)
        checkpoints.save(latest, trainer.state(), history)
    arrays, _ = checkpoints.load(best)
    checkpoints.assign(decoder.models, arrays)
    return history
