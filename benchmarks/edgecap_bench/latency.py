"""Where the time of a caption goes, stage by stage."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecap.errors import EdgecapError, EngineError

if TYPE_CHECKING:
    from edgecap_runtime import Caption, Captioner

WORD = "decoder_word"
STAGES = {
    "decode": "decode",
    "resize": "resize",
    "encoder": "encoder",
    "decoder": "decoder",
    WORD: "decoder, a word",
    "total": "total",
}
"""What is timed, as JSON and as people name it.

"decode" is the photo's, from memory. A word of the decoder is one step of it; the end of the
caption is one too.
"""


@dataclass(frozen=True)
class Distribution:
    """Times of several runs, in milliseconds. The 90th percentile is one that was measured."""

    median: float
    p90: float
    minimum: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Distribution:
        """Of one time or more."""
        nearest_rank = math.ceil(0.9 * len(times))
        p90 = sorted(times)[nearest_rank - 1]
        return cls(*(round(time, 4) for time in (statistics.median(times), p90, min(times))))


@dataclass(frozen=True)
class Latency:
    """What a bundle said, in `steps` steps of the decoder, and how long it took in `runs` runs."""

    caption: str
    steps: int
    runs: int
    warm_up: int
    stages_ms: dict[str, Distribution]
    """By the names of `STAGES`."""


class Stopwatch:
    """Captions one photo again and again with one bundle, and insists on the same words."""

    def __init__(self, captioner: Captioner, photo: bytes) -> None:
        self._captioner = captioner
        self._photo = photo
        self._first: Caption | None = None
        self._timings: list[dict[str, float]] = []

    def run(self, timed: bool) -> None:
        """Captions the photo once more; a run that is not timed is warm-up.

        Raises:
            EngineError: if the words are not those of the first run.
            EdgecapError: whatever else `Captioner.caption` raises.
        """
        caption = self._captioner.caption(self._photo)
        if self._first is None:
            self._first = caption
        if caption.words != self._first.words:
            raise EngineError(
                f"the same photo was {self._first.text!r} and then {caption.text!r}: "
                "expected the same words in every run; try --threads 1 or another --backend"
            )
        if timed:
            self._timings.append(caption.timings_ms)

    def latency(self, warm_up: int) -> Latency:
        """The result, after one timed run or more; `warm_up` runs came before."""
        assert self._first is not None
        words = len(self._first.words)
        # The end is a step, unless the caption was cut at the longest.
        steps = min(words + 1, self._captioner.bundle.manifest.maximum_words)
        timings = [{**one, WORD: one["decoder"] / steps} for one in self._timings]
        stages = {stage: Distribution.of([one[stage] for one in timings]) for stage in STAGES}
        return Latency(self._first.text, steps, len(timings), warm_up, stages)


def measure(
    captioners: Sequence[Captioner], photo: bytes, runs: int, warm_up: int
) -> list[Latency | EdgecapError]:
    """Times all captioners in turns, so that what slows the machine down slows all of them.

    Args:
        captioners: loaded bundles.
        photo: the bytes of an image file.
        runs: timed captions with each bundle, at least 1.
        warm_up: captions before them.

    Returns:
        For each captioner the latency, or why there is none: it then took no more turns.
    """
    watches = [Stopwatch(captioner, photo) for captioner in captioners]
    failures: dict[Stopwatch, EdgecapError] = {}
    for turn in range(warm_up + runs):
        for watch in watches:
            if watch not in failures:
                try:
                    watch.run(timed=turn >= warm_up)
                except EdgecapError as error:
                    failures[watch] = error
    return [failures.get(watch) or watch.latency(warm_up) for watch in watches]
