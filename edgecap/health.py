"""What is wrong with captions that score well: all the same, cut off, or going in circles.

Training on a score breaks sentences in ways that the score does not see (Luo 2020 and others saw
captions that end in "a man in a" once CIDEr is the reward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecap.metrics import count_ngrams, tokenize

# After one of these an English sentence goes on.
NEVER_LAST = frozenset(
    (
        "a", "an", "and", "are", "as", "at", "be", "behind", "beside", "between", "but", "by",
        "for", "from", "her", "his", "in", "into", "is", "its", "near", "of", "on", "onto", "or",
        "that", "the", "their", "through", "to", "was", "while", "who", "with",
    )
)  # fmt: skip
# A phrase of so many words is said once in a sentence.
PHRASE = 3


@dataclass(frozen=True)
class Health:
    """Shares of a set of captions, in percent."""

    distinct: float
    """Different captions among all."""
    dangling: float
    """Captions that end in a word of `NEVER_LAST`, or hold no word."""
    repeating: float
    """Captions that hold three words in a row twice, or one or two twice without a gap."""


def health(captions: Sequence[str]) -> Health:
    """The health of one caption a photo; at least one caption.

    Raises:
        MissingExtraError: nltk, which cuts the words, is not installed.
    """
    tokens = [tuple(tokenize(caption)) for caption in captions]
    share = 100 / len(tokens)
    return Health(
        distinct=share * len(set(tokens)),
        dangling=share * sum(not words or words[-1] in NEVER_LAST for words in tokens),
        repeating=share * sum(map(repeats, tokens)),
    )


def repeats(words: Sequence[str]) -> bool:
    """Whether a phrase stands twice in a caption, as `Health.repeating` counts it."""
    if any(count > 1 for count in count_ngrams(words)[PHRASE - 1].values()):
        return True
    return any(
        words[start : start + length] == words[start + length : start + 2 * length]
        for length in range(1, PHRASE)
        for start in range(len(words) - 2 * length + 1)
    )
