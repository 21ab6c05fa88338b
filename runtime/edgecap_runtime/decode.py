"""Words from a one-step decoder: greedy and beam search.

Both choose the same way. A caption begins with `START_ID`; ids below `END_ID` are never
chosen; it ends with `END_ID` (not among its words) or after `maximum_words` words. Its log
probability is the sum, over every choice made, the end included, of the log softmax over all
`V` scores. A beam of one is greedy search.

Letters: `V` vocabulary, `S` the state's shape as in the manifest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from edgecap.errors import BundleError
from edgecap.tokenizer import END_ID, START_ID

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


# A decoder, one word at a time, that remembers nothing between calls: reads the word's id and the
# state (float32, `S`), then writes the next state over the state, and the scores of what comes
# next over the scores (float32, `(V,)`).
Step: TypeAlias = Callable[[int, Floats, Floats], None]

# Beyond it the difference of two scores may overflow.
LIMIT = 1e30


class Decoded(NamedTuple):
    """Ids of the words, without start and end, and the caption's log probability (natural)."""

    ids: tuple[int, ...]
    log_probability: float


def greedy(step: Step, state: Floats, scores: Floats, maximum_words: int) -> Decoded:
    """The likeliest word at every step; of equal ones, the lowest id.

    No array is allocated, however long the caption.

    Args:
        step: the decoder.
        state: first state, float32, `S`; overwritten.
        scores: working space, float32, `(V,)`; overwritten.
        maximum_words: the longest caption, in words.

    Raises:
        BundleError: if the decoder gives a score that is not finite.
    """
    ids: list[int] = []
    log_probability = 0.0
    token = START_ID
    choices = scores[END_ID:]
    while len(ids) < maximum_words:
        step(token, state, scores)
        token = int(choices.argmax()) + END_ID
        chosen = float(scores[token])
        log_probability += chosen - _log_total(scores)
        if token == END_ID:
            break
        ids.append(token)
    return Decoded(tuple(ids), log_probability)


class _Beam(NamedTuple):
    """A caption on its way; `row` is where its state lies."""

    ids: tuple[int, ...]
    log_probability: float
    row: int

    def average(self) -> float:
        """Log probability per choice: the sum alone would prefer short captions."""
        return self.log_probability / max(len(self.ids), 1)


def beam(step: Step, state: Floats, scores: Floats, maximum_words: int, width: int) -> Decoded:
    """The best of the captions found by keeping the `width` likeliest beginnings.

    An ended caption keeps its place, so the search narrows until none is left. The winner has
    the highest log probability per choice (its words and its end). Of equal candidates the
    one from the better beginning goes first, then the one with the lowest id.

    Args:
        step: the decoder.
        state: first state, float32, `S`.
        scores: working space, float32, `(V,)`; overwritten.
        maximum_words: the longest caption, in words.
        width: how many beginnings to keep, at least 1.

    Raises:
        BundleError: if the decoder gives a score that is not finite.
    """
    states = np.empty((width, *state.shape), np.float32)
    states[0] = state
    live = [_Beam((), 0.0, 0)]
    ended: list[_Beam] = []
    for _ in range(maximum_words):
        candidates = []
        for place, parent in enumerate(live):
            step(parent.ids[-1] if parent.ids else START_ID, states[parent.row], scores)
            best = _best_ids(scores, width - len(ended))
            chosen = scores[best].tolist()
            total = _log_total(scores)
            for token, score in zip(best.tolist(), chosen, strict=True):
                log_probability = parent.log_probability + score - total
                candidates.append((-log_probability, place, token))
        candidates.sort()
        grown, live = live, []
        for negative, place, token in candidates[: width - len(ended)]:
            parent = grown[place]
            longer = _Beam((*parent.ids, token), -negative, parent.row)
            (ended if token == END_ID else live).append(longer)
        if not live:
            break
        states[: len(live)] = states[[one.row for one in live]]
        live = [one._replace(row=row) for row, one in enumerate(live)]
    winner = max(ended + live, key=_Beam.average)
    ids = winner.ids[:-1] if winner.ids[-1:] == (END_ID,) else winner.ids
    return Decoded(ids, winner.log_probability)


def _best_ids(scores: Floats, count: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Ids of at least the `count` highest scores from `END_ID` on, ascending; ties all kept."""
    choices = scores[END_ID:]
    if count < len(choices):
        # Which of several equal scores a partition keeps depends on the machine.
        least = np.partition(choices, len(choices) - count)[len(choices) - count]
        return np.flatnonzero(choices >= least) + END_ID
    return np.arange(END_ID, len(scores))


def _log_total(scores: Floats) -> float:
    """Log of the sum of the exponentials of all scores, which it destroys."""
    highest = scores.max()
    # A NaN is both the highest and the lowest, and no comparison holds for it.
    if not -LIMIT < scores.min() <= highest < LIMIT:
        raise BundleError("the decoder gave a score that is not finite: make the bundle again")
    np.subtract(scores, highest, out=scores)
    np.exp(scores, out=scores)
    return float(highest) + math.log(scores.sum())
