"""What a training will cost, said before it starts."""

import math
import os
from dataclasses import dataclass

from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.macs import multiply_accumulates
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan
from edgecap_converter.progress import say
from edgecap_converter.stages import Corpus

# Measured on 2 x86-64 cores (AMD EPYC, AVX2), per core: EfficientNet-Lite0 features, a step of
# the default attention decoder, and what export and verification of 1,000 photos took.
ENCODER_MACS_PER_SECOND = 11e9
TRAINING_WEIGHTS_PER_SECOND = 0.6e9
FIXED_SECONDS = 180
MEMORY_BYTES = 4e9
# Against a pass of the encoder: a step forwards and back through its upper layers.
FINE_TUNING_PASSES = 2.5
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
    def of(cls, model: Model, plan: Plan, corpus: Corpus) -> "Estimate":
        """From the sizes of the model and of the data."""
        weights = sum(part.count_params() for part in model.decoder.models)
        side, cores = model.encoder.side, os.cpu_count() or 1
        tensorflow = import_tensorflow()
        photo = tensorflow.TensorSpec((1, side, side, 3), tensorflow.float32)
        graph = tensorflow.function(model.network, autograph=False).get_concrete_function(photo)
        encoding = multiply_accumulates(graph) / ENCODER_MACS_PER_SECOND
        learning = weights / TRAINING_WEIGHTS_PER_SECOND
        tuning, sequence = plan.fine_tuning, plan.sequence
        photos = len(corpus.train) + len(corpus.dev)
        views = 1 + (2 if sequence.epochs else 0)
        seconds = views * photos * encoding + plan.training.epochs * len(corpus.texts) * learning
        seconds += tuning.epochs * photos * FINE_TUNING_PASSES * encoding
        seconds += tuning.epochs * photos * tuning.captions * learning
        seconds += sequence.epochs * photos * sequence.samples * SEQUENCE_STEPS * learning
        # Features as float16; weights and two Adam moments as float32, the best weights again.
        features = 2 * photos * math.prod(model.network.output_shape[1:])
        disk = views * features + 16 * weights
        memory = MEMORY_BYTES + EXPORT_COPIES * 4 * model.network.count_params() + disk
        return cls(weights, seconds / cores + FIXED_SECONDS, disk, memory)

    def announce(self) -> None:
        """Two lines on stderr."""
        say(
            f"training {self.trained_weights / 1e6:.1f} million weights; stop with Ctrl-C, "
            "the same command goes on"
        )
        say(
            f"expected on {os.cpu_count()} cores: about {self.seconds / 60:.0f} minutes, "
            f"{self.disk_bytes / 1e9:.2f} GB of disk, up to {self.memory_bytes / 1e9:.0f} GB of "
            "memory (the features' part of it is cache)"
        )
