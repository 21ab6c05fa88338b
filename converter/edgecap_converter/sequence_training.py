"""Trains the decoder on what whole captions are worth: self-critical, by CIDEr-D.

Several captions are drawn for a photo; one that is worth more than the mean of the others
becomes likelier, one that is worth less, rarer (Rennie 2017, with the baseline of Luo 2020).

Letters: `N` photos, `B` captions, `T` words of a caption and its end, `D` encoder's feature width.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.metrics import Cider
from edgecap.tokenizer import END_ID, PAD_ID, START_ID
from edgecap_converter import checkpoints
from edgecap_converter.batches import LENGTH_STEP, Captions, by_photo
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.optimizer import Optimizer
from edgecap_converter.plan import SequenceSettings
from edgecap_converter.search import GreedySearch
from edgecap_converter.unroll import NO_DROPOUT, repeat_photos, unroll


class SequenceTrainer:
    """A decoder on features that do not change; a `Trainer` of `epochs`."""

    earliest = 0

    def __init__(
        self,
        model: Model,
        settings: SequenceSettings,
        captions: Captions,
        mirrorable: npt.NDArray[np.bool_],
        views: Sequence[npt.NDArray[np.float16]],
        dev_features: npt.NDArray[np.float16],
    ) -> None:
        """
        Args:
            captions: of `N` photos; the references of their reward.
            mirrorable: which of them may be mirrored, `(N,)`.
            views: features `(N, height, width, D)` of the photos, and of their mirror images.
            dev_features: of other photos, likewise.
        """
        tensorflow = import_tensorflow()
        self._decoder, self._settings = model.decoder, settings
        self._seed = model.configuration.seed
        self._views, self._mirrorable, self._dev_features = views, mirrorable, dev_features
        self._words = model.configuration.maximum_words
        self._search = GreedySearch(model.decoder, model.tokenizer, self._words)
        self._reward = Cider(references(captions, self._words))
        self._variables = model.decoder.variables
        self._optimizer = Optimizer(
            self._variables,
            settings.learning_rate,
            self.steps * settings.epochs,
            maximum_gradient=settings.maximum_gradient,
            averaging=settings.averaging,
        )
        self._draw = tensorflow.function(self._draw_captions, autograph=False)
        self._step = tensorflow.function(self._train_step, autograph=False, jit_compile=True)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self._mirrorable) // self._settings.photos)

    def epoch(self, number: int) -> Iterator[float]:
        """Every photo once; gives each step's loss: the mean reward of its captions, negative."""
        settings = self._settings
        generator = np.random.default_rng((self._seed, number))
        order = np.resize(
            generator.permutation(len(self._mirrorable)), self.steps * settings.photos
        )
        for step in range(self.steps):
            chosen = order[step * settings.photos : (step + 1) * settings.photos]
            mirrored = self._mirrorable[chosen] & (generator.random(len(chosen)) < 0.5)
            grid = np.where(
                mirrored[:, None, None, None], self._views[1][chosen], self._views[0][chosen]
            ).astype(np.float32)
            done = number * self.steps + step
            self._optimizer.start_step(done)
            drawn = self._draw(grid, np.array([self._seed, done], np.int32)).numpy()
            inputs, targets = as_batch(drawn)
            rewards = self._rewards(chosen, targets)
            self._step(grid, inputs, targets, advantages(rewards))
            yield -float(rewards.mean())

    def _draw_captions(self, grid: Any, seed: Any) -> Any:
        """Ids `(B, T)` drawn by their probability, `samples` captions a photo in a row."""
        tensorflow = import_tensorflow()
        random = tensorflow.random.experimental
        photo = repeat_photos(self._decoder.photo(grid), self._settings.samples)
        token = tensorflow.fill([photo["state"].shape[0]], START_ID)
        drawn = []
        for word in range(self._words):
            scores, photo["state"] = self._decoder.step(token, photo)
            # Ids below END_ID are never chosen, as in the runtime.
            token = (
                END_ID
                + tensorflow.random.stateless_categorical(
                    scores[:, END_ID:],
                    1,
                    random.stateless_fold_in(seed, word),
                    dtype=tensorflow.int32,
                )[:, 0]
            )
            drawn.append(token)
        return tensorflow.stack(drawn, axis=1)

    def _rewards(
        self, photos: npt.NDArray[np.int64], targets: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        """CIDEr-D `(N, samples)`, from 0 to 10, the end of a caption counted as a word.

        Without the end, captions learn to stop in the middle: "a man in a".
        """
        rows = targets.reshape(len(photos), self._settings.samples, -1)
        return np.array(
            [
                [self._reward.score(int(photo), row[row != PAD_ID].tolist()) for row in samples]
                for photo, samples in zip(photos, rows, strict=True)
            ],
            np.float32,
        )

    def _train_step(self, grid: Any, inputs: Any, targets: Any, advantage: Any) -> None:
        tensorflow = import_tensorflow()
        with tensorflow.GradientTape() as tape:
            scores = unroll(self._decoder, grid, inputs, NO_DROPOUT)[:, :, END_ID:]
            chosen = tensorflow.maximum(targets - END_ID, 0)
            log_probability = tensorflow.gather(
                scores, chosen, batch_dims=2
            ) - tensorflow.reduce_logsumexp(scores, axis=-1)
            counts = tensorflow.cast(tensorflow.not_equal(targets, PAD_ID), scores.dtype)
            weighted = advantage[:, tensorflow.newaxis] * log_probability * counts
            loss = -tensorflow.reduce_sum(weighted) / tensorflow.reduce_sum(counts)
        self._optimizer.apply(tape.gradient(loss, self._variables))

    def dev_captions(self) -> list[str]:
        """A greedy caption for each dev photo, from the mean weights."""
        with self._optimizer.mean_weights():
            return self._search.captions(self._dev_features)

    def weights(self) -> checkpoints.Arrays:
        """The mean weights of the decoder."""
        with self._optimizer.mean_weights():
            return checkpoints.weights(self._decoder.models)

    def state(self) -> checkpoints.Arrays:
        """Weights and optimizer, the mean weights among its variables."""
        return {**checkpoints.weights(self._decoder.models), **self._optimizer.state()}

    def restore(self, state: checkpoints.Arrays) -> None:
        """Takes up what `state` gave."""
        checkpoints.assign(self._decoder.models, state)
        self._optimizer.restore(state)


def references(captions: Captions, maximum_words: int) -> list[list[tuple[int, ...]]]:
    """Each photo's captions as ids, their ends among them."""
    ended = [(*words, END_ID) if len(words) <= maximum_words else words for words in captions.words]
    return [[ended[place] for place in places] for places in by_photo(captions)]


def as_batch(drawn: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Drawn ids `(B, T)` -> what the decoder is given, and what it then said, up to the end.

    Both are cut after the longest caption, at a multiple of `LENGTH_STEP`.
    """
    ended = np.cumsum(drawn == END_ID, axis=1)
    targets = np.where((ended == 0) | ((ended == 1) & (drawn == END_ID)), drawn, PAD_ID)
    longest = int((targets != PAD_ID).sum(axis=1).max())
    length = min(-(-longest // LENGTH_STEP) * LENGTH_STEP, targets.shape[1])
    targets = targets[:, :length].astype(np.int32)
    inputs = np.roll(targets, 1, axis=1)
    inputs[:, 0] = START_ID
    return inputs, targets


def advantages(rewards: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`(N, samples)` -> `(B,)`: how much more each is worth than the mean of its photo's others."""
    samples = rewards.shape[1]
    others = (rewards.sum(axis=1, keepdims=True) - rewards) / (samples - 1)
    difference: npt.NDArray[np.float32] = rewards - others
    return difference.reshape(-1)
