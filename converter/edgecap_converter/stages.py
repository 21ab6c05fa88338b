"""The stages of a training, each kept in the working folder under all that it depends on.

A stage starts from the checkpoint of the one before it, and two trainings that agree in their
first stages compute them once.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
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
    Plan,
    SequenceSettings,
    TrainingSettings,
    flat,
)
from edgecap_converter.progress import say
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
    texts = hashlib.sha256("\n".join(corpus.texts).encode()).hexdigest()
    scorer = Scorer([photo.captions for photo in corpus.dev])
    for name, settings, trainer_of in _stages(plan):
        if settings.epochs == 0:
            continue
        done = {**model.configuration.training, **flat(name, settings)}
        configuration = dataclasses.replace(model.configuration, training=done)
        folder = corpus.work / f"{name}-{_key(configuration, texts)}"
        checkpoint = folder / "model.npz"
        if not checkpoint.exists():
            trainer = trainer_of(model, settings, corpus)
            best, _ = run_epochs(trainer, settings.epochs, scorer, folder, name)
            checkpoints.assign(model.models, model.weights() | best)
            dataclasses.replace(model, configuration=configuration).save(checkpoint)
        say(f"{name}: {checkpoint}")
        # From here on the weights are those of the float16 checkpoint, so that training on from
        # it and compressing it give the same as this run.
        model = Model.load(checkpoint)
    return model


Settings = TrainingSettings | FineTuningSettings | SequenceSettings
Stage = tuple[str, Settings, Callable[[Model, Any, Corpus], Trainer]]


def _stages(plan: Plan) -> list[Stage]:
    return [
        ("training", plan.training, _train_decoder),
        ("fine_tuning", plan.fine_tuning, _fine_tune),
        ("sequence", plan.sequence, _train_on_sequences),
    ]


def _train_decoder(model: Model, settings: TrainingSettings, corpus: Corpus) -> Trainer:
    features = corpus.features(model, "train"), corpus.features(model, "dev")
    return DecoderTrainer(model, settings, corpus.captions(model), *features)


def _fine_tune(model: Model, settings: FineTuningSettings, corpus: Corpus) -> Trainer:
    mirrorable = may_be_mirrored(corpus.train)
    pixels = corpus.pixels(model, "train"), corpus.pixels(model, "dev")
    return FineTuner(model, settings, corpus.captions(model), mirrorable, *pixels)


def _train_on_sequences(model: Model, settings: SequenceSettings, corpus: Corpus) -> Trainer:
    mirrorable = may_be_mirrored(corpus.train)
    views = [corpus.features(model, "train", mirrored) for mirrored in (False, True)]
    dev_features = corpus.features(model, "dev")
    captions = corpus.captions(model)
    return SequenceTrainer(model, settings, captions, mirrorable, views, dev_features)


def _key(configuration: Configuration, texts_sha256: str) -> str:
    digest = hashlib.sha256(schema.canonical(schema.to_value(configuration)))
    digest.update(texts_sha256.encode())
    return digest.hexdigest()[:16]
