"""Trains the decoder on what the exported encoder gives, computed as the device computes it.

Rounding moves every photo's features a little; a decoder that has seen only exact ones pays for
that in captions. Here it learns on, by whole captions, from the very numbers it will be given.
"""

import dataclasses
import hashlib
from typing import Any

from edgecap.manifest import Graph
from edgecap_converter.augmentation import may_be_mirrored
from edgecap_converter.epochs import Trainer
from edgecap_converter.export import Exported
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan, SequenceSettings
from edgecap_converter.recipes import Recipe
from edgecap_converter.sequence_training import SequenceTrainer
from edgecap_converter.stages import Corpus, Stage, run_stage
from edgecap_converter.verify import run_encoder, values


def adapts(model: Model, encoder: Recipe, decoder: Recipe) -> bool:
    """Whether the decoder is to learn from the exported encoder.

    Only of an encoder that may be trained too, and for a decoder that learned from whole captions
    before; one that is pruned or rounded has had its own training.
    """
    by_sequences = model.configuration.by_sequences
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
        views = [run_encoder(encoder, view, "train") for view in (pixels, pixels[:, :, ::-1])]
        dev = run_encoder(encoder, corpus.pixels(model, "dev"), "dev")
        # What a device is given stands for the projection, which stays as it was exported.
        decoder = dataclasses.replace(model.decoder, projection=unpacking(encoder.graph))
        return SequenceTrainer(
            dataclasses.replace(model, decoder=decoder),
            settings, corpus.captions(model), may_be_mirrored(corpus.train), views, dev,
        )  # fmt: skip

    details = {"encoder_sha256": hashlib.sha256(encoder.content).hexdigest()}
    return run_stage(Stage("adaptation", plan.adaptation, build, details), model, corpus)


def unpacking(encoder: Graph) -> Any:
    """A Keras model without weights: what `run_encoder` gives -> the outputs, by their names."""
    tensorflow = import_tensorflow()
    layers = tensorflow.keras.layers
    sizes = [values(one) for one in encoder.outputs]
    packed = layers.Input((1, 1, sum(sizes)), name="packed")
    parts = tensorflow.split(layers.Flatten()(packed), sizes, axis=1)
    named = {
        one.name: layers.Reshape(one.shape[1:])(part)
        for one, part in zip(encoder.outputs, parts, strict=True)
    }
    return tensorflow.keras.Model(packed, named, name="unpacking")
