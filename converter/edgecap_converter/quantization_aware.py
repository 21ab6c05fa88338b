"""Quantization-aware training (Jacob et al. 2018): layers that round as the device will.

What is trained is a copy of a Keras model in tensorflow-model-optimization's wrappers, whose
variables have the names of the model's own; they go back into it, and it is exported as one that
was never wrapped. That gives the rounded weights that training saw: the same rule makes them.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConversionError
from edgecap_converter import checkpoints
from edgecap_converter.features import BATCH
from edgecap_converter.frameworks import import_optimization, import_tensorflow
from edgecap_converter.model import Model

# Layers with weights to round: the weights' attribute, and the axes that share a scale, as the
# export has it: one scale an output channel, of a dense layer one in all.
_WEIGHTS = {
    "Conv2D": ("kernel", (0, 1, 2)),
    "DepthwiseConv2D": ("depthwise_kernel", (0, 1, 3)),
    "Dense": ("kernel", (0, 1)),
}
# Layers whose output is a new int8 tensor; others only move values about.
_NEW_VALUES = {
    *_WEIGHTS, "BatchNormalization", "ReLU", "Activation", "Add", "AveragePooling2D",
    "GlobalAveragePooling2D", "Concatenate", "Rescaling",
}  # fmt: skip
# Batch normalization becomes part of the convolution. Vectors of words stay as they are.
_LEFT_ALONE = {"BatchNormalization", "Embedding"}


def aware_encoder(model: Model, photos: npt.NDArray[np.uint8]) -> Model:
    """The same captioner; encoder and projection round weights and what passes between layers.

    Args:
        photos: train photos `(N, side, side, 3)`; what passes on them sets the ranges.

    Raises:
        ConversionError: if there is no such training for one of the layers.
    """
    network = _aware(model.network, "encoder", outputs=True)
    projection = _aware(model.decoder.projection, "encoder", outputs=True)
    # Ranges grow in calls for training; frozen, batch norm keeps its statistics even there.
    network.trainable = False
    for start in range(0, len(photos), BATCH):
        pixels = model.encoder.normalize(photos[start : start + BATCH])
        projection(network(pixels, training=True), training=True)
    decoder = dataclasses.replace(model.decoder, projection=projection)
    return dataclasses.replace(model, network=network, decoder=decoder)


def aware_decoder(model: Model) -> Model:
    """The same captioner; cell and head round their weights, as in dynamic-range int8.

    Raises:
        ConversionError: if there is no such training for one of the layers.
    """
    cell = _aware(model.decoder.cell, "decoder", outputs=False)
    head = _aware(model.decoder.head, "decoder", outputs=False)
    decoder = dataclasses.replace(model.decoder, cell=cell, head=head)
    return dataclasses.replace(model, decoder=decoder)


def _aware(model: Any, half: str, outputs: bool) -> Any:
    """A copy of a Keras model that rounds its weights and, if `outputs`, what layers give."""
    keras = import_tensorflow().keras
    wrapper = import_optimization().quantization.keras.QuantizeWrapperV2

    def copy(layer: Any) -> Any:
        kind = type(layer).__name__
        if layer.weights and kind not in _WEIGHTS.keys() | _LEFT_ALONE:
            raise ConversionError(
                f"the {half}'s layer {layer.name} is a {kind}: there is quantization-aware "
                f"training of {', '.join(_WEIGHTS)} only; choose quantize or prune:N+quantize"
            )
        copied = type(layer).from_config(layer.get_config())
        rounding = _Rounding(kind, outputs and kind in _NEW_VALUES and not _fused(layer, model))
        # The name is the layer's, so that its variables have theirs.
        return wrapper(copied, rounding, name=layer.name) if rounding.any else copied

    aware = keras.models.clone_model(model, clone_function=copy)
    checkpoints.assign([aware], checkpoints.weights([aware]) | checkpoints.weights([model]))
    return aware


def _fused(layer: Any, model: Any) -> bool:
    """Whether TFLite computes the layer and the one behind it as one operation."""
    inside = {id(one) for one in model.layers}
    behind = [node.outbound_layer for node in layer.outbound_nodes]
    behind = [one for one in behind if id(one) in inside]
    if len(behind) != 1:
        return False
    kind, activation = type(behind[0]).__name__, getattr(behind[0], "activation", None)
    return kind in ("BatchNormalization", "ReLU") or (
        kind == "Activation" and getattr(activation, "__name__", "") in ("relu", "relu6")
    )


class _Rounding:
    """What a wrapper rounds: a `QuantizeConfig` of tensorflow-model-optimization."""

    def __init__(self, kind: str, output: bool) -> None:
        self._weights, self._output = _WEIGHTS.get(kind), output
        self.any = output or self._weights is not None

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        if self._weights is None:
            return []
        attribute, axes = self._weights
        return [(getattr(layer, attribute), _RoundedWeights(axes))]

    def set_quantize_weights(self, layer: Any, weights: list[Any]) -> None:
        if self._weights is not None:
            setattr(layer, self._weights[0], weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:  # noqa: ARG002
        return []

    def set_quantize_activations(self, layer: Any, activations: list[Any]) -> None:
        pass

    def get_output_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        if not self._output:
            return []
        quantizers = import_optimization().quantization.keras.quantizers
        return [
            quantizers.AllValuesQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]


class _RoundedWeights:
    """Weights as the export rounds them: int8 of -127..127, the largest magnitude its end.

    tensorflow-model-optimization's own quantizers keep one range for a whole depthwise kernel,
    where the export has one a channel.
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        # Imported here: Keras has AutoGraph rewrite whatever a layer calls.
        self._axes, self._tensorflow = axes, import_tensorflow()

    def build(self, shape: Any, name: str, layer: Any) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def __call__(self, weight: Any, training: bool, weights: Any) -> Any:  # noqa: ARG002
        tensorflow = self._tensorflow
        largest = tensorflow.reduce_max(tensorflow.abs(weight), axis=self._axes, keepdims=True)
        step = tensorflow.maximum(largest, 1e-12) / 127
        rounded = tensorflow.round(weight / step) * step
        # Gradients go past the rounding (Bengio 2013).
        return weight + tensorflow.stop_gradient(rounded - weight)
