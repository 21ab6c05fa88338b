"""Captions as padded batches of one length each.

Letters: `N` photos, `C` captions of all photos, `B` batch, `T` words of a caption and its end.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecap.datasets import CaptionedPhoto
from edgecap.tokenizer import END_ID, PAD_ID, START_ID, Tokenizer

# Batches are padded to a multiple of this (or the longest), so that few lengths are compiled.
LENGTH_STEP = 4
# Captions are sorted by length inside a pool of this many batches: short and long ones are
# apart, yet every epoch mixes them anew.
POOL = 24


@dataclass(frozen=True)
class Captions:
    """All training captions, as ids."""

    photos: npt.NDArray[np.int64]
    """Which photo each caption is of: `(C,)`, places in the list of photos."""
    words: tuple[tuple[int, ...], ...]
    """Ids of each caption, without start and end."""


@dataclass(frozen=True)
class Batch:
    """`B` captions of `N` photos, padded to one length."""

    photos: npt.NDArray[np.int64]
    """`(N,)`, places in the list of photos; each has `B / N` captions in a row."""
    inputs: npt.NDArray[np.int32]
    """`(B, T)`: start, then the words."""
    targets: npt.NDArray[np.int32]
    """`(B, T)`: the words, then end; `PAD_ID` where nothing is learned."""


def encode_captions(
    photos: Sequence[CaptionedPhoto], tokenizer: Tokenizer, maximum_words: int
) -> Captions:
    """Every caption of every photo; longer ones are cut after `maximum_words`, without an end."""
    pairs = [
        (index, tuple(tokenizer.encode(caption)))
        for index, photo in enumerate(photos)
        for caption in photo.captions
    ]
    # One word more than allowed marks a caption as cut: its end is not taught there.
    return Captions(
        np.array([index for index, _ in pairs], dtype=np.int64),
        tuple(words[: maximum_words + 1] for _, words in pairs),
    )


def batch_count(captions: Captions, size: int) -> int:
    """Batches of an epoch."""
    return len(captions.words) // size if len(captions.words) >= size else 1


def epoch_batches(
    captions: Captions, size: int, maximum_words: int, seed: int, epoch: int
) -> Iterator[Batch]:
    """The batches of one epoch, the same for the same `seed` and `epoch`.

    Each holds exactly `size` captions; what is left over after the last full batch waits for
    another epoch (a set smaller than one batch is repeated to fill it).
    """
    generator = np.random.default_rng((seed, epoch))
    count = batch_count(captions, size)
    order = np.resize(generator.permutation(len(captions.words)), count * size)
    lengths = np.array([len(words) for words in captions.words])
    batches = []
    for start in range(0, len(order), POOL * size):
        pool = order[start : start + POOL * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[place : place + size] for place in range(0, len(pool), size)]
    for index in generator.permutation(len(batches)):
        yield _pad(captions, batches[index], maximum_words)


def photo_batches(
    captions: Captions,
    photos: int,
    captions_each: int,
    maximum_words: int,
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """One epoch with `photos` photos a batch, each with `captions_each` of its captions in a row.

    A photo with fewer captions repeats some, one with more shows others in other epochs. What is
    left over after the last full batch waits for another epoch. The same for the same `seed`
    and `epoch`.
    """
    generator = np.random.default_rng((seed, epoch))
    of_photo = by_photo(captions)
    count = photo_batch_count(captions, photos)
    order = np.resize(generator.permutation(len(of_photo)), count * photos)
    for start in range(0, len(order), photos):
        chosen = [
            np.resize(generator.permutation(of_photo[index]), captions_each)
            for index in order[start : start + photos]
        ]
        batch = _pad(captions, np.concatenate(chosen), maximum_words)
        yield Batch(batch.photos[::captions_each], batch.inputs, batch.targets)


def photo_steps(
    captions: Captions,
    photos: int,
    captions_each: int,
    maximum_words: int,
    seed: int,
    first: int,
    count: int,
) -> Iterator[Batch]:
    """`count` batches from the batch `first` on, counted over all epochs of `photo_batches`."""
    epoch, done = divmod(first, photo_batch_count(captions, photos))
    epochs = (
        photo_batches(captions, photos, captions_each, maximum_words, seed, number)
        for number in itertools.count(epoch)
    )
    return itertools.islice(itertools.chain.from_iterable(epochs), done, done + count)


def photo_batch_count(captions: Captions, photos: int) -> int:
    """Batches of an epoch of `photo_batches`."""
    return max(1, len(np.unique(captions.photos)) // photos)


def by_photo(captions: Captions) -> list[npt.NDArray[np.int64]]:
    """Places of each photo's captions in the list of captions, the photos in their order."""
    order = np.argsort(captions.photos, kind="stable")
    ends = np.flatnonzero(np.diff(captions.photos[order])) + 1
    return np.split(order, ends)


def _pad(captions: Captions, chosen: npt.NDArray[np.int64], maximum_words: int) -> Batch:
    words = [captions.words[index] for index in chosen]
    longest = max(min(len(caption), maximum_words) for caption in words) + 1
    length = min(-(-longest // LENGTH_STEP) * LENGTH_STEP, maximum_words + 1)
    inputs = np.full((len(words), length), PAD_ID, dtype=np.int32)
    targets = np.full((len(words), length), PAD_ID, dtype=np.int32)
    for row, caption in enumerate(words):
        kept = caption[:maximum_words]
        ended = (*kept, END_ID) if len(caption) <= maximum_words else kept
        inputs[row, : len(ended)] = (START_ID, *kept)[: len(ended)]
        targets[row, : len(ended)] = ended
    return Batch(captions.photos[chosen], inputs, targets)
