"""What holds for any caption, vocabulary and manifest, however odd; found by hypothesis."""

from __future__ import annotations

import contextlib
import copy
import json
import string

from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecap import schema
from edgecap.bundle import Bundle, read_manifest
from edgecap.errors import BundleError
from edgecap.manifest import content_sha256
from edgecap.tokenizer import SPECIAL_TOKENS, UNKNOWN_ID, Tokenizer, join_words, split_words

SETTINGS = settings(max_examples=200, deadline=None)
LETTERS = string.ascii_letters + string.digits + "'-_ .,\"\N{RIGHT SINGLE QUOTATION MARK}éß中"
CAPTIONS = st.text(LETTERS, max_size=60) | st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def refused_or(read, content):
    """What `read` gives; None for a refusal, which is one line."""
    try:
        return read(content)
    except BundleError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from error
        return None


@SETTINGS
@given(CAPTIONS)
def test_words_hold_no_space_and_nothing_in_upper_case(caption):
    for word in split_words(caption):
        assert word
        assert not any(letter.isspace() for letter in word)
        assert word == word.lower()


@SETTINGS
@given(st.lists(CAPTIONS, min_size=1, max_size=6))
def test_a_vocabulary_gives_back_the_words_that_it_knows(captions):
    words = [split_words(caption) for caption in captions]
    if not any(words):
        return
    tokenizer = Tokenizer.build(captions, minimum_count=1)
    assert Tokenizer.from_json(tokenizer.to_json()).words == tokenizer.words
    for caption, expected in zip(captions, words, strict=True):
        ids = tokenizer.encode(caption)
        assert UNKNOWN_ID not in ids
        assert tokenizer.decode(ids) == tuple(expected)


@SETTINGS
@given(st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=8), max_size=8))
def test_plain_words_come_back_from_a_caption(words):
    assert split_words(join_words(words)) == words


@SETTINGS
@given(JSON)
def test_any_json_is_a_vocabulary_or_refused(value):
    content = json.dumps(value).encode()
    assert refused_or(Tokenizer.from_json, content) is None
    words = [*SPECIAL_TOKENS, *(value if isinstance(value, list) else [value])]
    content = json.dumps({"format": "edgecap-tokenizer", "version": 1, "words": words}).encode()
    tokenizer = refused_or(Tokenizer.from_json, content)
    assert tokenizer is None or list(tokenizer.words) == words


@SETTINGS
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content):
    assert refused_or(Tokenizer.from_json, content) is None
    assert refused_or(read_manifest, content) is None


def places(value, place=()):
    """Where in a JSON value its parts stand."""
    yield place
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    for key, child in children:
        yield from places(child, (*place, key))


MANIFEST = schema.to_value(Bundle.open(TINY).manifest)


@SETTINGS
@given(place=st.sampled_from([place for place in places(MANIFEST) if place]), other=JSON)
def test_any_value_in_the_place_of_a_manifests_is_read_as_it_is_or_refused(place, other):
    value = copy.deepcopy(MANIFEST)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = other
    # NaN, or half a letter: no hash can be right.
    with contextlib.suppress(ValueError):
        value["sha256"] = content_sha256(value)
    manifest = refused_or(read_manifest, json.dumps(value).encode())
    if manifest is not None:
        assert schema.to_value(manifest) == {**value, "sha256": manifest.sha256}
