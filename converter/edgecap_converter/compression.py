"""Training that belongs to a recipe: pruning, or rounding, while a half is trained on.

The encoder's half is the network and the decoder's projection, which are exported as one graph;
the decoder's is the rest. While one half is trained the other stays as it is, the encoder first:
the decoder then learns from what the compressed encoder gives.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from edgecap_converter.augmentation import may_be_mirrored
from edgecap_converter.epochs import Trainer
from edgecap_converter.matching import EncoderMatcher
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan
from edgecap_converter.pruning import PruningTrainer
from edgecap_converter.quantization_aware import aware_decoder, aware_encoder
from edgecap_converter.recipes import Recipe
from edgecap_converter.stages import (
    Build,
    Corpus,
    Stage,
    fine_tune,
    run_stage,
    train_decoder,
    train_on_sequences,
)

# Train photos that set the ranges between the encoder's layers for quantization-aware training.
RANGE_PHOTOS = 256


def encoder_models(model: Model) -> tuple[Any, ...]:
    """The Keras models of the encoder's half."""
    return (model.network, model.decoder.projection)


def decoder_models(model: Model) -> tuple[Any, ...]:
    """The Keras models of the decoder's half."""
    return model.decoder.models[1:]


def compress(model: Model, encoder: Recipe, decoder: Recipe, plan: Plan, corpus: Corpus) -> Model:
    """Trains a model as both recipes want it, or finds that done; `model` may be used up.

    Raises:
        ConversionError: if a photo or a checkpoint cannot be read or written, or there is no
            quantization-aware training for one of the layers.
    """
    for stage in _stages(model, encoder, decoder, plan):
        model = run_stage(stage, model, corpus)
    return model


def _stages(model: Model, encoder: Recipe, decoder: Recipe, plan: Plan) -> Iterator[Stage]:
    if encoder.quantization_aware:
        yield Stage("encoder_qat", plan.encoder_matching, _matcher)
    if encoder.sparsity:
        build = _encoder_pruner(encoder)
        yield Stage("encoder_pruning", plan.encoder_retraining, build, _details(encoder))
    if decoder.trains:
        name, details = _name("decoder", decoder), _details(decoder)
        # With fewer weights it overfits less (Han et al. 2015, section 3.2).
        dropout = plan.decoder_retraining.dropout * math.sqrt(1 - decoder.sparsity)
        settings = dataclasses.replace(plan.decoder_retraining, dropout=dropout)
        build = _decoder_trainer(decoder, train_decoder, ramp=True)
        yield Stage(name, settings, build, details)
        if model.configuration.by_sequences:
            build = _decoder_trainer(decoder, train_on_sequences, ramp=False)
            yield Stage(f"{name}_sequence", plan.sequence_retraining, build, details)


def _name(half: str, recipe: Recipe) -> str:
    return f"{half}_{'qat' if recipe.quantization_aware else 'pruning'}"


def _details(recipe: Recipe) -> dict[str, float]:
    return {"sparsity": recipe.sparsity} if recipe.sparsity else {}


def _matcher(model: Model, settings: Any, corpus: Corpus) -> Trainer:
    """Encoder and projection rounded, with the float ones as teachers."""
    pixels = corpus.pixels(model, "train"), corpus.pixels(model, "dev")
    aware = aware_encoder(model, pixels[0][:RANGE_PHOTOS])
    return EncoderMatcher(aware, model, settings, may_be_mirrored(corpus.train), *pixels)


def _encoder_pruner(recipe: Recipe) -> Build:
    def build(model: Model, settings: Any, corpus: Corpus) -> Trainer:
        for part in decoder_models(model):
            part.trainable = False
        trainer = fine_tune(model, settings, corpus)
        total = trainer.steps * settings.epochs
        return PruningTrainer(trainer, encoder_models(model), recipe.sparsity, total)

    return build


def _decoder_trainer(recipe: Recipe, train: Build, ramp: bool) -> Build:
    """A trainer of the decoder's half; its sparsity rises if `ramp`, else it stays as it is."""

    def build(model: Model, settings: Any, corpus: Corpus) -> Trainer:
        model.decoder.projection.trainable = False
        if recipe.quantization_aware:
            model = aware_decoder(model)
        trainer = train(model, settings, corpus)
        if not recipe.sparsity:
            return trainer
        total = trainer.steps * settings.epochs if ramp else 0
        return PruningTrainer(trainer, decoder_models(model), recipe.sparsity, total)

    return build
