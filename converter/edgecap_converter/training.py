"""Trains a decoder word by word on features that do not change.

Letters: `N` photos, `B` batch, `T` words of a caption and its end, `D` encoder's feature width.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap_converter import checkpoints
from edgecap_converter.batches import Captions, batch_count, epoch_batches
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.optimizer import Optimizer
from edgecap_converter.plan import TrainingSettings
from edgecap_converter.search import GreedySearch
from edgecap_converter.unroll import Masks, dropout_masks, smoothed_loss, unroll


class DecoderTrainer:
    """One decoder, its optimizer and the compiled step; a `Trainer` of `epochs`."""

    earliest = 0

    def __init__(
        self,
        model: Model,
        settings: TrainingSettings,
        captions: Captions,
        features: npt.NDArray[np.float16],
        dev_features: npt.NDArray[np.float16],
    ) -> None:
        """
        Args:
            captions: of the photos whose features these are, `(N, height, width, D)`.
            dev_features: `(., height, width, D)`.
        """
        tensorflow = import_tensorflow()
        self._decoder, self._settings = model.decoder, settings
        self._seed = model.configuration.seed
        self._captions, self._features, self._dev_features = captions, features, dev_features
        self._words = model.configuration.maximum_words
        self._search = GreedySearch(model.decoder, model.tokenizer, self._words)
        self._variables = model.decoder.variables
        self._optimizer = Optimizer(
            self._variables,
            settings.learning_rate,
            self.steps * settings.epochs,
            weight_decay=settings.weight_decay,
            maximum_gradient=settings.maximum_gradient,
        )
        # XLA fuses the many small operations of the unrolled words: twice as fast on a CPU.
        self._step = tensorflow.function(self._train_step, autograph=False, jit_compile=True)
        self._masks = tensorflow.function(
            lambda grid, inputs, seed: dropout_masks(
                model.decoder, grid, inputs, settings.dropout, seed
            ),
            autograph=False,
        )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return batch_count(self._captions, self._settings.batch)

    def epoch(self, number: int) -> Iterator[float]:
        """Every caption once; gives each step's loss in nats a word."""
        batches = epoch_batches(
            self._captions, self._settings.batch, self._words, self._seed, number
        )
        # The random numbers of a step depend on its number alone: a resumed run repeats them.
        for step, batch in enumerate(batches, start=number * self.steps):
            self._optimizer.start_step(step)
            grid = self._features[batch.photos]
            masks = self._masks(grid, batch.inputs, np.array([self._seed, step], np.int32))
            yield float(self._step(grid, batch.inputs, batch.targets, masks))

    def _train_step(self, grid: Any, inputs: Any, targets: Any, masks: Masks) -> Any:
        tensorflow = import_tensorflow()
        with tensorflow.GradientTape() as tape:
            scores = unroll(self._decoder, tensorflow.cast(grid, tensorflow.float32), inputs, masks)
            loss = smoothed_loss(scores, targets, self._settings.label_smoothing)
        self._optimizer.apply(tape.gradient(loss, self._variables))
        return loss

    def dev_captions(self) -> list[str]:
        """A greedy caption for each dev photo."""
        return self._search.captions(self._dev_features)

    def weights(self) -> checkpoints.Arrays:
        """The decoder's."""
        return checkpoints.weights(self._decoder.models)

    def state(self) -> checkpoints.Arrays:
        """Weights and optimizer."""
        return {**self.weights(), **self._optimizer.state()}

    def restore(self, state: checkpoints.Arrays) -> None:
        """Takes up what `state` gave."""
        checkpoints.assign(self._decoder.models, state)
        self._optimizer.restore(state)
