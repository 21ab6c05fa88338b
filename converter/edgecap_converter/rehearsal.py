"""Trains the decoder word by word again, and takes the mean of its weights before and after.

Training by whole captions makes a decoder sure of one caption: a beam finds nothing better, and
captions become alike. Words alone would undo what it gained. The mean of both sets of weights has
much of either (Wortsman et al. 2022), and costs a device nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgecap_converter import checkpoints
from edgecap_converter.epochs import Trainer


class Rehearser:
    """A `Trainer` of `epochs` around another one: it gives the mean of the weights before and now.

    The trainer's own go on undisturbed.
    """

    earliest = 0

    def __init__(self, trainer: Trainer, models: Sequence[Any], share: float) -> None:
        """
        Args:
            trainer: has taken no step yet.
            models: Keras models; the ones whose weights the trainer gives.
            share: what the weights now count in the mean, 0..1.
        """
        self._trainer, self._models, self._share = trainer, models, share
        self._before = trainer.weights()

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self._trainer.steps

    def epoch(self, number: int) -> Iterator[float]:
        """The trainer's."""
        return self._trainer.epoch(number)

    def dev_captions(self) -> list[str]:
        """A greedy caption for each dev photo, from the mean."""
        now = self._trainer.weights()
        checkpoints.assign(self._models, self.weights())
        try:
            return self._trainer.dev_captions()
        finally:
            checkpoints.assign(self._models, now)

    def weights(self) -> checkpoints.Arrays:
        """The mean of the weights before and now."""
        now = self._trainer.weights()
        return {
            name: before + np.float32(self._share) * (now[name] - before)
            for name, before in self._before.items()
        }

    def state(self) -> checkpoints.Arrays:
        """The trainer's, without the weights before."""
        return self._trainer.state()

    def restore(self, state: checkpoints.Arrays) -> None:
        """Takes up what `state` gave."""
        self._trainer.restore(state)
