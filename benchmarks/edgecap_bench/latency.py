"""Where the time of a caption goes, stage by stage."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecap.errors import EngineError

if TYPE_CHECKING:
    from edgecap_runtime import Captioner

WORD, TOTAL = "decoder_word", "total"
STAGES = {
    "decode": "decode",
    "resize": "resize",
    "encoder": "encoder",
    "decoder": "decoder",
    WORD: "decoder, a word",
    TOTAL: "total",
}
"""What is timed, as JSON and as people name it.

"decode" is the photo's, from memory. A word of the decoder is one step of it; the end of the
caption is one too.
"""


@dataclass(frozen=True)
class Distribution:
    """Times of several runs, in milliseconds. Percentiles are times that were measured.

    `p99` and `runs` are None in results from before they were.
    """

    median: float
    p90: float
    minimum: float
    p99: float | None = None
    runs: int | None = None

    @classmethod
    def of(cls, times: Sequence[float]) -> Distribution:
        """Of one time or more."""
        ordered = sorted(round(time, 4) for time in times)
        p90, p99 = (ordered[math.ceil(share * len(times)) - 1] for share in (0.9, 0.99))
        return cls(round(statistics.median(times), 4), p90, ordered[0], p99, len(times))


@dataclass(frozen=True)
class Latency:
    """What a bundle said of a photo, and how long it took each time.

    Attributes:
        caption: the same in every run.
        steps: of the decoder, for it.
        times_ms: milliseconds by the names of `STAGES`, one a timed run, in their order.
    """

    caption: str
    steps: int
    times_ms: dict[str, tuple[float, ...]]


def measure(captioner: Captioner, photo: bytes, runs: int, warm_up: int) -> Latency:
    """Captions a photo again and again with one bundle.

    Args:
        captioner: a loaded bundle.
        photo: the bytes of an image file.
        runs: timed captions, at least 1.
        warm_up: captions before them.

    Raises:
        EngineError: if two runs gave different words.
        EdgecapError: whatever else `Captioner.caption` raises.
    """
    captions = [captioner.caption(photo) for _ in range(warm_up + runs)]
    first = captions[0]
    for caption in captions:
        if caption.words != first.words:
            raise different_words(first.text, caption.text)
    # The end is a step, unless the caption was cut at the longest.
    steps = min(len(first.words) + 1, captioner.bundle.manifest.maximum_words)
    timings = [
        {**caption.timings_ms, WORD: caption.timings_ms["decoder"] / steps}
        for caption in captions[warm_up:]
    ]
    times = {stage: tuple(timing[stage] for timing in timings) for stage in STAGES}
    return Latency(first.text, steps, times)


def different_words(first: str, second: str) -> EngineError:
    """What is wrong when the same photo has two captions."""
    return EngineError(
        f"the same photo was {first!r} and then {second!r}: expected the same words in every "
        "run; try --threads 1 or another --backend"
    )
