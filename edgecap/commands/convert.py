"""`edgecap convert`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from edgecap.cli import print_line
from edgecap.contract import MAXIMUM_WORDS
from edgecap.errors import UsageError
from edgecap_converter.decoders import DECODERS
from edgecap_converter.encoders import ENCODERS
from edgecap_converter.plan import PRESETS, find_preset

_PATH: Any = click.Path(path_type=Path)
_WIDTH = click.IntRange(1, 8_192)
_RATE = click.FloatRange(0, 1, min_open=True)
_SHARE = click.FloatRange(0, 0.95)
_BEST = PRESETS["best"]

# Stands for the dots of a value's path in the name of the option's parameter.
_DOT = "__"
# Option, path of the value in a plan, type, help. What is not given stays as the preset says.
_PLAN_OPTIONS: tuple[tuple[str, str, Any, str], ...] = (
    ("--encoder", "encoder", str, f"One of {', '.join(ENCODERS)}."),
    (
        "--decoder", "decoder", str,
        f"One of {', '.join(DECODERS)}; merge wants --features as wide as --hidden.",
    ),
    ("--features", "size.features", _WIDTH, "Feature width."),
    ("--attention", "size.attention", _WIDTH, "Attention width."),
    ("--embedding", "size.embedding", _WIDTH, "Word width."),
    ("--hidden", "size.hidden", _WIDTH, "LSTM width."),
    (
        "--minimum-count", "minimum_count", click.IntRange(1),
        "A word rarer than this in the captions is not learned.",
    ),
    ("--max-words", "maximum_words", click.IntRange(1, MAXIMUM_WORDS), "The longest caption."),
    (
        "--epochs", "training.epochs", click.IntRange(1),
        "Epochs of the first stage: the decoder, on features of the encoder as it is.",
    ),
    ("--batch", "training.batch", click.IntRange(1), "Captions a step of the first stage."),
    (
        "--learning-rate", "training.learning_rate", _RATE,
        "Highest of the first stage's one-cycle schedule.",
    ),
    ("--dropout", "training.dropout", _SHARE, "Dropout of the first stage."),
    (
        "--label-smoothing", "training.label_smoothing", _SHARE,
        "Share of the probability that is spread over all words.",
    ),
    (
        "--fine-tuning-epochs", "fine_tuning.epochs", click.IntRange(0),
        "Epochs of the second stage: encoder and decoder together, on changed photos. 0 for none.",
    ),
    (
        "--encoder-learning-rate", "fine_tuning.encoder_learning_rate", _RATE,
        "Highest of the encoder's in the second stage.",
    ),
    (
        "--sequence-epochs", "sequence.epochs", click.IntRange(0),
        "Epochs of the third stage: the decoder, rewarded by CIDEr. 0 for none.",
    ),
    (
        "--sequence-learning-rate", "sequence.learning_rate", _RATE,
        "Highest of the third stage.",
    ),
    (
        "--encoder-retraining-epochs", "encoder_retraining.epochs", click.IntRange(1),
        "Epochs of 100 steps in which the encoder is pruned or rounded while it is trained on.",
    ),
    (
        "--decoder-retraining-epochs", "decoder_retraining.epochs", click.IntRange(1),
        "Epochs in which the decoder is, on features of the compressed encoder.",
    ),
)  # fmt: skip


def _plan_options(function: Any) -> Any:
    for option, path, kind, text in reversed(_PLAN_OPTIONS):
        default = functools.reduce(getattr, path.split("."), _BEST)
        function = click.option(
            option, path.replace(".", _DOT), type=kind, help=f"{text}  [preset best: {default}]"
        )(function)
    return function


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
    "--checkpoint",
    type=_PATH,
    metavar="FILE",
    help="Compress this trained model instead of training one.",
)
@click.option(
    "--preset",
    default="best",
    show_default=True,
    help=f"What is trained and how: {', '.join(PRESETS)}. Options below change parts of it.",
)
@click.option(
    "--encoder-weights",
    metavar="FILE",
    help="A .npz or Keras .h5 of its weights, or 'random'.  [default: "
    "$EDGECAP_WEIGHTS/ENCODER.npz if it is there, else Keras's download]",
)
@_plan_options
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
    metavar="RECIPE",
    help="Of the network and of what follows it once a photo: none; quantize: int8 throughout; "
    "prune:50|80|90: so many percent of the weights zero, the rest trained on; "
    "prune:N+quantize; qat: trained on with rounded numbers, then int8 throughout. "
    "quantize:MODE in place of quantize: float16, dynamic-range or full-int8.",
)
@click.option(
    "--decoder-compression",
    default="quantize",
    show_default=True,
    metavar="RECIPE",
    help="Of what runs once a word: the same recipes; its quantize and qat are int8 weights, "
    "float32 between the layers.",
)
@click.option(
    "--calibration-photos",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="Train photos that set the ranges of full int8.",
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
    preset: str,
    encoder_weights: str | None,
    seed: int,
    encoder_compression: str,
    decoder_compression: str,
    calibration_photos: int,
    max_quality_loss: float,
    licence: str,
    **plan_options: Any,
) -> None:
    """Train, compress and export a bundle.

    DIR holds photos with captions: Flickr8k as its corpus ships it, Karpathy's dataset_*.json,
    Kaggle's captions.txt, or COCO's annotations/. Three stages train a captioner: its decoder,
    then encoder and decoder together, then the decoder by what whole captions are worth; CIDEr on
    the dev split chooses the epoch of each. The bundle is verified on the runtime that devices
    run. Ctrl-C stops; the same command goes on.

    \b
    Example:  edgecap convert --data flickr8k --output mine.edgecap
    """
    if not output.name.endswith(".edgecap"):
        raise UsageError(f"--output {output}: the name of a bundle ends in .edgecap")
    if output.exists() and not force:
        raise UsageError(f"--output {output} exists: choose another name, or add --force")

    plan = find_preset(preset).changed(
        {name.replace(_DOT, "."): v for name, v in plan_options.items() if v is not None}
    )
    from edgecap_converter.conversion import Conversion, convert

    manifest = convert(
        Conversion(
            data=data,
            output=output,
            work=work,
            plan=plan,
            encoder_weights=encoder_weights,
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
