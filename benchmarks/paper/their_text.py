"""Captions as the paper's code treats them: cleaned, framed, numbered, and looked up by a scan.

Written anew from their notebooks, so that their TFLite loop runs without Keras; a test holds the
tokenizer and the padding against Keras's own. Letters: `T` words of the longest caption.
"""

import json
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]

START, END = "startseq", "endseq"
LONGEST = 34
"""`T`: words of the longest train caption of Flickr8k, start and end counted."""

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# What Keras's tokenizer takes for a space; the apostrophe is not among it.
_FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))


def clean(caption: str) -> list[str]:
    """Lower-case words without punctuation; one-letter and non-alphabetic ones are dropped."""
    words = (word.lower().translate(_NO_PUNCTUATION) for word in caption.split())
    return [word for word in words if len(word) > 1 and word.isalpha()]


def frame(caption: str) -> str:
    """A cleaned caption between `START` and `END`: what they train on, and score."""
    return " ".join((START, *clean(caption), END))


class TheirTokenizer:
    """Keras's `Tokenizer` as they use it: ids from 1, the most frequent word first; 0 is padding.

    Args:
        words: without duplicates, in the order of their ids.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.word_index = {word: index for index, word in enumerate(words, start=1)}

    @classmethod
    def fit(cls, texts: Iterable[str]) -> "TheirTokenizer":
        """All words of framed captions; of equally frequent ones, the first seen goes first."""
        counts = Counter(word for text in texts for word in _split(text))
        return cls([word for word, _ in counts.most_common()])

    @classmethod
    def from_json(cls, content: bytes) -> "TheirTokenizer":
        """Reads what `to_json` wrote."""
        return cls(json.loads(content))

    def to_json(self) -> bytes:
        """The words in the order of their ids. Theirs is a pickle: that could run code."""
        return json.dumps(list(self.word_index)).encode()

    @property
    def vocabulary(self) -> int:
        """Scores that the decoder gives: the words and the padding."""
        return len(self.word_index) + 1

    def sequence(self, text: str) -> list[int]:
        """Ids of a text's words; unknown words are left out."""
        return [self.word_index[word] for word in _split(text) if word in self.word_index]

    def word(self, index: int) -> str | None:
        """The word of an id by a linear scan, as they look it up; None for the padding."""
        for word, other in self.word_index.items():
            if other == index:
                return word
        return None


def pad(sequence: Sequence[int], longest: int) -> Floats:
    """Float32 `(1, T)`: zeros before the ids, of which the last `longest` stay."""
    kept = list(sequence)[-longest:]
    return np.array([[0] * (longest - len(kept)) + kept], np.float32)


def _split(text: str) -> list[str]:
    return text.lower().translate(_FILTERS).split()
