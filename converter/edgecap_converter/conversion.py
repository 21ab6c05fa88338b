"""`edgecap convert`: data in, verified bundle out; each stage is kept in the working folder."""

import dataclasses
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgecap import schema
from edgecap.bundle import write_bundle
from edgecap.datasets import CaptionedPhoto, load_dataset, select
from edgecap.manifest import DECODER, ENCODER, FORMAT, TOKENIZER, VERSION, InputFormat, Manifest
from edgecap.tokenizer import Tokenizer
from edgecap_converter import export
from edgecap_converter.batches import encode_captions
from edgecap_converter.decoders import DecoderSize
from edgecap_converter.encoder_weights import load_network, weights_sha256
from edgecap_converter.encoders import find_encoder
from edgecap_converter.estimate import Estimate
from edgecap_converter.features import RESAMPLING, cached_features, load_photos
from edgecap_converter.frameworks import make_reproducible, require_extra
from edgecap_converter.model import Configuration, Model, build_model
from edgecap_converter.model_card import ModelCard
from edgecap_converter.origin import describe_origin, oldest_engines
from edgecap_converter.progress import say
from edgecap_converter.quantization import FULL_INTEGER
from edgecap_converter.recipes import DECODER_RECIPES, ENCODER_RECIPES, find_recipe
from edgecap_converter.search import GreedySearch
from edgecap_converter.training import TrainingSettings, train
from edgecap_converter.verify import measure, require_input_scale, require_quality


@dataclass(frozen=True)
class Conversion:
    """Everything that `edgecap convert` can be asked for."""

    data: Path
    output: Path
    work: Path
    encoder: str = "efficientnet_lite0"
    encoder_weights: str | None = None
    decoder: str = "attention"
    size: DecoderSize = field(default_factory=DecoderSize)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    minimum_count: int = 5
    """A word that is rarer in the train captions is unknown to the model."""
    seed: int = 0
    checkpoint: Path | None = None
    """A trained model to compress, instead of training one."""
    encoder_compression: str = "quantize"
    decoder_compression: str = "quantize"
    calibration_photos: int = 256
    maximum_quality_loss: float = 1.0
    """CIDEr points on dev that the bundle may lose against its float model."""
    as_zip: bool = False
    licence: str = "not stated: ask whoever made this bundle"


def convert(request: Conversion) -> Manifest:
    """Trains (or loads), compresses, exports and verifies; the bundle appears when it is sound.

    Returns:
        The manifest of the bundle that was written.

    Raises:
        EdgecapError: of the kind that fits whatever is wrong with data, weights, options, disk
            or the quality of the result.
    """
    require_extra()
    encoder_recipe = find_recipe(ENCODER_RECIPES, request.encoder_compression, "encoder")
    decoder_recipe = find_recipe(DECODER_RECIPES, request.decoder_compression, "decoder")
    photos = load_dataset(request.data)
    train_photos, dev_photos = select(photos, "train"), select(photos, "dev")
    make_reproducible()
    if request.checkpoint is not None:
        model = Model.load(request.checkpoint)
    else:
        model = train_model(request, train_photos, dev_photos)

    maximum_words = model.configuration.maximum_words
    float_captions = GreedySearch(model.decoder, model.tokenizer, maximum_words).captions(
        _features(model, dev_photos, request.work)
    )
    generator = np.random.default_rng(request.seed)
    count = min(request.calibration_photos, len(train_photos))
    chosen = np.sort(generator.choice(len(train_photos), count, replace=False))
    calibration = load_photos(model.encoder, [train_photos[index].path for index in chosen])
    request.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-", dir=request.work) as name:
        folder = Path(name)
        say("exporting the encoder")
        encoder = export.export_encoder(
            model.encoder, model.network, model.decoder, calibration,
            encoder_recipe.quantization, folder,
        )  # fmt: skip
        if encoder_recipe.quantization == FULL_INTEGER:
            require_input_scale(encoder.content, model.encoder)
        say("exporting the decoder")
        decoder = export.export_decoder(model.decoder, decoder_recipe.quantization, folder)
        members = {
            ENCODER: encoder.content,
            DECODER: decoder.content,
            TOKENIZER: model.tokenizer.to_json(),
        }
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            name=request.output.name.removesuffix(".edgecap"),
            input=InputFormat(model.encoder.side, model.encoder.side, RESAMPLING, "RGB"),
            encoder=encoder.graph,
            decoder=decoder.graph,
            maximum_words=maximum_words,
            members={},
            origin=describe_origin(model.configuration, request),
            measured=None,
            oldest_engines=oldest_engines((encoder.content, decoder.content)),
            licence=request.licence,
            model_card="",
        )
        unverified = folder / "unverified.edgecap"
        write_bundle(unverified, manifest, members)
        measured = measure(unverified, dev_photos, "dev", float_captions)
    require_quality(measured, request.maximum_quality_loss)
    manifest = dataclasses.replace(manifest, measured=measured)
    card = ModelCard(manifest, len(train_photos), sum(len(p.captions) for p in train_photos))
    manifest = dataclasses.replace(manifest, model_card=card.text())
    return write_bundle(request.output, manifest, members, request.as_zip)


def train_model(
    request: Conversion,
    train_photos: Sequence[CaptionedPhoto],
    dev_photos: Sequence[CaptionedPhoto],
) -> Model:
    """Trains as asked, or finds the same training finished in the working folder.

    Raises:
        EdgecapError: as `convert`.
    """
    encoder = find_encoder(request.encoder)
    network, network_sha256 = load_network(encoder, request.encoder_weights, request.seed)
    captions = [caption for photo in train_photos for caption in photo.captions]
    tokenizer = Tokenizer.build(captions, request.minimum_count)
    configuration = Configuration(
        encoder=request.encoder,
        decoder=request.decoder,
        size=request.size,
        words=tokenizer.words,
        maximum_words=request.training.maximum_words,
        dataset=request.data.name,
        seed=request.seed,
        training={
            **dataclasses.asdict(request.training),
            "minimum_count": request.minimum_count,
            "encoder_weights_sha256": network_sha256,
        },
    )
    model = build_model(configuration, encoder, network)
    Estimate.of(model, len(train_photos) + len(dev_photos), len(captions), request).announce()

    paths = [[photo.path for photo in split] for split in (train_photos, dev_photos)]
    train_features, dev_features = (
        cached_features(encoder, network, network_sha256, split, request.work) for split in paths
    )
    folder = request.work / f"training-{_training_key(configuration, network_sha256, captions)}"
    checkpoint = folder / "model.npz"
    if not checkpoint.exists():
        train(
            model.decoder,
            tokenizer,
            request.training,
            train_features,
            encode_captions(train_photos, tokenizer, request.training.maximum_words),
            dev_features,
            [photo.captions for photo in dev_photos],
            folder,
            request.seed,
        )
        model.save(checkpoint)
    say(f"trained model: {checkpoint}")
    # From here on the weights are those of the float16 checkpoint, so that compressing the
    # checkpoint again gives the same bundle.
    return Model.load(checkpoint)


def _training_key(configuration: Configuration, network_sha256: str, captions: list[str]) -> str:
    digest = hashlib.sha256(schema.canonical(schema.to_value(configuration)))
    digest.update(network_sha256.encode())
    digest.update("\n".join(captions).encode())
    return digest.hexdigest()[:16]


def _features(model: Model, photos: Sequence[CaptionedPhoto], work: Path) -> Any:
    sha256 = weights_sha256(model.network)
    paths = [photo.path for photo in photos]
    return cached_features(model.encoder, model.network, sha256, paths, work)
