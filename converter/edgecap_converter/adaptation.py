"""Trains the decoder on what the exported encoder gives, computed as the device computes it.

Rounding moves every photo's features a little; a decoder that has seen only exact ones pays for
that in captions. Here it learns on, by whole captions, from the very numbers it will be given.

Letters: `N` photos, `S` values that the encoder gives for a photo, all its outputs together.
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.manifest import Tensor
from edgecap_converter.augmentation import may_be_mirrored
from edgecap_converter.epochs import Trainer
from edgecap_converter.export import Exported
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan, SequenceSettings
from edgecap_converter.progress import progress
from edgecap_converter.recipes import Recipe
from edgecap_converter.sequence_training import SequenceTrainer
from edgecap_converter.stages import Corpus, Stage, run_stage


def adapts(model: Model, encoder: Recipe, decoder: Recipe) -> bool:
    """Whether the decoder is to learn from the exported encoder.

    Only of an encoder that may be trained too, and for a decoder that learned from whole captions
    before; one that is pruned or rounded has had its own training.
    """
    by_sequences = "sequence_epochs" in model.configuration.training
    return encoder.quantization_aware and by_sequences and not decoder.trains


def adapt(model: Model, encoder: Exported, plan: Plan, corpus: Corpus) -> Model:
    """Trains embedding, cell and head of `model`, or finds that done; `model` may be used up.

    Args:
        encoder: the model's encoder and projection.

    Raises:
        ConversionError: if a photo or a checkpoint cannot be read or written.
        EngineError: if there is no engine, or it fails.
    """

    def build(model: Model, settings: SequenceSettings, corpus: Corpus) -> Trainer:
        pixels = corpus.pixels(model, "train")
        views = [encoded(encoder, view, "train") for view in (pixels, pixels[:, :, ::-1])]
        dev = encoded(encoder, corpus.pixels(model, "dev"), "dev")
        # What a device is given stands for the projection, which stays as it was exported.
        decoder = dataclasses.replace(model.decoder, projection=unpacking(encoder.graph.outputs))
        return SequenceTrainer(
            dataclasses.replace(model, decoder=decoder),
            settings, corpus.captions(model), may_be_mirrored(corpus.train), views, dev,
        )  # fmt: skip

    details = {"encoder_sha256": hashlib.sha256(encoder.content).hexdigest()}
    return run_stage(Stage("adaptation", plan.adaptation, build, details), model, corpus)


def encoded(
    encoder: Exported, photos: npt.NDArray[np.uint8], split: str
) -> npt.NDArray[np.float16]:
    """What the engine gives for uint8 photos `(N, side, side, 3)`: `(N, 1, 1, S)`.

    A grid of one position, in which the outputs stand one after another, in the graph's order.
    """
    from edgecap_runtime.captioner import available_threads
    from edgecap_runtime.interpreter import Network, find_engine

    network = Network(encoder.content, encoder.graph, find_engine(), available_threads())
    outputs = encoder.graph.outputs
    packed = np.empty((len(photos), 1, 1, sum(map(_size, outputs))), np.float16)
    with progress(f"encoding {split} as the device does", len(photos), "photo") as advance:
        for photo, row in zip(photos, packed, strict=True):
            network.set("photo", np.ascontiguousarray(photo[np.newaxis]))
            network.invoke()
            row[0, 0] = np.concatenate([network.get(one.name).ravel() for one in outputs])
            advance(1)
    return packed


def unpacking(outputs: Sequence[Tensor]) -> Any:
    """A Keras model without weights: `(N, 1, 1, S)` -> the outputs by name, as a projection's."""
    keras = import_tensorflow().keras
    sizes = [_size(one) for one in outputs]
    packed = keras.layers.Input((1, 1, sum(sizes)), name="packed")
    parts = import_tensorflow().split(keras.layers.Flatten()(packed), sizes, axis=1)
    named = {
        one.name: keras.layers.Reshape(one.shape[1:])(part)
        for one, part in zip(outputs, parts, strict=True)
    }
    return keras.Model(packed, named, name="unpacking")


def _size(tensor: Tensor) -> int:
    """Values for one photo; the first axis is that of photos."""
    return math.prod(tensor.shape[1:])
