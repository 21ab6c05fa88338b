"""What trained bundles say of a split, scored in both ways."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgecap.bundle import Bundle
from edgecap.datasets import CaptionedPhoto
from edgecap.errors import EngineError
from edgecap_converter.progress import progress
from edgecap_converter.storage import whole_file
from edgecap_runtime import Captioner
from edgecap_runtime.interpreter import find_engine
from paper.bootstrap import RESAMPLES, cider_difference
from paper.record import BundleScores, Difference, Halves, Quality
from paper.scores import both, constant_caption
from paper.systems import System

SPLIT = "dev"
SEED = 0


def measure(
    dataset: str, photos: Sequence[CaptionedPhoto], systems: Sequence[System], work: Path
) -> Quality:
    """Captions the photos with every bundle, greedily, and compares those of one encoder.

    Args:
        dataset: its name, for the record.
        photos: of `SPLIT`.
        systems: trained bundles.
        work: keeps the captions; a stopped run goes on with the next bundle.

    Raises:
        EngineError: if the runtime fails on a photo.
        EdgecapError: if a bundle cannot be loaded or a file not be written.
    """
    references = [photo.captions for photo in photos]
    captions = {one.name: captions_of(one.files[0], photos, work) for one in systems}
    bundles = tuple(
        BundleScores(
            name=one.name,
            halves=one.halves,
            sha256=Bundle.open(one.files[0]).manifest.sha256,
            scores=both(references, captions[one.name]),
        )
        for one in systems
    )
    differences = []
    for first, second in pairs(systems):
        interval = cider_difference(references, captions[first], captions[second], SEED)
        points, low, high = (
            round(value, 3) for value in (interval.points, interval.low, interval.high)
        )
        differences.append(Difference(first, second, points, low, high, RESAMPLES, SEED))
    engine = find_engine()
    return Quality(
        dataset, SPLIT, len(photos), f"{engine.distribution} {engine.version}",
        constant_caption(references), bundles, tuple(differences),
    )  # fmt: skip


def pairs(systems: Sequence[System]) -> Iterator[tuple[str, str]]:
    """The bundles to compare: those in float32, and those quantized alone, with all of their kind.

    Of one kind are those with the same encoder and decoder.
    """
    for first in systems:
        for second in systems:
            same = (first.halves.encoder, first.halves.decoder) == (
                second.halves.encoder,
                second.halves.decoder,
            )
            if same and _rank(first.halves) < _rank(second.halves):
                yield first.name, second.name


def _rank(halves: Halves) -> int:
    compressions = (halves.encoder_compression, halves.decoder_compression)
    return (("none", "none"), ("quantize", "quantize"), compressions).index(compressions)


def captions_of(bundle: Path, photos: Sequence[CaptionedPhoto], work: Path) -> list[str]:
    """A bundle's caption of each photo, from the working folder if it said them before.

    Raises:
        EngineError: if the runtime fails on a photo.
    """
    captioner = Captioner.load(bundle)
    engine = captioner.engine
    sha256 = captioner.bundle.manifest.sha256
    place = work / f"captions-{sha256[:16]}-{engine.distribution}-{engine.version}.json"
    names = [photo.path.name for photo in photos]
    if place.exists():
        known: dict[str, str] = json.loads(place.read_bytes())
        if known.keys() == set(names):
            return [known[name] for name in names]
    said = {}
    with progress(f"captions of {bundle.name}", len(photos), "photo") as advance:
        for result in captioner.caption_many(photo.path for photo in photos):
            if result.caption is None:
                raise EngineError(f"{bundle}: {result.error}")
            said[result.source.name] = result.caption.text
            advance(1)
    with whole_file(place) as file:
        file.write(json.dumps(said, indent=0).encode())
    return [said[name] for name in names]
