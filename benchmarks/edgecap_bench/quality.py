"""How good a bundle's captions are: its scores, and those of every caption."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecap.datasets import CaptionedPhoto, load_dataset, select
from edgecap.errors import EdgecapError
from edgecap.metrics import CONSTANT_CAPTION, Scorer, Scores
from edgecap_bench.processes import captions
from edgecap_bench.report import Failed, Measured, Quality
from edgecap_bench.rounds import Subject, failed


@dataclass(frozen=True)
class Said:
    """A bundle's caption of one photo, and its CIDEr in percent."""

    caption: str
    cider: float


@dataclass(frozen=True)
class Shown:
    """A photo for the gallery: what people said of it, and what each measured bundle did."""

    path: Path
    references: tuple[str, ...]
    said: tuple[Said, ...]

    @property
    def cider(self) -> float:
        """The mean over the bundles, in percent."""
        return statistics.fmean(one.cider for one in self.said)


class Examination:
    """One split of a corpus, to score many bundles with.

    Args:
        dataset: the corpus's folder.
        split: the name of its split.

    Raises:
        DatasetError: if the corpus cannot be read or has no such split.
        MissingExtraError: if nltk, which cuts the words, is not installed.
    """

    def __init__(self, dataset: str, split: str) -> None:
        self._dataset, self._split = Path(dataset).resolve().name, split
        self._photos: tuple[CaptionedPhoto, ...] = select(load_dataset(dataset), split)
        self._scorer = Scorer([photo.captions for photo in self._photos])
        self._floor = _as_dict(self._scorer.score([CONSTANT_CAPTION] * len(self._photos)))

    def examine(
        self,
        subjects: Sequence[Subject],
        results: Sequence[Measured | Failed],
        advance: Callable[[str], None],
    ) -> tuple[list[Measured | Failed], list[Shown]]:
        """Lets what was measured caption all photos, greedily; `advance` is told how far it is.

        Returns:
            The results with quality, in their order, and every photo, the worst first. What fails
            here has failed altogether.
        """
        # Threads change no word: one examination is enough for all their numbers.
        done: dict[tuple[str, str], tuple[Quality, list[Said]] | EdgecapError] = {}
        examined: list[Measured | Failed] = []
        said: list[list[Said]] = []
        for subject, result in zip(subjects, results, strict=True):
            if isinstance(result, Failed):
                examined.append(result)
                continue
            key = (subject.path, subject.backend)
            if key not in done:
                done[key] = self._score(subject, advance)
            found = done[key]
            if isinstance(found, EdgecapError):
                examined.append(failed(subject.path, found))
            else:
                examined.append(dataclasses.replace(result, quality=found[0]))
                said.append(found[1])
        shown = (
            [
                Shown(photo.path, photo.captions, tuple(each))
                for photo, *each in zip(self._photos, *said, strict=True)
            ]
            if said
            else []
        )
        return examined, sorted(shown, key=lambda one: one.cider)

    def _score(
        self, subject: Subject, advance: Callable[[str], None]
    ) -> tuple[Quality, list[Said]] | EdgecapError:
        count = len(self._photos)
        try:
            said = captions(
                [str(photo.path.resolve()) for photo in self._photos],
                subject.options(),
                lambda done: advance(f"{subject.path}: {done:,} of {count:,} photos"),
            )
        except EdgecapError as error:
            return error
        quality = Quality(
            dataset=self._dataset,
            split=self._split,
            photos=count,
            bundle=_as_dict(self._scorer.score(said)),
            constant_caption=self._floor,
        )
        return quality, list(map(Said, said, self._scorer.cider(said)))


def _as_dict(scores: Scores) -> dict[str, float]:
    named = scores.as_dict()
    return {name: round(value, 3) for name, value in named.items() if name != "photos"}
