"""`edgecap convert`: data in, verified bundle out; each stage is kept in the working folder."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecap.bundle import write_bundle
from edgecap.datasets import load_dataset, select
from edgecap.errors import ConversionError
from edgecap.manifest import DECODER, ENCODER, FORMAT, TOKENIZER, VERSION, InputFormat, Manifest
from edgecap_converter import export
from edgecap_converter.adaptation import adapt, adapts
from edgecap_converter.compression import compress, decoder_models, encoder_models
from edgecap_converter.estimate import Estimate
from edgecap_converter.features import RESAMPLING, encode_function, load_photos
from edgecap_converter.frameworks import make_reproducible, require_extra
from edgecap_converter.model import Model
from edgecap_converter.model_card import ModelCard
from edgecap_converter.origin import describe_origin, oldest_engines
from edgecap_converter.plan import Plan
from edgecap_converter.progress import say
from edgecap_converter.pruning import require_zeros
from edgecap_converter.quantization import FULL_INTEGER
from edgecap_converter.recipes import DECODER_RECIPES, ENCODER_RECIPES, find_recipe
from edgecap_converter.search import GreedySearch
from edgecap_converter.stages import Corpus, start, train
from edgecap_converter.storage import working_folder
from edgecap_converter.verify import measure, require_input_scale, require_quality


@dataclass(frozen=True)
class Conversion:
    """Everything that `edgecap convert` can be asked for."""

    data: Path
    output: Path
    work: Path
    plan: Plan = field(default_factory=Plan)
    encoder_weights: str | None = None
    seed: int = 0
    checkpoint: Path | None = None
    """A trained model to compress, instead of training one."""
    encoder_compression: str = "quantize"
    decoder_compression: str = "quantize"
    calibration_photos: int = 64
    """More of them widen the int8 ranges to their rarest values, and make the steps coarser."""
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
    corpus = Corpus(request.data.name, select(photos, "train"), select(photos, "dev"), request.work)
    make_reproducible()
    recipes, plan = (encoder_recipe, decoder_recipe), request.plan
    calibration_count = min(request.calibration_photos, len(corpus.train))
    if not calibration_count and any(recipe.quantization == FULL_INTEGER for recipe in recipes):
        # Before hours of training, not after them.
        raise ConversionError(
            "full-int8 quantization needs calibration photos, there are none: ask for some with "
            "--calibration-photos, or choose another quantization"
        )
    trained = request.checkpoint is not None
    if request.checkpoint is not None:
        model = Model.load(request.checkpoint)
    else:
        model = start(plan, corpus, request.encoder_weights, request.seed)
    if not trained or any(recipe.trains for recipe in recipes):
        Estimate.of(model, plan, corpus, recipes, trained).announce()
    if not trained:
        model = train(model, plan, corpus)

    # What every compressed bundle is held against: the model before any compression.
    maximum_words = model.configuration.maximum_words
    float_captions = GreedySearch(model.decoder, model.tokenizer, maximum_words).captions(
        corpus.features(model, "dev")
    )
    model = compress(model, *recipes, plan, corpus)
    generator = np.random.default_rng(request.seed)
    chosen = np.sort(generator.choice(len(corpus.train), calibration_count, replace=False))
    calibration = load_photos(model.encoder, [corpus.train[index].path for index in chosen])
    with working_folder(request.work, "export-") as folder:
        say("exporting the encoder")
        encoder = export.export_encoder(
            model.encoder, model.network, model.decoder, calibration,
            encoder_recipe.quantization, folder,
        )  # fmt: skip
        if encoder_recipe.quantization == FULL_INTEGER:
            require_input_scale(encoder.content, model.encoder)
        if adapts(model, encoder_recipe, decoder_recipe):
            model = adapt(model, encoder, plan, corpus)
        say("exporting the decoder")
        grid = None
        if decoder_recipe.quantization == FULL_INTEGER:
            grid = encode_function(model.encoder, model.network)(calibration)
        decoder = export.export_decoder(model.decoder, decoder_recipe.quantization, folder, grid)
        if encoder_recipe.sparsity:
            require_zeros("encoder", encoder_models(model), encoder.graph.weights or ())
        if decoder_recipe.sparsity:
            require_zeros("decoder", decoder_models(model), decoder.graph.weights or ())
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
        measured = measure(unverified, corpus.dev, "dev", float_captions)
    require_quality(measured, request.maximum_quality_loss)
    manifest = dataclasses.replace(manifest, measured=measured)
    card = ModelCard(manifest, len(corpus.train), len(corpus.texts))
    manifest = dataclasses.replace(manifest, model_card=card.text())
    return write_bundle(request.output, manifest, members, request.as_zip)
