"""Caption quality the COCO way: BLEU, ROUGE-L and CIDEr against several references a photo.

Figures agree with those of the COCO caption code (Chen et al. 2015, arXiv 1504.00325;
`benchmarks/check_metrics.py` compares): lower case, PTB-like tokens, punctuation dropped,
no start or end token. nltk, from the extras `bench` and `convert`, cuts the words.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

from edgecap.errors import MissingExtraError, UsageError

CONSTANT_CAPTION = "a man in a red shirt is standing in front of a building"

Tokens: TypeAlias = Sequence[Hashable]
"""A caption as words or as word ids: what counts n-grams takes either."""
NGram: TypeAlias = tuple[Hashable, ...]
NGrams: TypeAlias = tuple[Counter[NGram], ...]
"""How often a caption holds each n-gram: at index n - 1, for n from 1 to `LONGEST`."""

LONGEST = 4
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0

_PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
# Typographic quotes, dashes and the ellipsis, as the Treebank spells them.
_ASCII: dict[int, int | str] = {0x2013: " -- ", 0x2014: " -- ", 0x2026: " ... "}
_ASCII.update(str.maketrans("\u2018\u2019\u201c\u201d", "''\"\""))
_SENTENCE_END = re.compile(r"(?<=[^\W\d_]{3})\.(?=\s)")


@dataclass(frozen=True)
class Scores:
    """Quality of a set of captions. Every score is in percent: 100 x the COCO code's value."""

    bleu_1: float
    bleu_2: float
    bleu_3: float
    bleu_4: float
    rouge_l: float
    cider: float
    """From 0 to 1,000: the COCO code's value holds a factor of 10 of its own."""
    photos: int

    def as_dict(self) -> dict[str, float]:
        """The fields by name, for JSON."""
        return asdict(self)


