"""What each system is to whoever times it: a photo in, so many words out, and how long each took.

Letters: `F` values that an encoder gives, `V` vocabulary.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from paper.their_text import Floats

T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """What was said of one photo, and the milliseconds that went into it.

    "photo" is reading, decoding and resizing the file, "encoder" and "decoder" are the two
    networks with all that is done around them; "total" is their sum.
    """

    words: tuple[str, ...]
    milliseconds: dict[str, float]


STAGES = ("photo", "encoder", "decoder", "total")


@dataclass(frozen=True)
class Outputs:
    """What the networks gave for one photo: to hold a compressed system against its float one."""

    features: Floats
    """`(F,)`: all outputs of the encoder."""
    scores: Floats
    """`(V,)`: of the first word, before the softmax, their mean subtracted."""


class Speaker(Protocol):
    """One system, loaded and ready."""

    def caption(self, photo: Path, words: int) -> Said:
        """So many words about a photo, whether the model would have ended earlier or not."""


@runtime_checkable
class Captioner(Speaker, Protocol):
    """One whose networks can be held against another's."""

    def outputs(self, photo: Path) -> Outputs:
        """What its networks give at the first word."""


class Clock:
    """Notes how long one stage after another took."""

    def __init__(self) -> None:
        self._milliseconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], T]) -> T:
        """Does the work, and counts its time to the stage."""
        begin = time.perf_counter()
        result = work()
        self._milliseconds[stage] = 1_000 * (time.perf_counter() - begin)
        return result

    @property
    def milliseconds(self) -> dict[str, float]:
        """By stage, with the total."""
        return {**self._milliseconds, "total": sum(self._milliseconds.values())}
