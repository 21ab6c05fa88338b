"""What is trained and how, as data: settings of each stage, and the named presets.

Imports nothing heavy: the command line shows these defaults.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgecap.contract import MAXIMUM_WORDS
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


@dataclass(frozen=True)
class RehearsalSettings(TrainingSettings):
    """The fourth stage: the decoder, word by word again, and the mean of before and after."""

    epochs: int = 1
    """0 for none."""
    learning_rate: float = 5e-4
    share: float = 0.3
    """What the weights after it count in the mean, those before it counting the rest."""


@dataclass(frozen=True)
class MatchingSettings:
    """A rounded encoder learns to give what the float one gives, on changed photos."""

    epochs: int = 1
    photos: int = 16
    """Photos a step."""
    learning_rate: float = 2e-5
    maximum_gradient: float = 1.0
    averaging: float = 0.0


# While a half is pruned, or the decoder rounded, it is trained on, at lower rates than before.
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
DECODER_RETRAINING = TrainingSettings(epochs=6)
# Only of a decoder that was so trained before: words alone would undo it.
SEQUENCE_RETRAINING = SequenceSettings(epochs=3, learning_rate=1e-4, averaging=0.0)
# The decoder, when the encoder's rounding is learned: from what the exported encoder gives.
ADAPTATION = SequenceSettings(epochs=2, learning_rate=5e-5, averaging=0.99)


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
    rehearsal: RehearsalSettings = field(default_factory=RehearsalSettings)
    encoder_retraining: FineTuningSettings = ENCODER_RETRAINING
    encoder_matching: MatchingSettings = field(default_factory=MatchingSettings)
    adaptation: SequenceSettings = ADAPTATION
    decoder_retraining: TrainingSettings = DECODER_RETRAINING
    sequence_retraining: SequenceSettings = SEQUENCE_RETRAINING

    def values(self) -> dict[str, Any]:
        """Every text and number by its path."""
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            if dataclasses.is_dataclass(value):
                found |= {f"{name}.{inner}": each for inner, each in vars(value).items()}
            else:
                found[name] = value
        return found

    def changed(self, values: Mapping[str, Any]) -> "Plan":
        """The same plan with other values, by their paths: `{"training.epochs": 3}`.

        Raises:
            UsageError: for an unknown path, a value of another type, or one outside its limits.
        """
        plan, known = self, self.values()
        for path, given in values.items():
            if path not in known:
                raise UsageError(f"a plan has no {path[:60]!r}: give one of {', '.join(known)}")
            value: Any = _checked(path, given, type(known[path]))
            stage, _, name = path.rpartition(".")
            if stage:
                value = dataclasses.replace(getattr(plan, stage), **{name: value})
            plan = dataclasses.replace(plan, **{stage or name: value})
        return plan


class Limits(NamedTuple):
    """Between which a number of a plan lies, both ends among it unless `above` says otherwise."""

    lowest: float
    highest: float
    above: bool = False
    """Whether the lowest itself is too low."""

    def __str__(self) -> str:
        return f"{'more than ' if self.above else ''}{self.lowest:g} to {self.highest:g}"


_WIDTH, _COUNT, _RATE = Limits(1, 8_192), Limits(1, 1_000_000), Limits(0, 1, above=True)
# By the name of the number, in whichever stage; by its whole path where stages differ.
_LIMITS = {
    "features": _WIDTH,
    "attention": _WIDTH,
    "embedding": _WIDTH,
    "hidden": _WIDTH,
    "minimum_count": _COUNT,
    "maximum_words": Limits(1, MAXIMUM_WORDS),
    "epochs": Limits(0, 10_000),
    "training.epochs": Limits(1, 10_000),
    "encoder_retraining.epochs": Limits(1, 10_000),
    "encoder_matching.epochs": Limits(1, 10_000),
    "decoder_retraining.epochs": Limits(1, 10_000),
    "steps": Limits(0, 1_000_000),
    "batch": _COUNT,
    "photos": _COUNT,
    "captions": _COUNT,
    "samples": Limits(2, 1_000),
    "share": Limits(0, 1, above=True),
    "learning_rate": _RATE,
    "encoder_learning_rate": _RATE,
    "decoder_learning_rate": _RATE,
    "weight_decay": Limits(0, 1),
    "dropout": Limits(0, 0.95),
    "label_smoothing": Limits(0, 0.95),
    "maximum_gradient": Limits(0, 1e6, above=True),
    "largest_grid": _COUNT,
    "averaging": Limits(0, 0.99999),
}


def limits(path: str) -> Limits:
    """Of the number at a path of a plan."""
    return _LIMITS.get(path) or _LIMITS[path.rpartition(".")[2]]


def _checked(path: str, value: Any, kind: Any) -> Any:
    """The value, as its kind; bool is an int to Python only, and 1 a fine rate."""
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise UsageError(f"{path}: expected {kind.__name__}, got {type(value).__name__}")
    if kind is not str:
        lowest, highest, above = allowed = limits(path)
        if not lowest <= value <= highest or (above and value == lowest):
            raise UsageError(f"{path} is {str(value)[:20]}: give {allowed}")
    return kind(value)


def flat(prefix: str, settings: Any) -> dict[str, str | bool | int | float]:
    """A stage's settings as a manifest holds them: `{"training_epochs": 3}`."""
    return {f"{prefix}_{name}": value for name, value in dataclasses.asdict(settings).items()}


_FROZEN = Plan(
    fine_tuning=FineTuningSettings(epochs=0),
    sequence=SequenceSettings(epochs=0),
    rehearsal=RehearsalSettings(epochs=0),
)

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
