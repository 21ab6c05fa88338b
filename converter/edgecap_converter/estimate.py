"""What a training will cost, said before it starts."""

import math
import os
from dataclasses import dataclass

from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.macs import multiply_accumulates
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan, SequenceSettings, TrainingSettings
from edgecap_converter.progress import say
from edgecap_converter.recipes import Recipe
from edgecap_converter.stages import Corpus

# Measured on 2 x86-64 cores (AMD EPYC, AVX2), per core: EfficientNet-Lite0 features, a step of
# the default attention decoder, and what export and verification of 1,000 photos took.
ENCODER_MACS_PER_SECOND = 11e9
TRAINING_WEIGHTS_PER_SECOND = 0.6e9
FIXED_SECONDS = 180
MEMORY_BYTES = 4e9
# Against a pass of the encoder: a step forwards and back through its upper layers, or all.
FINE_TUNING_PASSES = 2.5
RETRAINING_PASSES = 4.0
# Against a step word by word: drawing captions, scoring them, and the step.
SEQUENCE_STEPS = 2.0
# Of the encoder's float32 weights, in this process and the converter's; measured with VGG16.
EXPORT_COPIES = 14


@dataclass(frozen=True)
class Estimate:
    """Expected time in seconds, and disk and memory in bytes; good to a factor of two."""

    trained_weights: int
    seconds: float
    disk_bytes: float
    memory_bytes: float

    @classmethod
    def of(
        cls, model: Model, plan: Plan, corpus: Corpus, recipes: tuple[Recipe, Recipe], trained: bool
    ) -> "Estimate":
        """From the sizes of the model and of the data.

        Args:
            recipes: the encoder's and the decoder's.
            trained: whether the plan's own stages are done.
        """
        encoder, decoder = recipes
        weights: int = sum(part.count_params() for part in model.decoder.models)
        encoding = _multiply_accumulates(model) / ENCODER_MACS_PER_SECOND
        learning = weights / TRAINING_WEIGHTS_PER_SECOND
        captions, train_photos = len(corpus.texts), len(corpus.train)
        photos = train_photos + len(corpus.dev)

        def of_words(settings: TrainingSettings) -> float:
            return settings.epochs * captions * learning

        def of_sequences(settings: SequenceSettings) -> float:
            return settings.epochs * photos * settings.samples * SEQUENCE_STEPS * learning

        planned = not trained and plan.sequence.epochs > 0
        by_sequences = model.configuration.by_sequences or planned
        seconds, views = photos * encoding, 1
        if not trained:
            tuning = plan.fine_tuning
            seconds += of_words(plan.training) + of_words(plan.rehearsal)
            seconds += of_sequences(plan.sequence)
            seconds += tuning.epochs * photos * FINE_TUNING_PASSES * encoding
            seconds += tuning.epochs * photos * tuning.captions * learning
            views += 2 if plan.sequence.epochs else 0
        if encoder.quantization_aware:
            matching = plan.encoder_matching
            seconds += matching.epochs * train_photos * (RETRAINING_PASSES + 1) * encoding
            seconds += matching.epochs * len(corpus.dev) * encoding
            views += 1
            if by_sequences and not decoder.trains:
                seconds += of_sequences(plan.adaptation) + 2 * photos * encoding
        if encoder.sparsity:
            again = plan.encoder_retraining
            seen = again.epochs * (again.steps * again.photos or train_photos)
            seconds += seen * (RETRAINING_PASSES * encoding + again.captions * learning)
            seconds += again.epochs * len(corpus.dev) * encoding
            views += 1
        if decoder.trains:
            seconds += of_words(plan.decoder_retraining)
            if by_sequences:
                seconds += of_sequences(plan.sequence_retraining)
        # Features as float16; weights and two Adam moments as float32, the best weights again.
        features = 2 * photos * math.prod(model.network.output_shape[1:])
        disk = views * features + 16 * weights
        seconds += (views - 1) * photos * encoding
        memory = MEMORY_BYTES + EXPORT_COPIES * 4 * model.network.count_params() + disk
        return cls(weights, seconds / _cores() + FIXED_SECONDS, disk, memory)

    def announce(self) -> None:
        """Two lines on stderr."""
        say(
            f"training {self.trained_weights / 1e6:.1f} million weights; stop with Ctrl-C, "
            "the same command goes on"
        )
        say(
            f"expected on {_cores()} cores: about {self.seconds / 60:.0f} minutes, "
            f"{self.disk_bytes / 1e9:.2f} GB of disk, up to {self.memory_bytes / 1e9:.0f} GB of "
            "memory (the features' part of it is cache)"
        )


def _cores() -> int:
    return os.cpu_count() or 1


def _multiply_accumulates(model: Model) -> int:
    """Of the encoder's network, for a photo."""
    side, tensorflow = model.encoder.side, import_tensorflow()
    photo = tensorflow.TensorSpec((1, side, side, 3), tensorflow.float32)
    graph = tensorflow.function(model.network, autograph=False).get_concrete_function(photo)
    return multiply_accumulates(graph)
