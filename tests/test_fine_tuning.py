"""Encoder and decoder trained together, and by what whole captions are worth."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_captioner import SMALL, small_captioner

from edgecap.metrics import Cider, Scorer
from edgecap.tokenizer import END_ID, PAD_ID, START_ID
from edgecap_converter import checkpoints
from edgecap_converter.batches import Captions
from edgecap_converter.epochs import run_epochs
from edgecap_converter.fine_tuning import FineTuner, train_layers_up_to
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.plan import FineTuningSettings, SequenceSettings
from edgecap_converter.sequence_training import (
    SequenceTrainer,
    advantages,
    as_batch,
    references,
)

A, RED, BLUE, BALL = range(4, 8)
TUNING = FineTuningSettings(
    epochs=3, photos=4, captions=2, encoder_learning_rate=1e-2, decoder_learning_rate=1e-2,
    largest_grid=4, dropout=0.0, averaging=0.5,
)  # fmt: skip
SEQUENCE = SequenceSettings(epochs=3, photos=4, samples=4, learning_rate=1e-2, averaging=0.5)


@pytest.fixture
def model() -> Model:
    """A model that knows nothing, for photos of 16 x 16."""
    return small_captioner()


def _photos() -> Any:
    """Four red photos, then four blue ones."""
    photos = np.zeros((8, 16, 16, 3), np.uint8)
    photos[:4, :, :, 0], photos[4:, :, :, 2] = 255, 255
    return photos


CAPTIONS = Captions(
    np.repeat(np.arange(8), 2),
    tuple((A, RED if index < 8 else BLUE, BALL)[index % 2 :] for index in range(16)),
)
SCORER = Scorer([["a red ball", "red ball"]] * 4 + [["a blue ball", "blue ball"]] * 4)
ALL = np.ones(8, np.bool_)


def _fine_tuner(model: Model) -> FineTuner:
    return FineTuner(model, TUNING, CAPTIONS, ALL, _photos(), _photos())


def _sequence_trainer(model: Model, epochs: int = SEQUENCE.epochs) -> SequenceTrainer:
    features = model.network(SMALL.normalize(_photos())).numpy().astype(np.float16)
    settings = dataclasses.replace(SEQUENCE, epochs=epochs)
    return SequenceTrainer(model, settings, CAPTIONS, ALL, [features, features], features)


@pytest.mark.parametrize("make", [_fine_tuner, _sequence_trainer])
def test_a_run_stopped_in_its_second_epoch_ends_like_an_undisturbed_one(
    make: Any, model: Model, tmp_path: Path, interrupted: Any
) -> None:
    untrained = model.weights()

    def run(folder: str) -> tuple[checkpoints.Arrays, Any]:
        checkpoints.assign(model.models, untrained)
        return run_epochs(make(model), 3, SCORER, tmp_path / folder, "test")

    undisturbed, history = run("one")
    with interrupted(type(make(model))):
        run("two")
    resumed, resumed_history = run("two")
    assert resumed_history == history
    assert any((undisturbed[name] != untrained[name]).any() for name in undisturbed)
    for name, value in undisturbed.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_fine_tuning_learns_in_the_layers_that_it_may_change(model: Model, tmp_path: Path) -> None:
    before = model.weights()
    trainer = _fine_tuner(model)
    best, history = run_epochs(trainer, 3, SCORER, tmp_path, "test")
    assert history[-1]["loss"] < history[0]["loss"]
    # The first layer's grid is 8 x 8, larger than the 4 x 4 that may learn.
    np.testing.assert_array_equal(best["first/kernel"], before["first/kernel"])
    assert (best["last/kernel"] != before["last/kernel"]).any()
    assert (best["head_words/kernel"] != before["head_words/kernel"]).any()


def test_the_gradient_that_passes_from_decoder_to_encoder_is_that_of_the_whole(
    model: Model,
) -> None:
    """The step hands the gradient over by hand: against one tape over everything."""
    tensorflow = import_tensorflow()
    from edgecap_converter.unroll import NO_DROPOUT, smoothed_loss, unroll

    trainer = _fine_tuner(model)
    pixels = SMALL.normalize(_photos())
    inputs = np.array([[START_ID, A, RED], [START_ID, RED, BALL]] * 8, np.int32)
    targets = np.array([[A, RED, END_ID], [RED, BALL, PAD_ID]] * 8, np.int32)
    with tensorflow.GradientTape(persistent=True) as tape:
        grid = model.network(pixels)
        loss = smoothed_loss(unroll(model.decoder, grid, inputs, NO_DROPOUT), targets, 0.1)
    whole = tape.gradient(loss, model.network.trainable_variables)
    masks = [tensorflow.ones_like(grid), tensorflow.ones((16, 3, 8)), tensorflow.ones((48, 24))]
    by_hand, grid_gradient, *_ = trainer._gradients(grid, inputs, targets, masks)
    assert float(by_hand) == pytest.approx(float(loss), rel=1e-5)
    parts = tape.gradient(grid, model.network.trainable_variables, grid_gradient)
    assert len(whole) == 2  # the last layer's kernel and bias
    for expected, found in zip(whole, parts, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_layers_of_larger_grids_do_not_learn(model: Model) -> None:
    train_layers_up_to(model.network, 8)
    assert len(model.network.trainable_variables) == 4
    train_layers_up_to(model.network, 3)
    assert model.network.trainable_variables == []


def test_rewarded_captions_become_better(model: Model) -> None:
    trainer = _sequence_trainer(model, epochs=60)
    rewards = [-np.mean(list(trainer.epoch(number))) for number in range(60)]
    assert np.mean(rewards[-5:]) > 1.5 * np.mean(rewards[:5])
    assert trainer.dev_captions() == ["red ball"] * 4 + ["blue ball"] * 4


def test_the_end_counts_as_a_word_of_the_reward(model: Model) -> None:
    assert references(CAPTIONS, 5)[0] == [(A, RED, BALL, END_ID), (RED, BALL, END_ID)]
    assert references(CAPTIONS, 2)[0] == [(A, RED, BALL), (RED, BALL, END_ID)]
    trainer = _sequence_trainer(model)
    ended = [A, RED, BALL, END_ID]
    targets = np.array([ended, [A, RED, BALL, PAD_ID], ended, ended], np.int32)
    (rewards,) = trainer._rewards(np.array([0]), targets)
    expected = Cider(references(CAPTIONS, 5))
    assert rewards[0] == pytest.approx(expected.score(0, ended), rel=1e-6)
    assert rewards[0] > rewards[1]


def test_drawn_captions_end_at_their_end() -> None:
    drawn = np.array([[A, RED, END_ID, BALL, BALL], [RED, BALL, A, A, END_ID]], np.int32)
    inputs, targets = as_batch(drawn)
    assert targets.tolist() == [[A, RED, END_ID, PAD_ID, PAD_ID], [RED, BALL, A, A, END_ID]]
    assert inputs[:, 0].tolist() == [START_ID] * 2
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    # Cut after the longest, at a multiple of 4.
    inputs, targets = as_batch(drawn[:1])
    assert targets.shape == inputs.shape == (1, 4)
    assert inputs.tolist() == [[START_ID, A, RED, END_ID]]


def test_a_caption_is_held_against_its_photos_others() -> None:
    rewards = np.array([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]], np.float32)
    assert advantages(rewards).tolist() == [-3.0, -1.5, 4.5, 0.0, 0.0, 0.0]
