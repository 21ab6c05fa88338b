"""`edgecap convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edgecap.cli import print_line
from edgecap.errors import EdgecapError, UsageError
from edgecap_converter.decoders import DECODERS
from edgecap_converter.encoders import ENCODERS
from edgecap_converter.grid.file import built_in_grids, find_grid
from edgecap_converter.plan import PRESETS, find_preset, limits

_PATH: Any = click.Path(path_type=Path)
_BEST = PRESETS["best"].values()

# Stands for the dots of a value's path in the name of the option's parameter.
_DOT = "__"
# Option, path of the value in a plan, help. What is not given stays as the preset says.
_PLAN_OPTIONS = (
    ("--encoder", "encoder", f"One of {', '.join(ENCODERS)}."),
    (
        "--decoder", "decoder",
        f"One of {', '.join(DECODERS)}; merge wants --features as wide as --hidden.",
    ),
    ("--features", "size.features", "Feature width."),
    ("--attention", "size.attention", "Attention width."),
    ("--embedding", "size.embedding", "Word width."),
    ("--hidden", "size.hidden", "LSTM width."),
    (
        "--minimum-count", "minimum_count",
        "A word rarer than this in the captions is not learned.",
    ),
    ("--max-words", "maximum_words", "The longest caption."),
    (
        "--epochs", "training.epochs",
        "Epochs of the first stage: the decoder, on features of the encoder as it is.",
    ),
    ("--batch", "training.batch", "Captions a step of the first stage."),
    (
        "--learning-rate", "training.learning_rate",
        "Highest of the first stage's one-cycle schedule.",
    ),
    ("--dropout", "training.dropout", "Dropout of the first stage."),
    (
        "--label-smoothing", "training.label_smoothing",
        "Share of the probability that is spread over all words.",
    ),
    (
        "--fine-tuning-epochs", "fine_tuning.epochs",
        "Epochs of the second stage: encoder and decoder together, on changed photos. 0 for none.",
    ),
    (
        "--encoder-learning-rate", "fine_tuning.encoder_learning_rate",
        "Highest of the encoder's in the second stage.",
    ),
    (
        "--sequence-epochs", "sequence.epochs",
        "Epochs of the third stage: the decoder, rewarded by CIDEr. 0 for none.",
    ),
    ("--sequence-learning-rate", "sequence.learning_rate", "Highest of the third stage."),
    (
        "--rehearsal-epochs", "rehearsal.epochs",
        "Epochs of the fourth stage: the decoder, word by word again. 0 for none.",
    ),
    (
        "--rehearsal-share", "rehearsal.share",
        "What the weights after it count in the mean with those before it.",
    ),
    (
        "--encoder-retraining-epochs", "encoder_retraining.epochs",
        "Epochs of 100 steps in which the encoder is pruned while it is trained on.",
    ),
    (
        "--encoder-matching-epochs", "encoder_matching.epochs",
        "Epochs in which a rounded encoder learns to give what the float one gives, for qat.",
    ),
    (
        "--adaptation-epochs", "adaptation.epochs",
        "Epochs in which the decoder learns from what the rounded encoder gives, for its qat. 0 "
        "for none.",
    ),
    (
        "--decoder-retraining-epochs", "decoder_retraining.epochs",
        "Epochs in which the decoder is pruned or rounded, on features of the compressed encoder.",
    ),
)  # fmt: skip


def _plan_options(function: Any) -> Any:
    for option, path, text in reversed(_PLAN_OPTIONS):
        function = click.option(
            option, path.replace(".", _DOT), type=_kind(path),
            help=f"{text}  [preset best: {_BEST[path]}]",
        )(function)  # fmt: skip
    return function


def _kind(path: str) -> Any:
    default = _BEST[path]
    if isinstance(default, str):
        return str
    lowest, highest, above = limits(path)
    if isinstance(default, int):
        return click.IntRange(int(lowest), int(highest))
    return click.FloatRange(lowest, highest, min_open=above)


# What holds for every row of a grid; the other options are the rows' own.
_OF_ALL_ROWS = (
    "grid", "cluster", "data", "output", "work", "as_zip", "encoder_weights", "seed",
    "calibration_photos", "licence",
)  # fmt: skip


@click.command()
@click.option("--data", type=_PATH, required=True, metavar="DIR", help="The caption corpus.")
@click.option(
    "--output",
    type=_PATH,
    required=True,
    metavar="NAME.edgecap",
    help="The bundle; with --grid a folder for its bundles, table and picture.",
)
@click.option(
    "--grid",
    metavar="GRID",
    help=f"Make every bundle of a grid: {', '.join(built_in_grids())}, or a file.",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="With --grid: rows of different encoders at once, on the machines of a Ray cluster that "
    "share all folders: auto, local or HOST:PORT.",
)
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
    help="A .npz or Keras .h5 of its weights, or 'random'; with --grid a folder of them.  "
    "[default: $EDGECAP_WEIGHTS/ENCODER.npz if it is there, else Keras's download]",
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
@click.pass_context
def command(
    context: click.Context,
    /,
    data: Path,
    output: Path,
    grid: str | None,
    cluster: str | None,
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
    Kaggle's captions.txt, or COCO's annotations/. Four stages train a captioner: its decoder,
    then encoder and decoder together, then the decoder by what whole captions are worth, and word
    by word again; CIDEr on the dev split chooses the epoch of each. The bundle is verified on the
    runtime that devices run. Ctrl-C stops; the same command goes on.

    --grid makes many, each with halves compressed in its own way; what they share is trained once.

    \b
    Example:  edgecap convert --data flickr8k --output mine.edgecap
    """
    if grid is not None:
        _refuse_what_rows_say(context)
        _convert_grid(
            context,
            grid=find_grid(grid),
            cluster=cluster,
            data=data,
            output=output,
            work=work,
            encoder_weights=encoder_weights,
            seed=seed,
            calibration_photos=calibration_photos,
            as_zip=as_zip,
            licence=licence,
        )
        return
    if cluster is not None:
        raise UsageError("--cluster needs --grid: one bundle is made on one machine")
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


def _refuse_what_rows_say(context: click.Context) -> None:
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "")
        if option.name not in _OF_ALL_ROWS and given is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"{option.opts[0]} does not go with --grid, whose rows say what is made: leave one "
                "of the two out"
            )


def _convert_grid(context: click.Context, **asked: Any) -> None:
    from edgecap_converter.grid.requests import GridConversion
    from edgecap_converter.grid.run import MARKDOWN, convert_grid

    output = asked["output"]
    rows = convert_grid(GridConversion(**asked)).rows
    failed = sum(row.error is not None for row in rows)
    print_line(f"{output / MARKDOWN}: {len(rows) - failed} of {len(rows)} rows are done")
    if failed:
        context.exit(EdgecapError.exit_code)
