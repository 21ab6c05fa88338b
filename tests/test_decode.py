"""Greedy and beam search, on decoders small enough to know the right answer."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from edgecap.errors import BundleError
from edgecap.tokenizer import END_ID, START_ID
from edgecap_runtime.decode import Decoded, beam, greedy

VOCABULARY = 7  # END_ID and three words that can be chosen, three ids that cannot


class History:
    """A decoder whose scores are drawn anew for each beginning, which its state holds."""

    def __init__(self, seed: int, vocabulary: int = VOCABULARY) -> None:
        self.seed, self.vocabulary = seed, vocabulary
        self.tokens: list[int] = []

    def scores(self, beginning: tuple[int, ...]) -> np.ndarray:
        drawn = np.random.default_rng([self.seed, *beginning]).normal(0, 2, self.vocabulary)
        return drawn.astype(np.float32)

    def __call__(self, token, state, scores):
        self.tokens.append(token)
        length = int(state[0, 0])
        state[0, length + 1] = token
        state[0, 0] = length + 1
        scores[:] = self.scores(tuple(int(one) for one in state[0, 1 : length + 2]))

    def search(self, maximum_words: int, width: int | None = None) -> Decoded:
        state = np.zeros((1, maximum_words + 3), np.float32)
        scores = np.empty(self.vocabulary, np.float32)
        if width is None:
            return greedy(self, state, scores, maximum_words)
        return beam(self, state, scores, maximum_words, width)

    def log_probability(self, ids: tuple[int, ...], maximum_words: int) -> float:
        """By the definition, in float64."""
        choices = ids if len(ids) == maximum_words else (*ids, END_ID)
        total = 0.0
        for place, choice in enumerate(choices):
            scores = self.scores((START_ID, *ids[:place])).astype(np.float64)
            total += scores[choice] - np.log(np.exp(scores).sum())
        return total

    def captions(self, maximum_words: int):
        words = range(END_ID + 1, self.vocabulary)
        for length in range(maximum_words + 1):
            yield from itertools.product(words, repeat=length)


def fixed(*values: float):
    """A decoder that gives the same scores at every step, whatever it is told."""

    def step(_token, _state, scores):
        scores[:] = values

    return step


def search(step, width=None, maximum_words=5, vocabulary=VOCABULARY):
    state, scores = np.zeros((1, 1), np.float32), np.empty(vocabulary, np.float32)
    if width is None:
        return greedy(step, state, scores, maximum_words)
    return beam(step, state, scores, maximum_words, width)


@pytest.mark.parametrize("seed", range(10))
def test_greedy_takes_the_likeliest_word_at_every_step(seed):
    decoder = History(seed)
    ids, _ = decoder.search(6)
    for place in range(len(ids) + (len(ids) < 6)):
        scores = decoder.scores((START_ID, *ids[:place]))[END_ID:]
        chosen = (*ids, END_ID)[place]
        assert chosen == int(scores.argmax()) + END_ID


@pytest.mark.parametrize("width", [None, 1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_log_probability_is_the_log_softmax_of_every_choice_and_of_the_end(seed, width):
    decoder = History(seed)
    ids, log_probability = decoder.search(4, width)
    assert log_probability == pytest.approx(decoder.log_probability(ids, 4), abs=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_a_beam_of_one_is_greedy_search(seed):
    assert History(seed).search(8, width=1) == History(seed).search(8)


@pytest.mark.parametrize("seed", range(10))
def test_a_beam_that_holds_everything_finds_the_best_average(seed):
    decoder = History(seed)

    def average(ids):
        return decoder.log_probability(ids, 3) / min(len(ids) + 1, 3)

    best = max(decoder.captions(3), key=average)
    assert decoder.search(3, width=1_000).ids == best


def test_a_wider_beam_finds_what_greed_misses():
    """The likeliest first word leads nowhere: 0.5 * 0.4 against 0.4 * 0.9."""

    def step(token, state, scores):
        state += 1
        probabilities = {START_ID: [0.1, 0.5, 0.4], 4: [0.3, 0.3, 0.4], 5: [0.9, 0.05, 0.05]}
        scores[:] = -20.0
        scores[END_ID : END_ID + 3] = np.log(probabilities[token])

    assert search(step, vocabulary=6).ids[0] == 4
    found = search(step, width=2, vocabulary=6)
    assert found.ids == (5,)
    assert math.exp(found.log_probability) == pytest.approx(0.4 * 0.9, rel=1e-3)


def test_tokens_fed_back_begin_with_the_start_and_are_the_chosen_words():
    decoder = History(3)
    ids, _ = decoder.search(6)
    assert decoder.tokens[0] == START_ID
    assert tuple(decoder.tokens[1:]) == ids[: len(decoder.tokens) - 1]


@pytest.mark.parametrize("width", [None, 1, 4])
def test_padding_start_and_unknown_are_never_chosen(width):
    ids, _ = search(fixed(9, 9, 9, 0, 1, 0.5, 0.5), width)
    assert ids
    assert min(ids) > END_ID


@pytest.mark.parametrize("width", [None, 1, 4])
def test_a_caption_that_ends_at_once_has_no_words(width):
    ids, log_probability = search(fixed(0, 0, 0, 9, 0, 0, 0), width)
    assert ids == ()
    assert log_probability == pytest.approx(9 - math.log(6 + math.exp(9)), abs=1e-6)


@pytest.mark.parametrize("width", [None, 1, 3])
def test_a_decoder_that_never_ends_is_stopped(width):
    assert search(fixed(0, 0, 0, -50, 1, 2, 3), width, maximum_words=9).ids == (6,) * 9


@pytest.mark.parametrize("width", [None, 1, 2, 5])
def test_of_equal_scores_the_lowest_id_wins(width):
    assert search(fixed(0, 0, 0, -9, 1, 1, 1), width, maximum_words=3).ids == (4, 4, 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("place", [0, END_ID, VOCABULARY - 1])
@pytest.mark.parametrize("width", [None, 2])
def test_scores_that_are_not_finite_are_refused_in_one_line(bad, place, width):
    scores = [0.0] * VOCABULARY
    scores[place] = bad
    with pytest.raises(BundleError, match="not finite") as caught:
        search(fixed(*scores), width)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [None, 1, 16])
def test_a_vocabulary_of_nothing_but_the_end(width):
    assert search(fixed(0, 0, 0, 0), width, vocabulary=4).ids == ()


def test_greedy_search_allocates_no_array_however_long_the_caption():
    """Scores and state have 400 kB each: one copy of either would show."""
    drawn = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    drawn[END_ID] = -50
    state, scores = np.zeros((1, 100_000), np.float32), np.empty(100_000, np.float32)

    def step(_token, state, scores):
        np.copyto(scores, drawn)
        state += 1

    greedy(step, state, scores, 2)
    tracemalloc.start()
    try:
        greedy(step, state, scores, 500)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000
