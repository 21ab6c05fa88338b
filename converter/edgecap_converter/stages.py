"""The stages of a training, each kept in the working folder under all that it depends on.

A stage starts from the checkpoint of the one before it, and two trainings that agree in their
first stages compute them once.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecap import schema
from edgecap.datasets import CaptionedPhoto
from edgecap.metrics import Scorer
from edgecap.tokenizer import Tokenizer
from edgecap_converter import checkpoints
from edgecap_converter.augmentation import may_be_mirrored
from edgecap_converter.batches import Captions, encode_captions
from edgecap_converter.encoder_weights import load_network, weights_sha256
from edgecap_converter.encoders import find_encoder
from edgecap_converter.epochs import Trainer, run_epochs
from edgecap_converter.features import cached_features, load_photos
from edgecap_converter.fine_tuning import FineTuner
from edgecap_converter.model import Configuration, Model, build_model
from edgecap_converter.plan import (
    FineTuningSettings,
    MatchingSettings,
    Plan,
    RehearsalSettings,
    SequenceSettings,
    TrainingSettings,
    flat,
)
from edgecap_converter.progress import say
from edgecap_converter.rehearsal import Rehearser
from edgecap_converter.sequence_training import SequenceTrainer
from edgecap_converter.training import DecoderTrainer


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The photos of a training, and where what is computed of them is kept."""

    name: str
    train: Sequence[CaptionedPhoto]
    dev: Sequence[CaptionedPhoto]
    work: Path

    @property
    def texts(self) -> list[str]:
        """The train captions, as people wrote them."""
        return [caption for photo in self.train for caption in photo.captions]

    def captions(self, model: Model) -> Captions:
        """The train captions as the model's ids."""
        return encode_captions(self.train, model.tokenizer, model.configuration.maximum_words)

    def pixels(self, model: Model, split: str) -> Any:
        """uint8 `(N, side, side, 3)`."""
        return load_photos(model.encoder, self._paths(split))

    def features(self, model: Model, split: str, mirrored: bool = False) -> Any:
        """Cached float16 `(N, height, width, D)` of the photos, or of their mirror images."""
        sha256, paths = weights_sha256(model.network), self._paths(split)
        return cached_features(model.encoder, model.network, sha256, paths, self.work, mirrored)

    def _paths(self, split: str) -> list[Path]:
        return [photo.path for photo in (self.train if split == "train" else self.dev)]


def start(plan: Plan, corpus: Corpus, encoder_weights: str | None, seed: int) -> Model:
    """The model before its first stage: a pretrained encoder, a decoder that knows nothing.

    Raises:
        EdgecapError: of the kind that fits what is wrong with names, sizes or weights.
    """
    encoder = find_encoder(plan.encoder)
    network, network_sha256 = load_network(encoder, encoder_weights, seed)
    configuration = Configuration(
        encoder=plan.encoder,
        decoder=plan.decoder,
        size=plan.size,
        words=Tokenizer.build(corpus.texts, plan.minimum_count).words,
        maximum_words=plan.maximum_words,
        dataset=corpus.name,
        seed=seed,
        training={
            "minimum_count": plan.minimum_count,
            "encoder_weights_sha256": network_sha256,
        },
    )
    return build_model(configuration, encoder, network)


def train(model: Model, plan: Plan, corpus: Corpus) -> Model:
    """Trains `model` through the stages of its plan, or finds them done.

    Raises:
        ConversionError: if a photo or a checkpoint cannot be read or written.
    """
    for stage in (
        Stage("training", plan.training, train_decoder),
        Stage("fine_tuning", plan.fine_tuning, fine_tune),
        Stage("sequence", plan.sequence, train_on_sequences),
        Stage("rehearsal", plan.rehearsal, rehearse),
    ):
        model = run_stage(stage, model, corpus)
    return model


Settings = TrainingSettings | FineTuningSettings | SequenceSettings | MatchingSettings
Build = Callable[[Model, Any, Corpus], Trainer]
"""A trainer of a model, from its settings."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One training of a model, and its name in the working folder."""

    name: str
    settings: Settings
    trainer: Build
    details: Mapping[str, str | float] = dataclasses.field(default_factory=dict)
    """What else it depends on, by name."""


def run_stage(stage: Stage, model: Model, corpus: Corpus) -> Model:
    """Trains `model`, or finds that done.

    Returns:
        Another model: the one that the stage's checkpoint holds. `model` itself is used up.

    Raises:
        ConversionError: if a photo or a checkpoint cannot be read or written.
    """
    if stage.settings.epochs == 0:
        return model
    own = flat(stage.name, stage.settings)
    own |= {f"{stage.name}_{key}": value for key, value in stage.details.items()}
    done = {**model.configuration.training, **own}
    configuration = dataclasses.replace(model.configuration, training=done)
    folder = corpus.work / f"{stage.name}-{_key(configuration, model, corpus)}"
    checkpoint = folder / "model.npz"
    if not checkpoint.exists():
        trainer = stage.trainer(model, stage.settings, corpus)
        scorer = Scorer([photo.captions for photo in corpus.dev])
        best, _ = run_epochs(trainer, stage.settings.epochs, scorer, folder, stage.name)
        checkpoints.assign(model.models, model.weights() | best)
        dataclasses.replace(model, configuration=configuration).save(checkpoint)
    say(f"{stage.name}: {checkpoint}")
    # From here on the weights are those of the float16 checkpoint, so that training on from
    # it and compressing it give the same as this run.
    return Model.load(checkpoint)


def train_decoder(model: Model, settings: TrainingSettings, corpus: Corpus) -> Trainer:
    """The decoder, word by word, on features that do not change."""
    features = corpus.features(model, "train"), corpus.features(model, "dev")
    return DecoderTrainer(model, settings, corpus.captions(model), *features)


def rehearse(model: Model, settings: RehearsalSettings, corpus: Corpus) -> Trainer:
    """The decoder, word by word again; most of what whole captions taught it stays."""
    trainer = train_decoder(model, settings, corpus)
    return Rehearser(trainer, model.decoder.models, settings.share)


def fine_tune(model: Model, settings: FineTuningSettings, corpus: Corpus) -> Trainer:
    """Encoder and decoder together, word by word, on changed photos."""
    mirrorable = may_be_mirrored(corpus.train)
    pixels = corpus.pixels(model, "train"), corpus.pixels(model, "dev")
    return FineTuner(model, settings, corpus.captions(model), mirrorable, *pixels)


def train_on_sequences(model: Model, settings: SequenceSettings, corpus: Corpus) -> Trainer:
    """The decoder, by what whole captions are worth."""
    mirrorable = may_be_mirrored(corpus.train)
    views = [corpus.features(model, "train", mirrored) for mirrored in (False, True)]
    dev_features = corpus.features(model, "dev")
    captions = corpus.captions(model)
    return SequenceTrainer(model, settings, captions, mirrorable, views, dev_features)


def _key(configuration: Configuration, model: Model, corpus: Corpus) -> str:
    digest = hashlib.sha256(schema.canonical(schema.to_value(configuration)))
    digest.update(model.sha256().encode())
    digest.update(hashlib.sha256("\n".join(corpus.texts).encode()).hexdigest().encode())
    return digest.hexdigest()[:16]
