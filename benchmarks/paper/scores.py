"""Caption quality in both ways of counting: the paper's, and the COCO caption code's."""

import warnings
from collections.abc import Sequence

from edgecap.errors import MissingExtraError, UsageError
from edgecap.metrics import CONSTANT_CAPTION, Scorer
from paper.record import Scored
from paper.their_text import frame


def their_bleu(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> dict[str, float]:
    """BLEU-1 and BLEU-4 as the paper counts, in percent.

    nltk's unsmoothed corpus BLEU, as in their notebooks, on words that are cleaned their way
    (lower case; no punctuation, one-letter or non-alphabetic words) with the start and the end
    left in, in hypothesis and references. Both always match: a constant caption scores about 42.
    It says little of a captioner, and is here so that their figures can be compared at all.

    Args:
        references: the captions of each photo as people write them.
        hypotheses: one caption a photo, without start and end.

    Raises:
        UsageError: no photos, a photo without references, or another number of hypotheses.
        MissingExtraError: nltk is not installed.
    """
    try:
        from nltk.translate.bleu_score import corpus_bleu
    except ModuleNotFoundError as error:
        raise MissingExtraError("computing BLEU", "bench", "nltk") from error
    if not references or not all(references) or len(references) != len(hypotheses):
        raise UsageError(
            f"expected one caption for each photo with references, found {len(hypotheses)} for "
            f"{len(references)} photos: give each photo both"
        )
    true = [[frame(caption).split() for caption in photo] for photo in references]
    said = [frame(caption).split() for caption in hypotheses]
    weights = {"bleu_1": (1.0, 0.0, 0.0, 0.0), "bleu_4": (0.25, 0.25, 0.25, 0.25)}
    with warnings.catch_warnings():
        # Of BLEU-4 being 0, which shows.
        warnings.simplefilter("ignore", UserWarning)
        return {
            name: 100 * float(corpus_bleu(true, said, weights=one)) for name, one in weights.items()
        }


def both(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> Scored:
    """Captions in both ways; raises as `their_bleu`."""
    coco = Scorer(references).score(hypotheses).as_dict()
    return Scored(
        theirs=_rounded(their_bleu(references, hypotheses)),
        coco=_rounded({name: value for name, value in coco.items() if name != "photos"}),
    )


def constant_caption(references: Sequence[Sequence[str]]) -> Scored:
    """What one caption scores that is said of every photo: it knows nothing."""
    return both(references, [CONSTANT_CAPTION] * len(references))


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in scores.items()}
