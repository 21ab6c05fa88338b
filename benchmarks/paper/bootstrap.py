"""Whether two captioners differ, or the photos that were drawn do: a paired bootstrap of CIDEr.

Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13: the percentile
interval. Letters: `N` photos.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecap.errors import UsageError
from edgecap.metrics import Cider, tokenize

RESAMPLES = 10_000
INTERVAL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


@dataclass(frozen=True)
class Interval:
    """CIDEr points of the second captions less the first, and where 95 % of resamples lie."""

    points: float
    low: float
    high: float


def cider_difference(
    references: Sequence[Sequence[str]],
    first: Sequence[str],
    second: Sequence[str],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """How much better the second captions of the same photos are.

    The photos are drawn again and again, with their captions by both. Document frequencies stay
    those of all the references: CIDEr-D of a photo is then a number of its own.

    Args:
        references: the captions of each photo as people write them.
        first, second: one caption a photo.
        seed: the same gives the same interval.

    Raises:
        UsageError: no photos, or another number of captions.
        MissingExtraError: nltk is not installed.
    """
    if not references or not len(references) == len(first) == len(second):
        raise UsageError(
            f"expected two captions for each of {len(references)} photos, found {len(first)} and "
            f"{len(second)}: give both for all"
        )
    cider = Cider([[tokenize(caption) for caption in photo] for photo in references])
    before, after = (
        [cider.score(photo, tokenize(caption)) for photo, caption in enumerate(captions)]
        for captions in (first, second)
    )
    differences = 100 * (np.array(after) - np.array(before))
    return Interval(float(differences.mean()), *percentile_interval(differences, seed, resamples))


def percentile_interval(
    differences: npt.NDArray[np.float64], seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The 95 % interval of the mean of `(N,)` values, each resample drawing `N` of them again."""
    generator = np.random.default_rng(seed)
    count = len(differences)
    means = [differences[generator.integers(0, count, count)].mean() for _ in range(resamples)]
    low, high = np.percentile(means, INTERVAL)
    return float(low), float(high)
