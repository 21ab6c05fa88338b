"""What the paper prints, from `published.json`: its claim and all its result rows.

Their BLEU leaves the start and end tokens in, their minutes are the decoder alone for `samples`
captions, and their megabytes mix 10^6 and 2^20. One BLEU-4, 0.450, can only be a slip for 0.045:
it stands as printed.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from edgecap import schema


@dataclass(frozen=True)
class Headline:
    """One of the two systems that the claim compares."""

    bleu_1: float
    size_mb: float
    minutes: float


@dataclass(frozen=True)
class Change:
    """What compression changed, in percent of the baseline."""

    size: float
    time: float
    bleu: float

    @classmethod
    def between(cls, baseline: Headline, other: Headline) -> "Change":
        pairs = (
            (baseline.size_mb, other.size_mb),
            (baseline.minutes, other.minutes),
            (baseline.bleu_1, other.bleu_1),
        )
        return cls(*(100 * (after / before - 1) for before, after in pairs))


@dataclass(frozen=True)
class Row:
    """One encoder with one decoder; BLEU from 0 to 1, minutes for `Published.samples` captions."""

    encoder: str
    encoder_compression: str
    decoder_compression: str
    bleu_1: float
    bleu_4: float
    minutes: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What a row of ours is matched by."""
        return (self.encoder, self.encoder_compression, self.decoder_compression)


@dataclass(frozen=True)
class Published:
    """The whole of `published.json`; `claim_percent` is the claim in their own rounding."""

    paper: str
    samples: int
    headline: dict[str, Headline]
    claim_percent: Change
    rows: tuple[Row, ...]


@functools.cache
def published() -> Published:
    """The transcription."""
    content = Path(__file__).with_name("published.json").read_bytes()
    return schema.from_value(Published, schema.parse(content))
