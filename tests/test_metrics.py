"""BLEU, ROUGE-L and CIDEr: against pinned values of the COCO code, and against hand counts."""

import math
import os
import subprocess
import sys
from dataclasses import fields
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecap.datasets import load_dataset, select
from edgecap.errors import MissingExtraError, UsageError
from edgecap.metrics import (
    CONSTANT_CAPTION,
    Bleu,
    Cider,
    Scorer,
    Scores,
    _treebank_rules,
    constant_caption_floor,
    count_ngrams,
    document_frequencies,
    longest_common_subsequence,
    score,
    tokenize,
)

pytest.importorskip("nltk", reason="needs the extra 'bench'")

with_corpus = pytest.mark.skipif(
    "EDGECAP_FLICKR8K" not in os.environ, reason="EDGECAP_FLICKR8K names no corpus"
)

REFERENCES = [
    [
        "A black dog is running after a white dog in the snow .",
        "Black dog chasing brown dog through snow",
        "Two dogs chase each other across the snowy ground .",
        "Two dogs play together in the snow .",
        "Two dogs running through a low lying body of water .",
    ],
    [
        "A little boy's t-shirt says \"I'm 5!\"",
        "The boy doesn't look at the camera; he looks at his T-shirt.",
        "A small boy in a blue t-shirt , jeans , and red shoes .",
        "A child wears a t-shirt. He is five years old.",
        "A boy wearing a blue t-shirt stands .",
    ],
    [
        "The man , the dog and the other dog walk on the beach .",
        "A man walks two dogs on a beach .",
        "A man with two dogs on a leash walks by the ocean .",
        "Man walking dogs",
        "Someone walks dogs along the shore at sunset ...",
    ],
    [
        "A semi-truck drives up a snow-covered hill .",
        "A truck - a big one - climbs the hill .",
        "The truck's wheels can't grip the snow .",
        "A white truck on a mountain road",
        "White truck on a snowy mountain road , going up .",
    ],
    [
        "Girls ' soccer team : players in red and white .",
        "A girl kicks a soccer ball while another girl watches .",
        "Two girls are playing soccer on a green field .",
        "Two soccer players , both girls , fight for the ball !",
        "Young girls play a game of soccer .",
    ],
    [
        "A man in a red shirt is standing in front of a building .",
        "A man stands in front of a brick building .",
        "The man wearing the red shirt is outside a building .",
        "A person in red leans against a wall .",
        "An old man in a red shirt waits at a building's door .",
    ],
]
HYPOTHESES = [
    "a black dog is running through the snow",
    "a little boy in a blue T-shirt doesn't smile.",
    "dogs walk",
    "a truck is driving up a snow-covered road in the snow",
    "two girls play soccer on the field - the girls' team",
    "a a man in a red shirt",
]

# What the COCO code gives for them, in percent: pycocoevalcap 1.2 (with its PTBTokenizer,
# Stanford CoreNLP 3.4.1) on Java 17, numpy 2.4.6, nltk 3.10.4, from `tests/`:
#   python -c "import json, test_metrics as t; print(json.dumps([t.REFERENCES, t.HYPOTHESES]))" |
#     python ../benchmarks/check_metrics.py --captions -
COCO = Scores(87.5, 72.168784, 55.786079, 44.496768, 54.797268, 124.114844, photos=6)

# The same code on Flickr8k's dev split: `EDGECAP_FLICKR8K=... python benchmarks/check_metrics.py`,
# the lines "one constant caption" and "caption 4 against the others".
COCO_DEV_CONSTANT = Scores(42.5, 24.115175, 13.936467, 8.774564, 33.596309, 9.287133, 1000)
COCO_DEV_PERSON = Scores(62.385845, 42.776890, 28.927333, 19.481361, 45.889440, 78.181363, 1000)


def close(expected: Scores, tolerance: float) -> object:
    return pytest.approx(expected.as_dict(), rel=0, abs=tolerance)


def test_matches_the_coco_code() -> None:
    assert score(REFERENCES, HYPOTHESES).as_dict() == close(COCO, 2e-6)


@with_corpus
def test_constant_caption_on_flickr8k_matches_the_coco_code() -> None:
    photos = select(load_dataset(os.environ["EDGECAP_FLICKR8K"]), "dev")
    floor = constant_caption_floor([photo.captions for photo in photos])
    assert floor.as_dict() == close(COCO_DEV_CONSTANT, 1e-4)


