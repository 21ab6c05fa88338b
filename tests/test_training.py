"""Training: the formulas, and that a run that was stopped ends as if it never had been."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.tokenizer import PAD_ID, SPECIAL_TOKENS, Tokenizer
from edgecap_converter import checkpoints, training
from edgecap_converter.batches import Captions
from edgecap_converter.decoders import Decoder, DecoderSize, build_decoder
from edgecap_converter.frameworks import make_reproducible
from edgecap_converter.training import Trainer, TrainingSettings, one_cycle, smoothed_loss, train

WORDS = (*SPECIAL_TOKENS, "a", "red", "blue", "ball")
SETTINGS = TrainingSettings(epochs=3, batch=4, learning_rate=1e-2, maximum_words=5)


def _decoder(name: str = "attention") -> Decoder:
    make_reproducible().keras.utils.set_random_seed(3)
    size = DecoderSize(features=8, attention=8, embedding=8, hidden=16)
    return build_decoder(name, size, (2, 2, 6), len(WORDS))


def _data() -> tuple[Any, Captions]:
    generator = np.random.default_rng(0)
    features = generator.random((8, 2, 2, 6)).astype(np.float16)
    words = tuple((4, 5 + index % 2, 7)[: 2 + index % 2] for index in range(8))
    return features, Captions(np.arange(8), words)


def _run(folder: Path, settings: TrainingSettings = SETTINGS) -> tuple[checkpoints.Arrays, Any]:
    decoder = _decoder()
    features, captions = _data()
    references = [["a red ball"], ["a blue ball"]]
    history = train(
        decoder, Tokenizer(WORDS), settings, features, captions, features[:2], references,
        folder, seed=1,
    )  # fmt: skip
    return checkpoints.weights(decoder.models), history


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
    decoder = _decoder(name)
    trainer = Trainer(decoder, TrainingSettings(dropout=0.0), total_steps=10, seed=0)
    grid = np.random.default_rng(1).random((3, 2, 2, 6)).astype(np.float32)
    inputs = np.array([[1, 4, 5], [1, 6, 7], [1, 4, 4]], np.int32)
    masks = (1.0, 1.0, 1.0)
    unrolled = trainer._unroll(grid, inputs, masks).numpy()
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, history = _run(tmp_path / "one")
    learn, steps = Trainer.learn, 0

    def stopping(trainer: Trainer, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:  # two steps an epoch: in the middle of the second
            raise KeyboardInterrupt
        return learn(trainer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "learn", stopping)
        with pytest.raises(KeyboardInterrupt):
            _run(tmp_path / "two")
    resumed, resumed_history = _run(tmp_path / "two")
    assert resumed_history == history
    for name, value in undisturbed.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_the_best_epoch_is_kept_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter((["a red ball", "a blue ball"], ["ball", "ball"], ["ball", "ball"]))
    monkeypatch.setattr(training.GreedySearch, "captions", lambda *_: next(said))
    kept, history = _run(tmp_path)
    assert [epoch["cider"] > 0 for epoch in history] == [True, False, False]
    best, _ = checkpoints.load(tmp_path / "best.npz")
    latest, _ = checkpoints.load(tmp_path / "latest.npz")
    np.testing.assert_array_equal(kept["head_words/kernel"], best["head_words/kernel"])
    assert not np.array_equal(kept["head_words/kernel"], latest["head_words/kernel"])
