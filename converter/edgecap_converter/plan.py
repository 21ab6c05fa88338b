"""What is trained and how, as data: settings of each stage, and the named presets.

Imports nothing heavy: the command line shows these defaults.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgecap.errors import UsageError


@dataclass(frozen=True)
class DecoderSize:
    """Widths of a decoder's layers, in units."""

    features: int = 256
    attention: int = 256
    embedding: int = 256
    hidden: int = 512


@dataclass(frozen=True)
class TrainingSettings:
    """The first stage: the decoder, word by word, on features that do not change."""

    epochs: int = 15
    batch: int = 160
    """Captions a step."""
    learning_rate: float = 2e-3
    """Highest of the one-cycle schedule."""
    weight_decay: float = 1e-2
    dropout: float = 0.5
    """Of features, word vectors and what the head sees."""
    label_smoothing: float = 0.1
    maximum_gradient: float = 5.0
    """Largest norm of a step's gradient."""


@dataclass(frozen=True)
class FineTuningSettings:
    """The second stage: encoder and decoder together, word by word, on changed photos."""

    epochs: int = 10
    """0 for none."""
    steps: int = 0
    """Of an epoch; 0 for as many as show every photo once."""
    photos: int = 32
    """Photos a step."""
    captions: int = 3
    """Captions of each, another choice every epoch."""
    encoder_learning_rate: float = 1e-4
    decoder_learning_rate: float = 5e-4
    largest_grid: int = 28
    """Layers whose output has more positions a side than this stay as they are: the first ones,
    which see edges and colours, and cost most."""
    weight_decay: float = 1e-2
    dropout: float = 0.5
    label_smoothing: float = 0.1
    maximum_gradient: float = 5.0
    averaging: float = 0.998
    """Share of the mean of the weights that a step keeps; 0 for no mean."""


@dataclass(frozen=True)
class SequenceSettings:
    """The third stage: the decoder again, by what whole captions are worth."""

    epochs: int = 10
    """0 for none."""
    photos: int = 32
    """Photos a step."""
    samples: int = 5
    """Captions drawn for each."""
    learning_rate: float = 2e-4
    maximum_gradient: float = 1.0
    averaging: float = 0.998


# While a half is pruned or its numbers are rounded it is trained on, at lower rates than before.
# No mean of the weights: what pruning made zero, and rounding, holds for those of the last step.
ENCODER_RETRAINING = FineTuningSettings(
    epochs=4,
    steps=100,
    photos=16,
    # The projection's, which is exported with the encoder.
    decoder_learning_rate=1e-4,
    # All layers: those that see edges and colours lose weights too.
    largest_grid=4_096,
    averaging=0.0,
)
DECODER_RETRAINING = TrainingSettings(epochs=3, learning_rate=5e-4)
# Only of a decoder that was so trained before: words alone would undo it.
SEQUENCE_RETRAINING = SequenceSettings(epochs=3, learning_rate=1e-4, averaging=0.0)


@dataclass(frozen=True)
class Plan:
    """One captioner: its halves, its words, and the stages of its training."""

    encoder: str = "efficientnet_lite0"
    decoder: str = "attention"
    size: DecoderSize = field(default_factory=DecoderSize)
    minimum_count: int = 5
    """A word that is rarer in the train captions is unknown to the model."""
    maximum_words: int = 20
    """Longest caption that is learned and written."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    fine_tuning: FineTuningSettings = field(default_factory=FineTuningSettings)
    sequence: SequenceSettings = field(default_factory=SequenceSettings)
    encoder_retraining: FineTuningSettings = ENCODER_RETRAINING
    decoder_retraining: TrainingSettings = DECODER_RETRAINING
    sequence_retraining: SequenceSettings = SEQUENCE_RETRAINING

    def changed(self, values: Mapping[str, Any]) -> "Plan":
        """The same plan with other values, by their paths: `{"training.epochs": 3}`."""
        plan = self
        for path, value in values.items():
            stage, _, name = path.rpartition(".")
            if stage:
                value = dataclasses.replace(getattr(plan, stage), **{name: value})
            plan = dataclasses.replace(plan, **{stage or name: value})
        return plan


def flat(prefix: str, settings: Any) -> dict[str, str | bool | int | float]:
    """A stage's settings as a manifest holds them: `{"training_epochs": 3}`."""
    return {f"{prefix}_{name}": value for name, value in dataclasses.asdict(settings).items()}


_FROZEN = Plan(fine_tuning=FineTuningSettings(epochs=0), sequence=SequenceSettings(epochs=0))

PRESETS = {
    "best": Plan(),
    "frozen": _FROZEN,
    "paper": dataclasses.replace(
        _FROZEN,
        encoder="vgg16",
        decoder="merge",
        size=DecoderSize(features=256, attention=256, embedding=256, hidden=256),
        minimum_count=1,
        maximum_words=32,
        training=TrainingSettings(epochs=10, label_smoothing=0.0),
    ),
}
"""`best` makes the default bundle; `frozen` leaves the encoder as it is, in a fifth of the time;
`paper` is the captioner of Rampal and Mohanty (arXiv 2012.09708), trained our way."""


def find_preset(name: str) -> Plan:
    """The preset of that name.

    Raises:
        UsageError: naming the known ones.
    """
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
