"""Trains a rounded encoder to give what the float one gives, on changed photos.

The float encoder is the teacher (Hinton et al. 2015; of hidden layers, Romero et al. 2015), so no
caption is needed, and what the decoder learned before, from words or from whole captions, still
holds.

Letters: `N` photos.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap_converter import checkpoints
from edgecap_converter.augmentation import change, draw_changes
from edgecap_converter.features import encode_function
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.optimizer import Optimizer
from edgecap_converter.plan import MatchingSettings
from edgecap_converter.search import GreedySearch


class EncoderMatcher:
    """A model whose encoder and projection learn from another's; a `Trainer` of `epochs`."""

    earliest = 0

    def __init__(
        self,
        model: Model,
        teacher: Model,
        settings: MatchingSettings,
        mirrorable: npt.NDArray[np.bool_],
        photos: npt.NDArray[np.uint8],
        dev_photos: npt.NDArray[np.uint8],
    ) -> None:
        """
        Args:
            model: learns; its decoder but for the projection stays as it is.
            teacher: the same captioner, not rounded.
            mirrorable: which of `N` photos may be mirrored, `(N,)`.
            photos: `(N, side, side, 3)`.
            dev_photos: of other photos, likewise.
        """
        tensorflow = import_tensorflow()
        self._model, self._teacher, self._settings = model, teacher, settings
        self._seed = model.configuration.seed
        self._photos, self._mirrorable, self._dev_photos = photos, mirrorable, dev_photos
        self._search = GreedySearch(
            model.decoder, model.tokenizer, model.configuration.maximum_words
        )
        model.network.trainable = True
        learning = (model.network, model.decoder.projection)
        self._variables = [v for part in learning for v in part.trainable_variables]
        self._optimizer = Optimizer(
            self._variables,
            settings.learning_rate,
            self.steps * settings.epochs,
            maximum_gradient=settings.maximum_gradient,
            averaging=settings.averaging,
        )
        self._step = tensorflow.function(self._train_step, autograph=False)
        self._encode = encode_function(model.encoder, model.network)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self._photos) // self._settings.photos)

    def epoch(self, number: int) -> Iterator[float]:
        """Every photo once, changed; gives each step's loss, as `distance` has it."""
        size = self._settings.photos
        generator = np.random.default_rng((self._seed, number))
        order = np.resize(generator.permutation(len(self._photos)), self.steps * size)
        for step in range(self.steps):
            self._optimizer.start_step(number * self.steps + step)
            chosen = order[step * size : (step + 1) * size]
            changes = draw_changes(generator, self._mirrorable[chosen])
            drawn = changes.boxes, changes.contrast, changes.brightness
            yield float(self._step(self._photos[chosen], drawn))

    def _train_step(self, pixels: Any, changes: Any) -> Any:
        tensorflow = import_tensorflow()
        photos = self._model.encoder.normalize(change(pixels, *changes))
        true = _encode(self._teacher, photos)
        with tensorflow.GradientTape() as tape:
            loss = distance(_encode(self._model, photos), true)
        self._optimizer.apply(tape.gradient(loss, self._variables))
        return loss

    def dev_captions(self) -> list[str]:
        """A greedy caption for each dev photo, from the mean weights."""
        with self._optimizer.mean_weights():
            return self._search.captions(self._encode(self._dev_photos))

    def weights(self) -> checkpoints.Arrays:
        """The mean weights of encoder and projection, and the decoder's."""
        with self._optimizer.mean_weights():
            return checkpoints.weights(self._model.models)

    def state(self) -> checkpoints.Arrays:
        """Weights and optimizer, the mean weights among its variables."""
        return {**checkpoints.weights(self._model.models), **self._optimizer.state()}

    def restore(self, state: checkpoints.Arrays) -> None:
        """Takes up what `state` gave."""
        checkpoints.assign(self._model.models, state)
        self._optimizer.restore(state)


def _encode(model: Model, photos: Any) -> dict[str, Any]:
    return model.decoder.photo(model.network(photos, training=False))


def distance(found: dict[str, Any], true: dict[str, Any]) -> Any:
    """Squared error of each tensor as a share of its variance, their mean; 0 for none.

    The share makes tensors of different scale count alike; one that is constant has none.
    """
    tensorflow = import_tensorflow()
    shares = []
    for name, tensor in true.items():
        error = tensorflow.reduce_mean(tensorflow.square(found[name] - tensor))
        variance = tensorflow.math.reduce_variance(tensor)
        shares.append(tensorflow.math.divide_no_nan(error, variance))
    return tensorflow.reduce_mean(tensorflow.stack(shares))
