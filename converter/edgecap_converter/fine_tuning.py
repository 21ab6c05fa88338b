"""Trains encoder and decoder together on changed photos, a mean of the weights being kept.

Letters: `N` photos, `B` captions, `T` words of a caption and its end, `D` encoder's feature width.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap_converter import checkpoints
from edgecap_converter.augmentation import change, draw_changes
from edgecap_converter.batches import Captions, photo_batch_count, photo_steps
from edgecap_converter.features import encode_function
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.optimizer import Optimizer
from edgecap_converter.plan import FineTuningSettings
from edgecap_converter.search import GreedySearch
from edgecap_converter.unroll import Masks, dropout_masks, smoothed_loss, unroll


class FineTuner:
    """A model, its optimizers and the training step; a `Trainer` of `epochs`."""

    earliest = 0

    def __init__(
        self,
        model: Model,
        settings: FineTuningSettings,
        captions: Captions,
        mirrorable: npt.NDArray[np.bool_],
        photos: npt.NDArray[np.uint8],
        dev_photos: npt.NDArray[np.uint8],
    ) -> None:
        """
        Args:
            captions: of `N` photos.
            mirrorable: which of them may be mirrored, `(N,)`.
            photos: `(N, side, side, 3)`.
            dev_photos: of other photos, likewise.
        """
        tensorflow = import_tensorflow()
        self._model, self._settings, self._captions = model, settings, captions
        self._seed = model.configuration.seed
        self._photos, self._mirrorable, self._dev_photos = photos, mirrorable, dev_photos
        self._search = GreedySearch(
            model.decoder, model.tokenizer, model.configuration.maximum_words
        )
        train_layers_up_to(model.network, settings.largest_grid)
        self._encoder_variables = model.network.trainable_variables
        self._decoder_variables = model.decoder.variables
        self._optimizers = {
            half: Optimizer(
                variables,
                learning_rate,
                self.steps * settings.epochs,
                weight_decay=settings.weight_decay,
                maximum_gradient=settings.maximum_gradient,
                averaging=settings.averaging,
            )
            for half, variables, learning_rate in (
                ("encoder", self._encoder_variables, settings.encoder_learning_rate),
                ("decoder", self._decoder_variables, settings.decoder_learning_rate),
            )
        }
        self._step = tensorflow.function(self._train_step, autograph=False)
        # XLA makes the decoder's many small operations twice as fast on a CPU, and convolutions
        # ten times as slow: the encoder stays outside.
        self._gradients = tensorflow.function(
            self._decoder_gradients, autograph=False, jit_compile=True
        )
        self._encode = encode_function(model.encoder, model.network)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        settings = self._settings
        return settings.steps or photo_batch_count(self._captions, settings.photos)

    def epoch(self, number: int) -> Iterator[float]:
        """The next photos, changed; gives each step's loss in nats a word."""
        settings, first = self._settings, number * self.steps
        batches = photo_steps(
            self._captions, settings.photos, settings.captions,
            self._model.configuration.maximum_words, self._seed, first, self.steps,
        )  # fmt: skip
        # The random numbers of a step depend on its number alone: a resumed run repeats them.
        for step, batch in enumerate(batches, start=first):
            for optimizer in self._optimizers.values():
                optimizer.start_step(step)
            changes = draw_changes(
                np.random.default_rng((self._seed, step)), self._mirrorable[batch.photos]
            )
            yield float(
                self._step(
                    self._photos[batch.photos],
                    (changes.boxes, changes.contrast, changes.brightness),
                    batch.inputs,
                    batch.targets,
                    np.array([self._seed, step], np.int32),
                )
            )

    def _train_step(self, pixels: Any, changes: Any, inputs: Any, targets: Any, seed: Any) -> Any:
        tensorflow = import_tensorflow()
        network, encoder = self._model.network, self._model.encoder
        with tensorflow.GradientTape() as tape:
            grid = network(encoder.normalize(change(pixels, *changes)), training=False)
        masks = dropout_masks(self._model.decoder, grid, inputs, self._settings.dropout, seed)
        loss, grid_gradient, *decoder_gradients = self._gradients(grid, inputs, targets, masks)
        encoder_gradients = tape.gradient(grid, self._encoder_variables, grid_gradient)
        self._optimizers["encoder"].apply(encoder_gradients)
        self._optimizers["decoder"].apply(decoder_gradients)
        return loss

    def _decoder_gradients(self, grid: Any, inputs: Any, targets: Any, masks: Masks) -> Any:
        """Loss, and its gradients: of the grid, then of the decoder's variables."""
        tensorflow = import_tensorflow()
        with tensorflow.GradientTape() as tape:
            tape.watch(grid)
            scores = unroll(self._model.decoder, grid, inputs, Masks(*masks))
            loss = smoothed_loss(scores, targets, self._settings.label_smoothing)
        return (loss, *tape.gradient(loss, [grid, *self._decoder_variables]))

    def dev_captions(self) -> list[str]:
        """A greedy caption for each dev photo, from the mean weights."""
        with self._mean_weights():
            return self._search.captions(self._encode(self._dev_photos))

    def weights(self) -> checkpoints.Arrays:
        """The mean weights of encoder and decoder."""
        with self._mean_weights():
            return checkpoints.weights(self._model.models)

    def state(self) -> checkpoints.Arrays:
        """Weights and both optimizers, the mean weights among their variables."""
        arrays = checkpoints.weights(self._model.models)
        for half, optimizer in self._optimizers.items():
            arrays |= optimizer.state(f"optimizer/{half}")
        return arrays

    def restore(self, state: checkpoints.Arrays) -> None:
        """Takes up what `state` gave."""
        checkpoints.assign(self._model.models, state)
        for half, optimizer in self._optimizers.items():
            optimizer.restore(state, f"optimizer/{half}")

    @contextlib.contextmanager
    def _mean_weights(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for optimizer in self._optimizers.values():
                stack.enter_context(optimizer.mean_weights())
            yield


def train_layers_up_to(network: Any, largest_grid: int) -> None:
    """Lets only layers learn whose output has at most this many positions a side."""
    network.trainable = True
    for layer in network.layers:
        shape = layer.output_shape
        if isinstance(shape, tuple) and len(shape) == 4 and shape[1] > largest_grid:
            layer.trainable = False