@with_corpus
def test_a_person_on_flickr8k_matches_the_coco_code() -> None:
    """People's captions hold the few words that the two tokenizers cut differently."""
    photos = select(load_dataset(os.environ["EDGECAP_FLICKR8K"]), "dev")
    person = score(
        [photo.captions[:4] for photo in photos], [photo.captions[4] for photo in photos]
    )
    assert person.as_dict() == close(COCO_DEV_PERSON, 0.02)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A Dog runs .", "a dog runs"),
        ("A dog runs. The cat sits.", "a dog runs the cat sits"),
        ("the boy's t-shirt , dogs ' toys", "the boy 's t-shirt dogs toys"),
        ("he doesn't ; can't -- won't - cannot", "he does n't ca n't wo n't can not"),
        ('"hello" : `hi` ! ? ...', "hello hi"),
        ("“quoted” – man’s — dog…", "quoted man 's dog"),  # noqa: RUF001
        ("U.S. flag (blue) 3.5 & 1,000", "u.s. flag ( blue ) 3.5 & 1,000"),
        (" . ", ""),
        ("", ""),
    ],
)
def test_words_are_cut_as_the_coco_code_cuts_them(caption: str, words: str) -> None:
    assert tokenize(caption) == words.split()


def test_a_caption_among_the_references_scores_full_marks() -> None:
    references = [["a dog runs on grass"], ["two men sit inside quietly"]]
    scores = score(references, [captions[0] for captions in references])
    assert scores.as_dict() == close(Scores(100, 100, 100, 100, 100, 1000, 2), 1e-9)


def test_bleu_by_hand() -> None:
    # 3 of 4 words and 1 of 3 pairs match, no triple; 4 words against 5.
    brevity = math.exp(1 - 5 / 4)
    scores = score([["one two three four five"]], ["one two nine four"])
    assert scores.bleu_1 == pytest.approx(100 * brevity * 3 / 4)
    assert scores.bleu_2 == pytest.approx(100 * brevity * math.sqrt(3 / 4 * 1 / 3))
    assert (scores.bleu_3, scores.bleu_4) == (0, 0)


def test_bleu_counts_a_repeated_word_as_often_as_one_reference_holds_it() -> None:
    references = [["the cat and the mat", "the dog"]]
    assert score(references, ["the the the the the"]).bleu_1 == pytest.approx(100 * 2 / 5)


def test_bleu_takes_the_closest_reference_length_and_the_shorter_of_two() -> None:
    references = [["one two three four", "one two three four five six"]]
    assert score(references, ["one two three four five"]).bleu_1 == pytest.approx(100)


def test_bleu_sums_over_photos_before_it_divides() -> None:
    # 1 of 1 and 1 of 3 words: 2 of 4, not the mean of the two.
    scores = score([["cat"], ["dog runs here"]], ["cat", "dog sits there"])
    assert scores.bleu_1 == pytest.approx(100 * 2 / 4)


def test_bleu_is_that_of_nltk_where_no_caption_is_shorter_than_four_words() -> None:
    from nltk.translate.bleu_score import corpus_bleu

    references = [[tokenize(caption) for caption in photo] for photo in REFERENCES]
    hypotheses = [tokenize(f"{caption} one two") for caption in HYPOTHESES]
    weights = [(1 / n,) * n for n in (1, 2, 3, 4)]
    expected = corpus_bleu(references, hypotheses, weights=weights)
    assert Bleu(references).score(hypotheses) == pytest.approx(expected, abs=1e-12)


def test_rouge_by_hand() -> None:
    # Lin's own example: 3 of 4 words in order, so precision = recall = 3/4.
    scores = score([["police killed the gunman"]], ["police kill the gunman"])
    assert scores.rouge_l == pytest.approx(75)
    # Precision 2/2, recall 2/5.
    scores = score([["one two three four five"]], ["one three"])
    assert scores.rouge_l == pytest.approx(100 * 2.44 * 0.4 / (0.4 + 1.44))


def test_rouge_takes_precision_and_recall_from_the_best_reference_of_each() -> None:
    references = [["one two", "one two three four five six"]]
    assert score(references, ["one two three four"]).rouge_l == pytest.approx(100)


def test_rouge_counts_words_in_order_only() -> None:
    assert longest_common_subsequence("abcbdab", "bdcaba") == 4
    assert longest_common_subsequence("abc", "") == 0


def test_cider_by_hand() -> None:
    # One word of one n: a quarter of 10 for the photo that it fits, 0 for the other.
    scores = score([["cat"], ["dog"]], ["cat", "cat"])
    assert scores.cider == pytest.approx(100 * 2.5 / 2)


def test_cider_clips_counts_and_penalises_length() -> None:
    # The second "cat" is worth nothing and doubles the norm; one word too many, sigma 6.
    scores = score([["cat"], ["dog"]], ["cat cat", "dog"])
    expected = 10 * (0.5 * math.exp(-1 / 72)) / 4
    assert scores.cider == pytest.approx(100 * (expected + 2.5) / 2)


