"""What a target said of the photos, and how that differs from what another said.

Letters: `T` steps of a caption.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lean_install import require

Array = np.ndarray[Any, np.dtype[Any]]
OUTPUTS = ("features", "keys", "state")


@dataclass(frozen=True)
class Recording:
    """What `record.py` left behind.

    Attributes:
        captions: by the photos' names, in order.
        encoder_ms: what the encoder took for a photo, the median, in milliseconds.
        arrays: as `record.py` describes them.
    """

    captions: dict[str, str]
    encoder_ms: float
    arrays: dict[str, Array]

    @classmethod
    def read(cls, printed: str, record: Path) -> Recording:
        """From what `record.py` printed and wrote."""
        lines = [json.loads(line) for line in printed.splitlines()]
        captions = {Path(line["path"]).name: line["caption"] for line in lines}
        require(all(captions.values()), "a caption of each photo", captions)
        encoder_ms = statistics.median(line["timings_ms"]["encoder"] for line in lines)
        with np.load(record) as arrays:
            return cls(captions, encoder_ms, dict(arrays))


@dataclass(frozen=True)
class Parted:
    """A photo that got other words than from the reference, and where the captions part.

    Attributes:
        word: how many words they share before.
        margin, reference_margin: by how much the best word's score was over the second best's at
            that step, here and there (logits).
    """

    photo: str
    caption: str
    reference: str
    word: int
    margin: float
    reference_margin: float

    @property
    def moved(self) -> float:
        """By how much the two words' scores moved against each other."""
        return self.margin + self.reference_margin


@dataclass(frozen=True)
class Comparison:
    """A recording against a reference of the same photos.

    Attributes:
        photos: how many.
        decoded: photos that were given to the encoder with other grey levels.
        levels: by how many of 256 at most.
        exact: photos whose three encoder outputs are equal to the last bit.
        steps: largest difference of an encoder output, in steps of its int8 quantization.
        differing: share of the encoder's values that are half a step or more apart.
        moved: by how much, at most, the scores of a step's two best words moved against each
            other in captions with equal words.
        parted: those with other words.
    """

    photos: int
    decoded: int
    levels: float
    exact: int
    steps: float
    differing: float
    moved: float
    parted: tuple[Parted, ...]

    @property
    def equal(self) -> int:
        """Photos with the same words."""
        return self.photos - len(self.parted)

    @property
    def explained(self) -> bool:
        """Whether rounding moves words elsewhere by as much as where captions part."""
        return all(one.moved <= self.moved for one in self.parted)


def compare(here: Recording, there: Recording) -> Comparison:
    """Compares `here` with the reference `there`."""
    require(list(here.captions) == list(there.captions), "the same photos", list(here.captions))
    count = len(here.captions)
    apart = {
        name: [_difference(here, there, f"{name}_{number}") for number in range(count)]
        for name in OUTPUTS
    }
    steps = {name: _quantum(there, name, count) for name in OUTPUTS}
    photos = [_difference(here, there, f"photo_{number}") for number in range(count)]
    parted, moved = [], [0.0]
    for number, (photo, caption) in enumerate(here.captions.items()):
        ours, theirs = here.arrays[f"steps_{number}"], there.arrays[f"steps_{number}"]
        if caption == there.captions[photo]:
            pair = (ours[:, :2] == theirs[:, :2]).all(axis=1)
            margins = (taken[pair, 2] - taken[pair, 3] for taken in (ours, theirs))
            moved.extend(np.abs(np.subtract(*margins)).tolist())
            continue
        word = int(np.argmax([a != b for a, b in zip(ours[:, 0], theirs[:, 0], strict=False)]))
        margin, other = (float(taken[word, 2] - taken[word, 3]) for taken in (ours, theirs))
        parted.append(Parted(photo, caption, there.captions[photo], word, margin, other))
    return Comparison(
        photos=count,
        decoded=sum(bool(one.any()) for one in photos),
        levels=max(float(one.max()) for one in photos),
        exact=sum(all(not apart[name][i].any() for name in OUTPUTS) for i in range(count)),
        steps=max(float(one.max()) / steps[name] for name in OUTPUTS for one in apart[name]),
        differing=float(
            np.mean([(one > steps[name] / 2).mean() for name in OUTPUTS for one in apart[name]])
        ),
        moved=max(moved),
        parted=tuple(parted),
    )


def _difference(here: Recording, there: Recording, name: str) -> Array:
    difference: Array = np.abs(here.arrays[name].astype(float) - there.arrays[name])
    return difference


def _quantum(there: Recording, name: str, count: int) -> float:
    """One step of an output that was int8: the least difference of two of its values."""
    values = np.unique(np.concatenate([there.arrays[f"{name}_{i}"].ravel() for i in range(count)]))
    # Engines turn steps into float32 with and without a last rounding.
    differences = np.diff(values)
    return float(differences[differences > 1e-4].min())
