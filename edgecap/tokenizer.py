"""Words <-> ids, kept as JSON beside the graphs.

Letters: `T` words of a caption, `V` vocabulary (special tokens included).
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from edgecap.errors import BundleError, ConversionError

# Ids below END_ID are inputs only: the decoder loop never chooses one of them.
PAD_ID, START_ID, UNKNOWN_ID, END_ID = range(4)
SPECIAL_TOKENS = ("<pad>", "<start>", "<unknown>", "<end>")

FORMAT, VERSION = "edgecap-tokenizer", 1

# A word, hyphens inside it kept ("t-shirt"), or a clitic as its own token ("man 's"), as the
# Penn Treebank writes both: so a caption has the same tokens here and in the COCO metrics.
_TOKEN = re.compile(r"[^\W_]+(?:-[^\W_]+)*|'[^\W_]+")


def split_words(caption: str) -> list[str]:
    """Lower-case tokens of a caption, punctuation dropped; the `T` words that are learned."""
    return _TOKEN.findall(caption.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def join_words(words: Iterable[str]) -> str:
    """The caption as a person reads it: clitics go back to the word before them."""
    return " ".join(words).replace(" '", "'")


class Tokenizer:
    """An ordered vocabulary; a word's place in it is its id.

    Args:
        words: `V` entries, `SPECIAL_TOKENS` first, no word twice.

    Raises:
        BundleError: if the list is not such a vocabulary.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        if self.words[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise BundleError(
                f"tokenizer: expected the vocabulary to begin with {' '.join(SPECIAL_TOKENS)}; "
                "make the bundle again"
            )
        for word in self.words[len(SPECIAL_TOKENS) :]:
            if _TOKEN.fullmatch(word) is None:
                raise BundleError(f"tokenizer: {word[:40]!r} is not a word; make the bundle again")
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise BundleError("tokenizer: a word stands in it twice; make the bundle again")

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(cls, captions: Iterable[str], minimum_count: int) -> "Tokenizer":
        """The words that occur at least `minimum_count` times, most frequent first.

        Raises:
            ConversionError: if no word is that frequent.
        """
        counts = Counter(word for caption in captions for word in split_words(caption))
        kept = [word for word, count in counts.items() if count >= minimum_count]
        if not kept:
            raise ConversionError(
                f"no word occurs {minimum_count} times in the captions: "
                "lower --minimum-count or give more captions"
            )
        kept.sort(key=lambda word: (-counts[word], word))
        return cls((*SPECIAL_TOKENS, *kept))

    def encode(self, caption: str) -> list[int]:
        """Ids of a caption's words, without start and end; unknown words are `UNKNOWN_ID`."""
        return [self._ids.get(word, UNKNOWN_ID) for word in split_words(caption)]

    def decode(self, ids: Iterable[int]) -> tuple[str, ...]:
        """Words of the ids, special tokens left out.

        Raises:
            BundleError: for an id outside the vocabulary.
        """
        chosen = tuple(ids)
        if chosen and not 0 <= min(chosen) <= max(chosen) < len(self.words):
            raise BundleError(
                f"the decoder gave a word id outside 0..{len(self.words) - 1}: "
                "its vocabulary is not the tokenizer's; make the bundle again"
            )
        return tuple(self.words[index] for index in chosen if index > END_ID)

    def to_json(self) -> bytes:
        """UTF-8 JSON, the same bytes for the same vocabulary."""
        content = {"format": FORMAT, "version": VERSION, "words": self.words}
        return json.dumps(content, ensure_ascii=False, indent=0).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> "Tokenizer":
        """Reads what `to_json` wrote.

        Raises:
            BundleError: if it is anything else.
        """
        try:
            value: Any = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"tokenizer: not JSON ({error}); make the bundle again") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise BundleError(f"tokenizer: expected the format {FORMAT}; make the bundle again")
        if value.get("version") != VERSION:
            raise BundleError(
                f"tokenizer: version {value.get('version')!r} is unknown, this edgecap reads "
                f"version {VERSION}: upgrade edgecap or make the bundle again"
            )
        words = value.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise BundleError("tokenizer: expected a list of words; make the bundle again")
        return cls(words)