def test_cider_ignores_what_every_photo_has() -> None:
    assert score([["a cat"], ["a dog"]], ["a", "a"]).cider == 0


def test_cider_of_one_photo_is_zero() -> None:
    assert score([["a cat sits here"]], ["a cat sits here"]).cider == 0


def test_cider_takes_word_ids_too() -> None:
    words = [[caption.split() for caption in photo] for photo in (["a cat sits"], ["a dog runs"])]
    ids = [[[hash(word) for word in caption] for caption in photo] for photo in words]
    by_words, by_ids = Cider(words), Cider(ids)
    said = ["a", "cat", "runs"]
    expected = by_words.score(0, said)
    assert expected > 0
    assert by_ids.score(0, [hash(word) for word in said]) == pytest.approx(expected)


def test_ngrams_and_document_frequencies() -> None:
    ngrams = count_ngrams(["to", "be", "or", "to", "be"])
    assert [counts.total() for counts in ngrams] == [5, 4, 3, 2]
    assert ngrams[1][("to", "be")] == 2
    photos = [[count_ngrams(["a", "cat"]), count_ngrams(["a", "a"])], [count_ngrams(["a"])]]
    assert document_frequencies(photos) == {
        ("a",): 2,
        ("cat",): 1,
        ("a", "cat"): 1,
        ("a", "a"): 1,
    }


@pytest.mark.filterwarnings("error")
def test_empty_captions_score_zero_without_a_warning() -> None:
    nothing = score(REFERENCES, [""] * 6)
    assert nothing == Scores(0, 0, 0, 0, 0, 0, photos=6)
    # One empty caption costs its photo, and the corpus its brevity.
    some = score([["cat"], ["dog"]], ["cat", " . "])
    assert some.bleu_1 == pytest.approx(100 * math.exp(1 - 2 / 1))
    assert some.rouge_l == pytest.approx(50)
    assert some.cider == pytest.approx(125)


@pytest.mark.filterwarnings("error")
def test_one_word_captions_score_without_a_warning() -> None:
    scores = score(REFERENCES, ["dog"] * 6)
    assert scores.bleu_1 > 0
    assert scores.bleu_2 == scores.bleu_3 == scores.bleu_4 == 0
    assert scores.rouge_l > 0
    assert scores.cider > 0


def test_a_reference_without_words_does_no_harm() -> None:
    assert score([["...", "a cat"], ["a dog"]], ["a cat", "..."]).rouge_l == pytest.approx(50)


def test_the_floor_is_the_constant_caption() -> None:
    assert constant_caption_floor(REFERENCES) == score(REFERENCES, [CONSTANT_CAPTION] * 6)


def test_a_scorer_can_be_used_again() -> None:
    scorer = Scorer(REFERENCES)
    first = scorer.score(HYPOTHESES)
    scorer.score([CONSTANT_CAPTION] * 6)
    assert scorer.score(HYPOTHESES) == first


def test_scores_as_dict_holds_every_field() -> None:
    scores = Scores(1, 2, 3, 4, 5, 6, 7)
    assert list(scores.as_dict()) == [field.name for field in fields(Scores)]
    assert list(scores.as_dict().values()) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("references", "hypotheses", "message"),
    [
        ([], [], "found none"),
        ([["a cat"], ["a dog"]], ["a cat"], "expected 2 captions, found 1"),
        ([["a cat"], []], ["a cat", "a dog"], r"photo 1, found \[\]"),
        (["a cat"], ["a cat"], "photo 0, found 'a cat'"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    references: list[list[str]], hypotheses: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        score(references, hypotheses)


def test_without_nltk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.tokenize", None)
    _treebank_rules.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'edgecap\[bench\]'"):
        score([["a cat"]], ["a cat"])


def test_importing_the_module_imports_nothing_heavy() -> None:
    code = "import sys, edgecap.metrics; sys.exit('nltk' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


captions = st.lists(
    st.sampled_from(["a", "dog", "red", "runs", "on", "don't", "t-shirt", "."]), max_size=7
)
sentences = captions.map(" ".join)
photos = st.tuples(st.lists(sentences, min_size=1, max_size=3), sentences)


@settings(max_examples=60, deadline=None)
@given(st.lists(photos, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_scores_stay_in_range_and_ignore_the_order_of_photos(
    corpus: list[tuple[list[str], str]], random: Random
) -> None:
    def of_corpus() -> Scores:
        return score([true for true, _ in corpus], [said for _, said in corpus])

    scores = of_corpus()
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l"):
        assert 0 <= getattr(scores, name) <= 100 + 1e-9
    assert 0 <= scores.cider <= 1000 + 1e-9
    random.shuffle(corpus)
    assert of_corpus().as_dict() == close(scores, 1e-9)
