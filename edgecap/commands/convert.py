"""`edgecap convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgecap.cli import print_line
from edgecap.contract import MAXIMUM_WORDS
from edgecap.errors import UsageError

_PATH: Any = click.Path(path_type=Path)
_WIDTH = click.IntRange(1, 8_192)


@click.command()
@click.option("--data", type=_PATH, required=True, metavar="DIR", help="The caption corpus.")
@click.option("--output", type=_PATH, required=True, metavar="NAME.edgecap", help="The bundle.")
@click.option(
    "--work",
    type=_PATH,
    default=Path("edgecap-work"),
    show_default=True,
    metavar="DIR",
    help="Keeps caches and checkpoints; a stopped run goes on from here.",
)
@click.option("--zip", "as_zip", is_flag=True, help="Write one zip file instead of a folder.")
@click.option("--force", is_flag=True, help="Replace an older bundle at --output.")
@click.option(
    "--checkpoint", type=_PATH, metavar="FILE", help="Compress this trained model; train nothing."
)
@click.option(
    "--encoder",
    default="efficientnet_lite0",
    show_default=True,
    help="efficientnet_lite0, mobilenet_v2_1.0 or mobilenet_v2_0.35.",
)
@click.option(
    "--encoder-weights",
    metavar="FILE",
    help="A .npz of its weights, or 'random'.  [default: $EDGECAP_WEIGHTS/ENCODER.npz if it is "
    "there, else Keras's download]",
)
@click.option("--decoder", default="attention", show_default=True, help="attention or lstm.")
@click.option("--features", type=_WIDTH, default=256, show_default=True, help="Feature width.")
@click.option("--attention", type=_WIDTH, default=256, show_default=True, help="Attention width.")
@click.option("--embedding", type=_WIDTH, default=256, show_default=True, help="Word width.")
@click.option("--hidden", type=_WIDTH, default=512, show_default=True, help="LSTM width.")
@click.option(
    "--minimum-count",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="A word rarer than this in the captions is not learned.",
)
@click.option(
    "--max-words",
    type=click.IntRange(1, MAXIMUM_WORDS),
    default=20,
    show_default=True,
    help="The longest caption.",
)
@click.option("--epochs", type=click.IntRange(1), default=15, show_default=True, help="Epochs.")
@click.option(
    "--batch", type=click.IntRange(1), default=160, show_default=True, help="Captions a step."
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, 1, min_open=True),
    default=2e-3,
    show_default=True,
    help="Highest of the one-cycle schedule.",
)
@click.option(
    "--dropout", type=click.FloatRange(0, 0.95), default=0.5, show_default=True, help="Dropout."
)
@click.option(
    "--label-smoothing",
    type=click.FloatRange(0, 0.9),
    default=0.1,
    show_default=True,
    help="Share of the probability that is spread over all words.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="The same seed gives the same bundle.",
)
@click.option(
    "--encoder-compression",
    default="quantize",
    show_default=True,
    help="none, or quantize: int8 throughout.",
)
@click.option(
    "--decoder-compression",
    default="quantize",
    show_default=True,
    help="none, or quantize: int8 weights.",
)
@click.option(
    "--calibration-photos",
    type=click.IntRange(1, 10_000),
    default=256,
    show_default=True,
    help="Train photos that set the encoder's int8 ranges.",
)
@click.option(
    "--max-quality-loss",
    type=click.FloatRange(0, 1_000),
    default=1.0,
    show_default=True,
    help="CIDEr points that compression may cost on dev; more refuses the bundle.",
)
@click.option(
    "--licence",
    default="not stated: ask whoever made this bundle",
    help="Of the model, for its manifest and card.",
)
def command(
    data: Path,
    output: Path,
    work: Path,
    as_zip: bool,
    force: bool,
    checkpoint: Path | None,
    encoder: str,
    encoder_weights: str | None,
    decoder: str,
    features: int,
    attention: int,
    embedding: int,
    hidden: int,
    minimum_count: int,
    max_words: int,
    epochs: int,
    batch: int,
    learning_rate: float,
    dropout: float,
    label_smoothing: float,
    seed: int,
    encoder_compression: str,
    decoder_compression: str,
    calibration_photos: int,
    max_quality_loss: float,
    licence: str,
) -> None:
    """Train, compress and export a bundle.

    DIR holds photos with captions: Flickr8k as its corpus ships it, or Kaggle's captions.txt with
    Images/. The encoder stays as it is, the decoder is trained on its features, the epoch is
    chosen by CIDEr on the dev split, and the bundle is verified on the runtime that devices run.
    Ctrl-C stops; the same command goes on.

    \b
    Example:  edgecap convert --data flickr8k --output mine.edgecap
    """
    if not output.name.endswith(".edgecap"):
        raise UsageError(f"--output {output}: the name of a bundle ends in .edgecap")
    if output.exists() and not force:
        raise UsageError(f"--output {output} exists: choose another name, or add --force")

    from edgecap_converter.conversion import Conversion, convert
    from edgecap_converter.decoders import DecoderSize
    from edgecap_converter.training import TrainingSettings

    manifest = convert(
        Conversion(
            data=data,
            output=output,
            work=work,
            encoder=encoder,
            encoder_weights=encoder_weights,
            decoder=decoder,
            size=DecoderSize(features, attention, embedding, hidden),
            training=TrainingSettings(
                epochs=epochs,
                batch=batch,
                learning_rate=learning_rate,
                dropout=dropout,
                label_smoothing=label_smoothing,
                maximum_words=max_words,
            ),
            minimum_count=minimum_count,
            seed=seed,
            checkpoint=checkpoint,
            encoder_compression=encoder_compression,
            decoder_compression=decoder_compression,
            calibration_photos=calibration_photos,
            maximum_quality_loss=max_quality_loss,
            as_zip=as_zip,
            licence=licence,
        )
    )
    measured = manifest.measured
    assert measured is not None  # a conversion ends with verification
    print_line(
        f"{output}: CIDEr {measured.bundle['cider']:.1f}, BLEU-4 {measured.bundle['bleu_4']:.1f} "
        f"on {measured.split} (before compression {measured.float_model['cider']:.1f}, "
        f"{measured.float_model['bleu_4']:.1f}; a constant caption "
        f"{measured.constant_caption['cider']:.1f}, {measured.constant_caption['bleu_4']:.1f})"
    )
