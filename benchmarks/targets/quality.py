"""What the bundle says of the dev photos, and what compression cost."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

from edgecap.datasets import load_dataset, select
from edgecap.errors import BundleError, UsageError
from edgecap.metrics import Scores, constant_caption_floor, score
from targets.workbench import SPLIT, Result, Workbench

PHOTOS = 1_000
LEAST_BLEU_4, LEAST_BEAM_BLEU_4, LEAST_CIDER = 22.0, 24.0, 56.0
BEAM = 3
MOST_CIDER_LOST = 0.5
# The manifest rounds to three digits; anything beyond that is another bundle or another score.
SAME = 0.01


def bleu_4(workbench: Workbench) -> Result:
    """BLEU-4 of the bundle, greedy, on the shipped runtime, in percent."""
    scores, floor = _scores(workbench, beam=1)
    measured = f"{scores.bleu_4:.2f} (a constant caption: {floor.bleu_4:.2f})"
    return Result(measured, scores.bleu_4 >= LEAST_BLEU_4)


def beam_bleu_4(workbench: Workbench) -> Result:
    """BLEU-4 of the bundle, beam search, on the shipped runtime, in percent."""
    scores, floor = _scores(workbench, BEAM)
    measured = f"{scores.bleu_4:.2f} (a constant caption: {floor.bleu_4:.2f})"
    return Result(measured, scores.bleu_4 >= LEAST_BEAM_BLEU_4)


def cider(workbench: Workbench) -> Result:
    """CIDEr of the bundle, greedy, on the shipped runtime, in percent."""
    scores, floor = _scores(workbench, beam=1)
    measured = f"{scores.cider:.2f} (a constant caption: {floor.cider:.2f})"
    return Result(measured, scores.cider >= LEAST_CIDER)


def cider_lost(workbench: Workbench) -> Result:
    """CIDEr points between the float model and the bundle, as the manifest has them.

    Raises:
        BundleError: if the manifest's score of the bundle is not what it scores here.
    """
    told = workbench.bundle.manifest.measured
    if told is None:
        raise BundleError("the manifest says nothing of quality")
    if (told.split, told.photos, told.decoding) != (SPLIT, PHOTOS, "greedy"):
        raise BundleError(
            f"the manifest speaks of {told.photos} photos of {told.split}, {told.decoding}"
        )
    scores, _ = _scores(workbench, beam=1)
    for name, here in scores.as_dict().items():
        there = told.bundle.get(name, math.nan)
        if name != "photos" and not abs(here - there) < SAME:
            raise BundleError(f"the manifest says {name} {there}, here it is {here:.3f}")
    lost = told.float_model["cider"] - told.bundle["cider"]
    measured = f"{lost:.2f}: {told.float_model['cider']:.2f} to {told.bundle['cider']:.2f}"
    return Result(measured, lost <= MOST_CIDER_LOST)


@cache
def _scores(workbench: Workbench, beam: int) -> tuple[Scores, Scores]:
    """Of the bundle, through the installed command, and of the constant caption."""
    photos = select(load_dataset(workbench.data), SPLIT)
    if len(photos) != PHOTOS:
        raise UsageError(f"expected {PHOTOS} photos in {SPLIT}, found {len(photos)}")
    paths = [str(photo.path.resolve()) for photo in photos]
    lean = workbench.lean
    listed = Path(lean.empty) / "photos.txt"
    listed.write_text("\n".join(paths) + "\n", encoding="utf-8")
    command = ("edgecap", "caption", "--json", "--from", listed, "--beam", str(beam))
    said = [json.loads(line) for line in lean.run(*command, *workbench.bundle_option).splitlines()]
    captions = {line["path"]: line["caption"] for line in said}
    references = [photo.captions for photo in photos]
    scores = score(references, [captions[path] for path in paths])
    return scores, constant_caption_floor(references)