def score(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> Scores:
    """Score hypothesis i against the captions `references[i]`, all as people write them.

    Raises:
        UsageError: no photos, a photo without references, or another number of hypotheses.
        MissingExtraError: nltk is not installed; so do all that take captions as strings.
    """
    return Scorer(references).score(hypotheses)


def constant_caption_floor(references: Sequence[Sequence[str]]) -> Scores:
    """What `CONSTANT_CAPTION` scores when it is said of every photo: a model must beat it."""
    return score(references, [CONSTANT_CAPTION] * len(references))


class Scorer:
    """`score` for many sets of hypotheses: the references are prepared once."""

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        for position, captions in enumerate(references):
            if isinstance(captions, str) or not captions:
                raise UsageError(
                    f"expected a list of captions for photo {position}, found {captions!r}: "
                    "give each photo one reference or more"
                )
        if not references:
            raise UsageError("expected photos to score, found none: give at least one")
        self._references = [[tokenize(caption) for caption in photo] for photo in references]
        self._bleu = Bleu(self._references)
        self._cider = Cider(self._references)

    def score(self, hypotheses: Sequence[str]) -> Scores:
        """Score one caption a photo, in the references' order; UsageError if one is missing."""
        photos = len(self._references)
        if (came := len(hypotheses)) != photos:
            raise UsageError(f"expected {photos} captions, found {came}: give one for each photo")
        tokens = [tokenize(caption) for caption in hypotheses]
        bleu_1, bleu_2, bleu_3, bleu_4 = (100 * value for value in self._bleu.score(tokens))
        rouge = 100 * math.fsum(map(rouge_l, self._references, tokens)) / photos
        cider = math.fsum(self.cider(hypotheses)) / photos
        return Scores(bleu_1, bleu_2, bleu_3, bleu_4, rouge, cider, photos)

    def cider(self, hypotheses: Sequence[str]) -> list[float]:
        """CIDEr of each photo's caption, in percent: their mean is that of `score`."""
        tokens = map(tokenize, hypotheses)
        return [100 * self._cider.score(*one) for one in enumerate(tokens)]


def tokenize(caption: str) -> list[str]:
    """Cut a caption into lower-case words, without the punctuation the COCO code drops.

    nltk's Treebank rules: clitics apart ("dog", "'s"; "do", "n't"), hyphenated words whole
    ("t-shirt"). Stanford's PTBTokenizer 3.4.1, which the COCO code runs, cuts all but 8 of 35,455
    Flickr8k captions the same. It keeps the last period of an abbreviation ("mrs.", a final
    "d.c."), cuts "a=b", "a+b", "rock'n'roll" and "y'all", keeps web addresses whole, and makes
    "'n'" and "?!" one token. It spells a bracket "-lrb-", and the COCO code lists "-LRB-" to
    drop: brackets stay, there and here.
    """
    text = caption.lower().translate(_ASCII)
    # nltk's rules expect one sentence, and free a period at its end only.
    text = _SENTENCE_END.sub(" .", text)
    return [token for token in _treebank_rules()(text) if token not in _PUNCTUATION]


@functools.cache
def _treebank_rules() -> Callable[[str], list[str]]:
    try:
        from nltk.tokenize import NLTKWordTokenizer
    except ModuleNotFoundError as error:
        raise MissingExtraError("computing BLEU, ROUGE-L and CIDEr", "bench", "nltk") from error
    rules: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return rules


def count_ngrams(tokens: Tokens) -> NGrams:
    """Count a caption's n-grams, for n from 1 to `LONGEST`."""
    return tuple(
        Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
        for n in range(1, LONGEST + 1)
    )


def document_frequencies(photos: Iterable[Iterable[NGrams]]) -> Counter[NGram]:
    """Of how many photos does at least one caption hold the n-gram."""
    return Counter(
        ngram
        for captions in photos
        for ngram in {ngram for caption in captions for counts in caption for ngram in counts}
    )


class Bleu:
    """BLEU-1 to BLEU-4 of a corpus, unsmoothed (Papineni et al. 2002, section 2).

    nltk's `corpus_bleu` counts one 4-gram in a caption of three words, where the COCO code
    and this count none: with one caption in five that short it is 0.26 percent points lower.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]]) -> None:
        self._lengths = [[len(caption) for caption in photo] for photo in references]
        # The union of counters holds the largest count of each n-gram.
        self._ceilings = [
            [functools.reduce(operator.or_, orders) for orders in zip(*counted, strict=True)]
            for counted in (map(count_ngrams, photo) for photo in references)
        ]

    def score(self, hypotheses: Sequence[Tokens]) -> tuple[float, ...]:
        """BLEU-1 to BLEU-4 of one caption a photo, each from 0 to 1."""
        matched, total = [0] * LONGEST, [0] * LONGEST
        said = wanted = 0
        for photo, hypothesis in enumerate(hypotheses):
            length = len(hypothesis)
            said += length
            # The closest reference length, the shorter of two as close.
            wanted += min((abs(other - length), other) for other in self._lengths[photo])[1]
            for index, counts in enumerate(count_ngrams(hypothesis)):
                matched[index] += (counts & self._ceilings[photo][index]).total()
                total[index] += counts.total()
        brevity = math.exp(min(0.0, 1 - wanted / said)) if said else 0.0
        precisions = [matches / max(1, of) for matches, of in zip(matched, total, strict=True)]
        orders = range(1, LONGEST + 1)
        return tuple(brevity * math.prod(precisions[:n]) ** (1 / n) for n in orders)


def rouge_l(references: Sequence[Tokens], hypothesis: Tokens) -> float:
    """ROUGE-L of one caption, from 0 to 1 (Lin 2004, section 3).

    As in the COCO code beta is 1.2, and the best precision and the best recall may come
    from different references.
    """
    common = [longest_common_subsequence(caption, hypothesis) for caption in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(hypothesis)
    # A reference of punctuation alone has no words.
    lengths = [len(caption) or 1 for caption in references]
    recall = max(matched / length for matched, length in zip(common, lengths, strict=True))
    weight = ROUGE_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def longest_common_subsequence(first: Tokens, second: Tokens) -> int:
    """Length of the longest sequence of words that both hold in order, gaps allowed."""
    row = [0] * (len(second) + 1)
    for token in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = row[column]
            row[column] = diagonal + 1 if token == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]


class Cider:
    """CIDEr-D of single captions (Vedantam et al. 2015, sections 4 and 6).

    The COCO code's `Cider`, whose figures papers call CIDEr, is the paper's CIDEr-D: counts
    clipped, captions of another length penalised by a Gaussian. Each photo is a document: with
    one photo no n-gram is rare, and every score is 0.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]]) -> None:
        counted = [[count_ngrams(caption) for caption in photo] for photo in references]
        self._new = math.log(len(references))
        self._rarity = {
            ngram: self._new - math.log(photos)
            for ngram, photos in document_frequencies(counted).items()
        }
        self._references = [[self._weigh(ngrams) for ngrams in photo] for photo in counted]
        self._lengths = [[len(caption) for caption in photo] for photo in references]

    def score(self, photo: int, hypothesis: Tokens) -> float:
        """CIDEr-D, from 0 to 10, of a caption against the references of `photo` (an index)."""
        said = self._weigh(count_ngrams(hypothesis))
        total = 0.0
        for length, true in zip(self._lengths[photo], self._references[photo], strict=True):
            penalty = math.exp(-((len(hypothesis) - length) ** 2) / (2 * CIDER_SIGMA**2))
            total += penalty * sum(map(_clipped_cosine, said, true))
        return 10 * total / (LONGEST * len(self._references[photo]))

    def _weigh(self, ngrams: NGrams) -> list[_Vector]:
        """Term frequency x inverse document frequency; a new n-gram counts as in one photo."""
        rarity, new = self._rarity, self._new
        return [_Vector({g: n * rarity.get(g, new) for g, n in c.items()}) for c in ngrams]


class _Vector:
    def __init__(self, weights: dict[NGram, float]) -> None:
        self.weights = weights
        self.norm = math.hypot(*weights.values())


def _clipped_cosine(said: _Vector, true: _Vector) -> float:
    a, b = said.weights, true.weights
    # An exact sum: the order of a set of strings changes from process to process.
    product = math.fsum(min(a[ngram], b[ngram]) * b[ngram] for ngram in a.keys() & b.keys())
    return product / (said.norm * true.norm) if product else 0.0
