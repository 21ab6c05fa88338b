"""Gradients -> weights: AdamW, one cycle of the learning rate, and the mean of the weights."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

from edgecap_converter import checkpoints
from edgecap_converter.frameworks import import_tensorflow


class Optimizer:
    """AdamW (Loshchilov and Hutter 2019) for some of a model's variables."""

    def __init__(
        self,
        variables: Sequence[Any],
        learning_rate: float,
        total_steps: int,
        *,
        weight_decay: float = 0.0,
        maximum_gradient: float,
        averaging: float = 0.0,
    ) -> None:
        """
        Args:
            learning_rate: highest of the cycle, which ends after `total_steps`.
            maximum_gradient: largest norm of a step's gradient, all variables taken together.
            averaging: share of the mean of the weights that a step keeps (Polyak and Juditsky
                1992); 0 for no mean.
        """
        self._variables, self._learning_rate = variables, learning_rate
        self._total_steps, self._averaging = total_steps, averaging
        self._adam = import_tensorflow().keras.optimizers.AdamW(
            learning_rate,
            weight_decay=weight_decay,
            global_clipnorm=maximum_gradient,
            use_ema=averaging > 0,
            ema_momentum=averaging,
        )
        self._adam.build(variables)

    def start_step(self, step: int) -> None:
        """Sets the learning rate of a step, counted from 0 over all epochs."""
        rate = self._learning_rate * one_cycle(step / self._total_steps)
        self._adam.learning_rate.assign(rate)

    def apply(self, gradients: Sequence[Any]) -> None:
        """One step; may be called inside a `tensorflow.function`."""
        self._adam.apply_gradients(zip(gradients, self._variables, strict=True))

    @contextlib.contextmanager
    def mean_weights(self) -> Iterator[None]:
        """Inside, the variables hold the mean of the weights, if there is one."""
        if not self._averaging:
            yield
            return
        current = [variable.numpy() for variable in self._variables]
        self._adam.finalize_variable_values(self._variables)
        try:
            yield
        finally:
            for variable, value in zip(self._variables, current, strict=True):
                variable.assign(value)

    def state(self, prefix: str = "optimizer") -> checkpoints.Arrays:
        """The optimizer's own variables, the mean of the weights among them."""
        return {f"{prefix}/{i}": v.numpy() for i, v in enumerate(self._adam.variables)}

    def restore(self, arrays: checkpoints.Arrays, prefix: str = "optimizer") -> None:
        """Takes up what `state` gave."""
        for index, variable in enumerate(self._adam.variables):
            variable.assign(arrays[f"{prefix}/{index}"])


def one_cycle(done: float) -> float:
    """Learning rate as a share of its highest, after a share `done` of all steps (0..1).

    Up over a tenth of the steps, then down a half cosine (Smith 2018).
    """
    warm_up = 0.1
    if done < warm_up:
        return done / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))
