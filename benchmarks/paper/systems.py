"""The systems that are compared: what each is, and the files it runs from."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edgecap import schema
from edgecap.bundle import Bundle
from edgecap.manifest import Manifest
from paper.record import Halves
from paper.their_files import DYNAMIC_RANGE, FLOAT, FULL_INTEGER, WORDS, network_file

# Engines round differently; int8 costs some percent, and a network that lost its way all of it.
SAME_WEIGHTS = 1e-3
INT8 = 0.15


@dataclass(frozen=True)
class System:
    """One system; the fields that `record.Measured` has too are described there.

    Attributes:
        files: encoder, decoder and words of the paper's pipeline, or one bundle.
        networks: the same for bundles that were compressed from the same weights.
        reference: the name of the system that its outputs must agree with, if any.
        bound: how far they may be apart.
    """

    name: str
    title: str
    halves: Halves
    random_weights: bool
    files: tuple[Path, ...]
    published: tuple[str, ...] | None = None
    networks: str = ""
    reference: str | None = None
    bound: float = 0.0


# Name, what it is, how encoder and decoder are stored (None: in Keras), the paper's row.
_THEIRS: tuple[tuple[str, str, str | None, str | None, tuple[str, ...] | None], ...] = (
    (
        "seed-keras", "the paper's baseline: Keras `predict` a word",
        None, None, ("VGG16", "baseline", "baseline"),
    ),
    (
        "seed-float32", "the paper's TFLite loop, both float32",
        FLOAT, FLOAT, ("VGG16", "baseline", "QAT"),
    ),
    (
        "seed-quantized", "the paper's best: its 'quantized' decoder holds float32",
        DYNAMIC_RANGE, FLOAT, ("VGG16", "quantized", "QAT"),
    ),
    (
        "seed-int8", "the paper's TFLite loop, both really int8",
        DYNAMIC_RANGE, DYNAMIC_RANGE, ("VGG16", "quantized", "PTQ"),
    ),
    (
        "seed-full-int8", "the same with a full-int8 encoder",
        FULL_INTEGER, DYNAMIC_RANGE, None,
    ),
)  # fmt: skip

# Settings of a bundle's origin that say how it was compressed, not what its weights were.
_COMPRESSION = ("calibration_photos",)

_ENCODERS = {"vgg16": "VGG16", "resnet50": "ResNet50", "resnet50_conv4": "ResNet50"}
_PRUNED = {f"prune:{percent}": f"pruned {percent}" for percent in (50, 80, 90)}
_ENCODER_COMPRESSIONS = {
    "none": "baseline",
    "quantize": "quantized",
    **_PRUNED,
    **{f"{ours}+quantize": f"{theirs} + quantized" for ours, theirs in _PRUNED.items()},
}
_DECODER_COMPRESSIONS = {"none": "baseline", "quantize": "PTQ", "qat": "QAT", **_PRUNED}


def theirs(folder: Path) -> list[System]:
    """The paper's pipelines, from the folder that `their_files.prepare` gave."""
    systems = []
    for name, title, encoder, decoder, published in _THEIRS:
        names = (network_file("vgg16", encoder), network_file("merge", decoder), WORDS)
        is_float = {encoder, decoder} <= {None, FLOAT}
        systems.append(
            System(
                name=name,
                title=title,
                halves=Halves("vgg16", encoder or FLOAT, "merge, 34 steps", decoder or FLOAT),
                random_weights=True,
                files=tuple(folder / one for one in names),
                published=published,
                reference=None if encoder is None else _THEIRS[0][0],
                bound=SAME_WEIGHTS if is_float else INT8,
            )
        )
    return systems


def halves_of(manifest: Manifest) -> Halves:
    """What a bundle's manifest says of its two halves."""
    origin = manifest.origin
    return Halves(
        origin.encoder, origin.encoder_compression, origin.decoder, origin.decoder_compression
    )


def of_bundle(path: Path, random_weights: bool) -> System:
    """A bundle, by the name of its folder or file.

    Raises:
        BundleError, UsageError: if it cannot be opened.
    """
    manifest = Bundle.open(path).manifest
    halves = halves_of(manifest)
    return System(
        name=path.name.removesuffix(".edgecap"),
        title=f"edgecap, {halves.encoder} and {halves.decoder}, one step a word",
        halves=halves,
        random_weights=random_weights,
        files=(path,),
        published=_published(halves),
        networks=_networks(manifest),
    )


def with_references(systems: Iterable[System]) -> list[System]:
    """The same; those that are no more than quantized are paired with the float ones."""
    systems = list(systems)
    floats = {one.networks: one.name for one in systems if _compressions(one) == {"none"}}
    return [
        replace(one, reference=floats.get(one.networks), bound=INT8)
        if _compressions(one) in ({"quantize"}, {"none", "quantize"})
        else one
        for one in systems
    ]


def _compressions(system: System) -> set[str]:
    return {system.halves.encoder_compression, system.halves.decoder_compression}


def _networks(manifest: Manifest) -> str:
    """The same for bundles that were compressed from the same weights."""
    origin = manifest.origin
    settings = {name: value for name, value in origin.settings.items() if name not in _COMPRESSION}
    made = (origin.encoder, origin.decoder, origin.dataset, origin.seed, settings)
    return hashlib.sha256(schema.canonical(made)).hexdigest()


def _published(halves: Halves) -> tuple[str, ...] | None:
    """The key of the paper's row with the same halves; theirs are all merge decoders."""
    key = (
        _ENCODERS.get(halves.encoder),
        _ENCODER_COMPRESSIONS.get(halves.encoder_compression),
        _DECODER_COMPRESSIONS.get(halves.decoder_compression),
    )
    return key if halves.decoder == "merge" and None not in key else None  # type: ignore[return-value]
