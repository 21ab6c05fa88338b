"""Magnitude pruning: weights become zero, the smallest first, while the others learn on.

Schedule and masks are tensorflow-model-optimization's. Its wrappers of layers are made for Keras's
`fit`; here its masks are renewed and applied between the steps of a trainer instead.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConversionError
from edgecap.manifest import Weights
from edgecap_converter import checkpoints
from edgecap_converter.epochs import Trainer
from edgecap_converter.frameworks import import_optimization, import_tensorflow

RAMP = 0.6
"""Share of the steps in which the sparsity rises to its target; the rest recovers."""
# Renewals of the masks on the way: each sorts all weights.
RENEWALS = 20
BLOCK = 4
"""Weights of dense layers and word vectors that become zero together.

One by one, the places of 80 % zeros alone hold 0.72 bits a weight, and a deflated int8 decoder
keeps 0.37 to 0.40 of its size; in blocks of four it keeps 0.30."""
# Of one variable: without any weights a layer passes nothing on.
MOST = 0.98


class PruningTrainer:
    """A `Trainer` of `epochs` around another one, which keeps some of its weights at zero."""

    def __init__(
        self, trainer: Trainer, models: Sequence[Any], sparsity: float, total_steps: int
    ) -> None:
        """
        Args:
            trainer: changes the weights; it must give those of its last step, no mean of weights.
            models: Keras models; what `prunable` finds in them is pruned.
            sparsity: share of the weights that becomes zero, 0..1; see `shares`.
            total_steps: of all epochs. 0 keeps at zero what is zero already, and makes no more.
        """
        tensorflow = import_tensorflow()
        decay = import_optimization().sparsity.keras.PolynomialDecay
        from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

        self._trainer = trainer
        self._masks = [
            tensorflow.Variable(tensorflow.cast(weight != 0, weight.dtype), trainable=False)
            for weight in prunable(models)
        ]
        ramp = int(RAMP * total_steps)
        frequency = max(1, ramp // RENEWALS)
        # The schedule has its last value at its last step: it must be one of the renewals.
        last = frequency * max(1, ramp // frequency)
        self.earliest = max(0, -(-last // trainer.steps) - 1) if total_steps else 0
        self._done = tensorflow.Variable(0, trainable=False, dtype=tensorflow.int64)
        weights = prunable(models)
        prunings = []
        for weight, mask, share in zip(
            weights, self._masks, shares(weights, sparsity), strict=True
        ):
            # Zhu and Gupta 2017: fast at first, then ever slower.
            schedule = decay(0.0, share, 0, last, power=3, frequency=frequency)
            triple = (weight, mask, tensorflow.Variable(0.0, trainable=False))
            block = block_shape(weight)
            prunings.append(
                pruning_impl.Pruning(self._done.value, [triple], schedule, block, "AVG")
            )

        @tensorflow.function(autograph=False)  # type: ignore[untyped-decorator]
        def prune() -> None:
            for pruning in prunings:
                if total_steps:
                    pruning.conditional_mask_update()
                pruning.weight_mask_op()

        self._prune = prune

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self._trainer.steps

    def epoch(self, number: int) -> Iterator[float]:
        """The trainer's, with what is pruned set to zero after each step."""
        for done, loss in enumerate(self._trainer.epoch(number), start=number * self.steps + 1):
            self._done.assign(done)
            self._prune()
            yield loss

    def dev_captions(self) -> list[str]:
        """The trainer's."""
        return self._trainer.dev_captions()

    def weights(self) -> checkpoints.Arrays:
        """The trainer's."""
        return self._trainer.weights()

    def state(self) -> checkpoints.Arrays:
        """The trainer's, and which weights are pruned."""
        masks = {f"mask/{i}": mask.numpy().astype(bool) for i, mask in enumerate(self._masks)}
        return {**self._trainer.state(), **masks}

    def restore(self, state: checkpoints.Arrays) -> None:
        """Takes up what `state` gave."""
        self._trainer.restore(state)
        for index, mask in enumerate(self._masks):
            mask.assign(state[f"mask/{index}"].astype(np.float32))


def prunable(models: Sequence[Any]) -> list[Any]:
    """The variables that tensorflow-model-optimization prunes: kernels and embeddings.

    Those of depthwise convolutions are not among them.
    """
    import_optimization()
    from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import (
        PruneRegistry,
    )

    return [
        weight
        for model in models
        for layer in model.layers
        if PruneRegistry.supports(layer)
        for weight in PruneRegistry.make_prunable(layer).get_prunable_weights()
    ]


def shares(weights: Sequence[Any], sparsity: float) -> list[float]:
    """The sparsity of each variable, 0..1, so that `sparsity` of all weights is zero.

    Convolutions are followed by normalization, so the size of one's weights says nothing beside
    another's: each loses the same share. Dense layers and word vectors have one threshold, since
    some can spare more than others (Blalock et al. 2020, section 7.3, compare the two ways).
    """
    flat = [_block_means(weight) for weight in weights if weight.shape.rank == 2]
    threshold = np.quantile(np.concatenate(flat), sparsity) if flat else 0.0
    found = (float(np.mean(values <= threshold)) for values in flat)
    return [min(next(found), MOST) if weight.shape.rank == 2 else sparsity for weight in weights]


def _block_means(weight: Any) -> npt.NDArray[np.float32]:
    """Of each weight's block, by which it stays or goes."""
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_utils import (
        factorized_pool,
    )

    absolute, block = abs(weight.value()), block_shape(weight)
    if block == (1, 1):
        return np.ravel(absolute.numpy())
    pooled = factorized_pool(absolute, block, "AVG", block, "SAME")
    return np.repeat(np.ravel(pooled.numpy()), BLOCK)


def block_shape(weight: Any) -> tuple[int, int]:
    """Which neighbours become zero together: those that are neighbours in the exported file.

    There a dense kernel `(inputs, outputs)` stands transposed, vectors of words `(V, E)` as they
    are. tensorflow-model-optimization knows no blocks of convolutions, nor of a single row.
    """
    if weight.shape.rank != 2 or 1 in weight.shape:
        return (1, 1)
    return (1, BLOCK) if "embeddings" in weight.name else (BLOCK, 1)


def require_zeros(half: str, models: Sequence[Any], exported: Sequence[Weights]) -> None:
    """Refuses a graph in which fewer weights are zero than in the models it was exported from.

    Raises:
        ConversionError: naming both numbers.
    """
    expected = sum(int(np.count_nonzero(weight.numpy() == 0)) for weight in prunable(models))
    found = sum(weights.zeros for weights in exported)
    if found < 0.99 * expected:
        raise ConversionError(
            f"the exported {half} has {found:,} weights that are zero, its pruned model "
            f"{expected:,}: the conversion lost them; choose another quantization"
        )
