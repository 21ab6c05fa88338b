"""Trains the decoder word by word again, and takes the mean of its weights before and after.

Training by whole captions makes a decoder sure of one caption: a beam finds nothing better, and
captions become alike. Words alone would undo what it gained. The mean of both sets of weights has
much of either (Wortsman et al. 2022), and costs a device nothing.

Letters: `N` photos, `D` encoder's feature width.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edgecap_converter import checkpoints
from edgecap_converter.batches import Captions
from edgecap_converter.model import Model
from edgecap_converter.plan import RehearsalSettings
from edgecap_converter.training import DecoderTrainer


class Rehearser(DecoderTrainer):
    """A `DecoderTrainer` that gives the mean of the weights it began with and has."""

    def __init__(
        self,
        model: Model,
        settings: RehearsalSettings,
        captions: Captions,
        features: npt.NDArray[np.float16],
        dev_features: npt.NDArray[np.float16],
    ) -> None:
        """
        Args:
            captions: of the photos whose features these are, `(N, height, width, D)`.
            dev_features: of other photos, likewise.
        """
        super().__init__(model, settings, captions, features, dev_features)
        self._share = settings.share
        self._before = super().weights()

    def dev_captions(self) -> list[str]:
        """A greedy caption for each dev photo, from the mean."""
        with self._mean_weights():
            return super().dev_captions()

    def weights(self) -> checkpoints.Arrays:
        """The mean of the decoder before and now."""
        now = super().weights()
        return {
            name: before + np.float32(self._share) * (now[name] - before)
            for name, before in self._before.items()
        }

    def state(self) -> checkpoints.Arrays:
        """The weights as they are, without those before, and the optimizer."""
        return {**super().weights(), **self._optimizer.state()}

    @contextlib.contextmanager
    def _mean_weights(self) -> Iterator[None]:
        now = super().weights()
        checkpoints.assign(self._decoder.models, self.weights())
        try:
            yield
        finally:
            checkpoints.assign(self._decoder.models, now)
