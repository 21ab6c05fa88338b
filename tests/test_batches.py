"""Batches: the same for the same seed and epoch, padded right, every caption used."""

from pathlib import Path

import numpy as np
import pytest

from edgecap.datasets import CaptionedPhoto
from edgecap.tokenizer import END_ID, PAD_ID, START_ID, Tokenizer
from edgecap_converter.batches import (
    LENGTH_STEP,
    Captions,
    batch_count,
    encode_captions,
    epoch_batches,
    photo_batch_count,
    photo_batches,
    photo_steps,
)


def _captions(lengths: list[int]) -> Captions:
    """Caption i is of photo i and holds the word id 10 + i as often as it is long."""
    words = tuple((10 + index,) * length for index, length in enumerate(lengths))
    return Captions(np.arange(len(lengths)), words)


def test_inputs_and_targets_are_one_word_apart() -> None:
    (batch,) = epoch_batches(_captions([3]), 1, maximum_words=10, seed=0, epoch=0)
    assert batch.inputs.tolist() == [[START_ID, 10, 10, 10]]
    assert batch.targets.tolist() == [[10, 10, 10, END_ID]]


def test_padding_is_never_a_target_word() -> None:
    (batch,) = epoch_batches(_captions([1, 6]), 2, maximum_words=10, seed=0, epoch=0)
    assert batch.inputs.shape == (2, 2 * LENGTH_STEP)
    short = batch.targets[batch.photos.tolist().index(0)]
    assert short.tolist() == [10, END_ID] + [PAD_ID] * (2 * LENGTH_STEP - 2)


def test_a_cut_caption_does_not_teach_its_end() -> None:
    (batch,) = epoch_batches(_captions([9]), 1, maximum_words=5, seed=0, epoch=0)
    assert batch.targets[0, :5].tolist() == [10] * 5
    assert END_ID not in batch.targets


def test_a_caption_of_exactly_the_longest_length_keeps_its_end() -> None:
    (batch,) = epoch_batches(_captions([5]), 1, maximum_words=5, seed=0, epoch=0)
    assert batch.targets[0].tolist() == [10] * 5 + [END_ID]


def test_an_epoch_holds_each_caption_at_most_once_and_all_but_a_rest() -> None:
    captions = _captions([1 + index % 9 for index in range(103)])
    batches = list(epoch_batches(captions, 10, maximum_words=10, seed=1, epoch=0))
    seen = np.concatenate([batch.photos for batch in batches])
    assert len(batches) == batch_count(captions, 10) == 10
    assert len(set(seen.tolist())) == 100


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not() -> None:
    captions = _captions([1 + index % 9 for index in range(60)])

    def photos(seed: int, epoch: int) -> list[list[int]]:
        return [b.photos.tolist() for b in epoch_batches(captions, 10, 10, seed, epoch)]

    assert photos(1, 2) == photos(1, 2)
    assert photos(1, 2) != photos(1, 3)
    assert photos(1, 2) != photos(2, 2)


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_steps_go_on_where_the_last_ended_whatever_an_epoch_is(count: int) -> None:
    captions = _captions([1 + index % 9 for index in range(20)])

    def photos(first: int, count: int) -> list[list[int]]:
        batches = photo_steps(captions, 4, 1, 10, 1, first, count)
        return [batch.photos.tolist() for batch in batches]

    epochs = [photo_batches(captions, 4, 1, 10, 1, epoch) for epoch in range(4)]
    expected = [batch.photos.tolist() for epoch in epochs for batch in epoch]
    assert photos(0, count) + photos(count, count) == expected[: 2 * count]


def test_a_set_smaller_than_a_batch_fills_it() -> None:
    (batch,) = epoch_batches(_captions([2, 3]), 5, maximum_words=10, seed=0, epoch=0)
    assert batch.inputs.shape[0] == 5


@pytest.mark.parametrize("maximum_words", [3, 20])
def test_captions_are_encoded_with_their_photo(maximum_words: int) -> None:
    photos = [
        CaptionedPhoto(Path("a.jpg"), ("A dog .", "One two three four five dogs !"), "train"),
        CaptionedPhoto(Path("b.jpg"), ("A zebra .",), "train"),
    ]
    tokenizer = Tokenizer(("<pad>", "<start>", "<unknown>", "<end>", "a", "dog"))
    captions = encode_captions(photos, tokenizer, maximum_words)
    assert captions.photos.tolist() == [0, 0, 1]
    assert captions.words[0] == (4, 5)
    assert captions.words[1] == (2,) * min(6, maximum_words + 1)
    assert captions.words[2] == (4, 2)


def test_batches_by_photo_hold_each_photo_once_with_its_own_captions() -> None:
    # Three captions a photo, of words that name their photo; the last photo has only one.
    photos = np.array([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6])
    captions = Captions(photos, tuple((10 + int(photo),) * 2 for photo in photos))
    assert photo_batch_count(captions, 3) == 2
    for epoch in range(3):
        batches = list(photo_batches(captions, 3, 2, maximum_words=10, seed=1, epoch=epoch))
        assert len(batches) == 2
        seen = np.concatenate([batch.photos for batch in batches])
        assert len(set(seen.tolist())) == 6
        for batch in batches:
            assert batch.photos.shape == (3,)
            assert batch.targets.shape[0] == 6
            assert (batch.targets[:, 0] == 10 + np.repeat(batch.photos, 2)).all()


def test_batches_by_photo_are_the_same_for_the_same_epoch_and_vary_their_captions() -> None:
    captions = Captions(np.repeat(np.arange(4), 5), tuple((10 + index,) for index in range(20)))

    def words(epoch: int) -> list[list[int]]:
        batches = photo_batches(captions, 2, 3, maximum_words=5, seed=1, epoch=epoch)
        return [batch.targets[:, 0].tolist() for batch in batches]

    assert words(0) == words(0)
    assert len({word for epoch in range(8) for batch in words(epoch) for word in batch}) == 20
    assert all(len(set(batch)) == 6 for batch in words(0))


def test_a_photo_with_too_few_captions_repeats_them() -> None:
    captions = Captions(np.array([0]), ((10, 11),))
    (batch,) = photo_batches(captions, 2, 3, maximum_words=5, seed=0, epoch=0)
    assert batch.photos.tolist() == [0, 0]
    assert (batch.targets[:, :3] == [10, 11, END_ID]).all()
    assert batch.targets.shape[0] == 6
