"""Training: the formulas, and that a run that was stopped ends as if it never had been."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.metrics import Scorer
from edgecap.tokenizer import PAD_ID, SPECIAL_TOKENS, Tokenizer
from edgecap_converter import checkpoints
from edgecap_converter.batches import Captions
from edgecap_converter.decoders import build_decoder
from edgecap_converter.encoders import ENCODERS
from edgecap_converter.epochs import History, run_epochs
from edgecap_converter.frameworks import make_reproducible
from edgecap_converter.model import Configuration, Model
from edgecap_converter.optimizer import one_cycle
from edgecap_converter.plan import DecoderSize, TrainingSettings
from edgecap_converter.rehearsal import Rehearser
from edgecap_converter.training import DecoderTrainer
from edgecap_converter.unroll import NO_DROPOUT, smoothed_loss, unroll

WORDS = (*SPECIAL_TOKENS, "a", "red", "blue", "ball")
SETTINGS = TrainingSettings(epochs=3, batch=4, learning_rate=1e-2)
SIZE = DecoderSize(features=8, attention=8, embedding=8, hidden=16)


def _model(name: str = "attention") -> Model:
    """A decoder for a grid of 2 x 2 x 6; nothing here runs the encoder."""
    make_reproducible().keras.utils.set_random_seed(3)
    configuration = Configuration("mobilenet_v2_0.35", name, SIZE, WORDS, 5, "none", 1, {})
    decoder = build_decoder(name, SIZE, (2, 2, 6), len(WORDS))
    return Model(configuration, ENCODERS["mobilenet_v2_0.35"], None, decoder, Tokenizer(WORDS))


def _data() -> tuple[Any, Captions]:
    generator = np.random.default_rng(0)
    features = generator.random((8, 2, 2, 6)).astype(np.float16)
    words = tuple((4, 5 + index % 2, 7)[: 2 + index % 2] for index in range(8))
    return features, Captions(np.arange(8), words)


def _run(folder: Path) -> tuple[checkpoints.Arrays, History]:
    features, captions = _data()
    trainer = DecoderTrainer(_model(), SETTINGS, captions, features, features[:2])
    scorer = Scorer([["a red ball"], ["a blue ball"]])
    return run_epochs(trainer, SETTINGS.epochs, scorer, folder, "training")


def test_the_learning_rate_rises_for_a_tenth_and_falls_to_nothing() -> None:
    assert one_cycle(0) == 0
    assert one_cycle(0.05) == pytest.approx(0.5)
    assert one_cycle(0.1) == pytest.approx(1)
    assert one_cycle(0.55) == pytest.approx(0.5)
    assert one_cycle(1) == pytest.approx(0, abs=1e-12)


def test_the_loss_is_cross_entropy_against_softened_targets() -> None:
    scores = np.log(np.array([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]], np.float32))
    targets = np.array([[1, PAD_ID]], np.int32)
    # Softened: 0.9 + 0.1 / 3 on the true word, 0.1 / 3 on each other; padding does not count.
    other = 0.1 / 3
    expected = -(other * math.log(0.5) + (0.9 + other) * math.log(0.25) + other * math.log(0.25))
    assert float(smoothed_loss(scores, targets, 0.1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["attention", "lstm"])
def test_what_is_trained_is_what_the_device_steps_through(name: str) -> None:
    decoder = _model(name).decoder
    grid = np.random.default_rng(1).random((3, 2, 2, 6)).astype(np.float32)
    inputs = np.array([[1, 4, 5], [1, 6, 7], [1, 4, 4]], np.int32)
    unrolled = unroll(decoder, grid, inputs, NO_DROPOUT).numpy()
    photo = decoder.photo(grid)
    for word in range(3):
        scores, photo["state"] = decoder.step(inputs[:, word], photo)
        np.testing.assert_allclose(scores.numpy(), unrolled[:, word], atol=1e-5)


def test_training_learns_and_repeats_itself_to_the_bit(tmp_path: Path) -> None:
    first, history = _run(tmp_path / "one")
    second, _ = _run(tmp_path / "two")
    assert history[-1]["loss"] < history[0]["loss"]
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_a_run_stopped_in_its_second_epoch_ends_like_an_undisturbed_one(
    tmp_path: Path, interrupted: Any
) -> None:
    undisturbed, history = _run(tmp_path / "one")
    with interrupted(DecoderTrainer):
        _run(tmp_path / "two")
    resumed, resumed_history = _run(tmp_path / "two")
    assert resumed_history == history
    for name, value in undisturbed.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_the_best_epoch_is_kept_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter((["a red ball", "a blue ball"], ["ball", "ball"], ["ball", "ball"]))
    monkeypatch.setattr(DecoderTrainer, "dev_captions", lambda _: next(said))
    kept, history = _run(tmp_path)
    assert [epoch["cider"] > 0 for epoch in history] == [True, False, False]
    best, _ = checkpoints.load(tmp_path / "best.npz")
    latest, _ = checkpoints.load(tmp_path / "latest.npz")
    np.testing.assert_array_equal(kept["head_words/kernel"], best["head_words/kernel"])
    assert not np.array_equal(kept["head_words/kernel"], latest["head_words/kernel"])


def _rehearser(epochs: int) -> tuple[Model, DecoderTrainer, Rehearser]:
    features, captions = _data()
    settings, model = TrainingSettings(epochs=epochs, batch=4, learning_rate=1e-2), _model()
    trainer = DecoderTrainer(model, settings, captions, features, features[:2])
    return model, trainer, Rehearser(trainer, model.decoder.models, share=0.25)


def _rehearse(folder: Path) -> checkpoints.Arrays:
    scorer = Scorer([["a red ball"], ["a blue ball"]])
    return run_epochs(_rehearser(epochs=3)[-1], 3, scorer, folder, "rehearsal")[0]


def test_a_rehearsal_gives_the_mean_of_the_weights_before_and_after() -> None:
    model, trainer, rehearser = _rehearser(epochs=1)
    before = trainer.weights()
    list(rehearser.epoch(0))
    after = trainer.weights()
    assert any((after[name] != before[name]).any() for name in before)
    for name, mean in rehearser.weights().items():
        assert mean.dtype == np.float32
        np.testing.assert_allclose(mean, 0.75 * before[name] + 0.25 * after[name], atol=1e-6)
    # What it says of dev photos comes from the mean, and training goes on from the weights.
    checkpoints.assign(model.decoder.models, rehearser.weights())
    expected = trainer.dev_captions()
    checkpoints.assign(model.decoder.models, after)
    assert rehearser.dev_captions() == expected
    for name, value in trainer.weights().items():
        np.testing.assert_array_equal(value, after[name])


def test_a_rehearsal_that_was_stopped_ends_like_an_undisturbed_one(
    tmp_path: Path, interrupted: Any
) -> None:
    undisturbed = _rehearse(tmp_path / "one")
    with interrupted(DecoderTrainer):
        _rehearse(tmp_path / "two")
    for name, value in _rehearse(tmp_path / "two").items():
        np.testing.assert_array_equal(value, undisturbed[name], err_msg=name)
