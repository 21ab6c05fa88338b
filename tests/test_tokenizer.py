"""Words <-> ids."""

from __future__ import annotations

import json

import pytest

from edgecap.errors import BundleError, ConversionError
from edgecap.tokenizer import (
    END_ID,
    PAD_ID,
    SPECIAL_TOKENS,
    START_ID,
    UNKNOWN_ID,
    Tokenizer,
    join_words,
    split_words,
)

WORDS = (*SPECIAL_TOKENS, "a", "dog", "'s", "t-shirt", "café")


@pytest.fixture
def tokenizer():
    return Tokenizer(WORDS)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog runs .", ["a", "dog", "runs"]),
        ("The man's dog", ["the", "man", "'s", "dog"]),
        ("the man\N{RIGHT SINGLE QUOTATION MARK}s dog", ["the", "man", "'s", "dog"]),
        ("a t-shirt, two-by-four!", ["a", "t-shirt", "two-by-four"]),
        ("a -- b - c", ["a", "b", "c"]),
        ("snow_board", ["snow", "board"]),
        ("Zwölf Äpfel 3", ["zwölf", "äpfel", "3"]),
        ("...", []),
        ("", []),
    ],
)
def test_captions_are_split_as_the_metrics_split_them(caption, words):
    assert split_words(caption) == words


def test_clitics_go_back_to_their_words():
    assert join_words(["the", "man", "'s", "dog"]) == "the man's dog"
    assert join_words([]) == ""


def test_ids_are_places_in_the_vocabulary(tokenizer):
    assert tokenizer.encode("A dog's zebra t-shirt .") == [4, 5, 6, UNKNOWN_ID, 7]
    assert tokenizer.decode([4, 5, 6]) == ("a", "dog", "'s")
    assert len(tokenizer) == len(WORDS)


def test_special_tokens_are_no_words(tokenizer):
    assert tokenizer.decode([START_ID, 4, UNKNOWN_ID, 5, END_ID, PAD_ID]) == ("a", "dog")


@pytest.mark.parametrize("index", [-1, len(WORDS), 10**6])
def test_ids_outside_the_vocabulary_are_refused(tokenizer, index):
    with pytest.raises(BundleError, match=r"outside 0\.\.8"):
        tokenizer.decode([4, index])


def test_frequent_words_come_first_and_rare_ones_not_at_all():
    captions = ["b a a", "b a c", "c d"]
    assert Tokenizer.build(captions, 2).words == (*SPECIAL_TOKENS, "a", "b", "c")
    assert Tokenizer.build(captions[::-1], 2).words == (*SPECIAL_TOKENS, "a", "b", "c")
    with pytest.raises(ConversionError, match="4 times"):
        Tokenizer.build(captions, 4)


def test_there_and_back_is_the_same_in_the_same_bytes(tokenizer):
    content = tokenizer.to_json()
    again = Tokenizer.from_json(content)
    assert again.words == tokenizer.words
    assert again.to_json() == content


def with_words(*words):
    return json.dumps({"format": "edgecap-tokenizer", "version": 1, "words": words}).encode()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "not JSON"),
        (b"\xff\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected the format"),
        (b"{}", "expected the format"),
        (b'{"format": "edgecap-tokenizer", "version": 2, "words": []}', "version 2 is unknown"),
        (b'{"format": "edgecap-tokenizer", "version": 1}', "list of words"),
        (b'{"format": "edgecap-tokenizer", "version": 1, "words": "abc"}', "list of words"),
        (with_words(*SPECIAL_TOKENS, 3), "list of words"),
        (with_words(), "begin with"),
        (with_words("a", *SPECIAL_TOKENS), "begin with"),
        (with_words(*SPECIAL_TOKENS, "a", "b", "a"), "twice"),
        (with_words(*SPECIAL_TOKENS, "<end>"), "not a word"),
        (with_words(*SPECIAL_TOKENS, ""), "not a word"),
        (with_words(*SPECIAL_TOKENS, "two words"), "not a word"),
        (with_words(*SPECIAL_TOKENS, "tab\t"), "not a word"),
        (with_words(*SPECIAL_TOKENS, "line\n"), "not a word"),
        (with_words(*SPECIAL_TOKENS, "\x1b[31m"), "not a word"),
        (with_words(*SPECIAL_TOKENS, "\ud800"), "not a word"),
    ],
)
def test_what_is_no_tokenizer_is_refused_in_one_line(content, part):
    with pytest.raises(BundleError, match=part) as caught:
        Tokenizer.from_json(content)
    assert "\n" not in str(caught.value)
