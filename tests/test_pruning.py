"""Pruning between the steps of a trainer: the schedule, the zeros that stay, going on after a kill.

On a small decoder whose step is compiled by XLA; `test_compression.py` prunes a whole captioner.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecap.errors import ConversionError
from edgecap.manifest import Weights
from edgecap.metrics import Scorer
from edgecap.tokenizer import SPECIAL_TOKENS, Tokenizer
from edgecap_converter import checkpoints
from edgecap_converter.batches import Captions
from edgecap_converter.decoders import build_decoder
from edgecap_converter.encoders import ENCODERS
from edgecap_converter.epochs import History, run_epochs
from edgecap_converter.frameworks import make_reproducible
from edgecap_converter.model import Configuration, Model
from edgecap_converter.plan import (
    ENCODER_RETRAINING,
    SEQUENCE_RETRAINING,
    DecoderSize,
    TrainingSettings,
)
from edgecap_converter.pruning import (
    BLOCK,
    MOST,
    RAMP,
    PruningTrainer,
    prunable,
    require_zeros,
    shares,
)
from edgecap_converter.training import DecoderTrainer

WORDS = (*SPECIAL_TOKENS, "a", "red", "blue", "ball")
SETTINGS = TrainingSettings(epochs=4, batch=4, learning_rate=1e-2)
SIZE = DecoderSize(features=8, attention=8, embedding=8, hidden=16)
SPARSITY = 0.8
# 8 captions, 4 a step.
STEPS = 2
PRUNED = [
    "embedding_words/embeddings",
    "cell_gates/kernel",
    "head_narrow/kernel",
    "head_words/kernel",
]


def _trainer() -> tuple[Model, DecoderTrainer]:
    make_reproducible().keras.utils.set_random_seed(3)
    decoder = build_decoder("lstm", SIZE, (2, 2, 6), len(WORDS))
    configuration = Configuration("mobilenet_v2_0.35", "lstm", SIZE, WORDS, 5, "none", 1, {})
    encoder = ENCODERS["mobilenet_v2_0.35"]
    model = Model(configuration, encoder, None, decoder, Tokenizer(WORDS))
    features = np.random.default_rng(0).random((8, 2, 2, 6)).astype(np.float16)
    words = tuple((4, 5 + index % 2, 7)[: 2 + index % 2] for index in range(8))
    captions = Captions(np.arange(8), words)
    return model, DecoderTrainer(model, SETTINGS, captions, features, features[:2])


def _pruning() -> tuple[list[Any], PruningTrainer]:
    model, trainer = _trainer()
    assert trainer.steps == STEPS
    models = model.decoder.models[1:]
    return prunable(models), PruningTrainer(trainer, models, SPARSITY, STEPS * SETTINGS.epochs)


def _zeros(weights: list[Any]) -> list[float]:
    """Share of each tensor that is zero."""
    return [float((weight.numpy() == 0).mean()) for weight in weights]


def _run(folder: Path) -> tuple[checkpoints.Arrays, History]:
    _, trainer = _pruning()
    scorer = Scorer([["a red ball"], ["a blue ball"]])
    return run_epochs(trainer, SETTINGS.epochs, scorer, folder, "pruning")


def test_kernels_and_embeddings_are_pruned_biases_and_the_projection_are_not() -> None:
    model, _ = _trainer()
    names = [weight.name.split(":")[0] for weight in prunable(model.decoder.models[1:])]
    assert names == PRUNED


def test_sparsity_follows_the_polynomial_and_then_stays() -> None:
    weights, trainer = _pruning()
    targets = shares(weights, SPARSITY)
    total = STEPS * SETTINGS.epochs
    last = int(RAMP * total)
    assert trainer.earliest == 1  # the ramp of 4 steps ends with the second epoch
    done = 0
    for epoch in range(SETTINGS.epochs):
        for _ in trainer.epoch(epoch):
            done += 1
            # Zhu and Gupta 2017, from 0, to the power of 3.
            reached = 1 - (1 - min(1, done / last)) ** 3
            for weight, target, share in zip(weights, targets, _zeros(weights), strict=True):
                block = BLOCK / weight.numpy().size
                # Half a block more or less; one block stays.
                expected = min(target * reached, 1 - block)
                assert share == pytest.approx(expected, abs=block / 2 + 1e-6)
    assert done == total


def test_dense_layers_and_word_vectors_have_one_threshold_convolutions_one_share() -> None:
    tensorflow = make_reproducible()
    small, large = np.full((4, 8), 1.0, np.float32), np.full((12, 8), 2.0, np.float32)
    small[:, 0] = 3  # a block that is large where the others are small
    kernels = [tensorflow.Variable(value) for value in (small, large, np.ones((3, 3, 2, 4)))]
    assert shares(kernels, 0.2) == [7 / 8, 0, 0.2]
    assert shares(kernels, 0.9) == [7 / 8, MOST, 0.9]
    assert shares(kernels[2:], 0.5) == [0.5]


def test_the_share_of_all_weights_is_the_one_asked_for() -> None:
    weights, _ = _pruning()
    sizes = [weight.numpy().size for weight in weights]
    found = np.average(shares(weights, SPARSITY), weights=sizes)
    assert found == pytest.approx(SPARSITY, abs=BLOCK / sum(sizes))


def test_zeros_stand_side_by_side_as_the_export_has_them() -> None:
    weights, trainer = _pruning()
    for epoch in range(SETTINGS.epochs):
        list(trainer.epoch(epoch))
    vectors, *kernels = (weight.numpy() for weight in weights)
    exported = np.concatenate([vectors.ravel(), *(kernel.T.ravel() for kernel in kernels)])
    blocks = exported.reshape(-1, BLOCK) == 0
    assert 0.7 < blocks.all(axis=1).mean() < 0.9
    assert (blocks.all(axis=1) == blocks.any(axis=1)).all()


def test_zeros_stay_zeros_where_no_more_are_made() -> None:
    model, dense = _trainer()
    models = model.decoder.models[1:]
    weights = prunable(models)
    for weight in weights:
        value = weight.numpy()
        weight.assign(np.where(np.abs(value) < np.median(np.abs(value)), 0, value))
    before = [weight.numpy() for weight in weights]
    trainer = PruningTrainer(dense, models, SPARSITY, 0)
    assert trainer.earliest == 0
    for _ in trainer.epoch(0):
        pass
    for weight, old in zip(weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy() == 0, old == 0)
        assert not np.array_equal(weight.numpy(), old)


def test_a_run_stopped_while_it_prunes_ends_like_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, history = _run(tmp_path / "one")
    epoch = DecoderTrainer.epoch

    def stopping(trainer: DecoderTrainer, number: int) -> Iterator[float]:
        for step, loss in enumerate(epoch(trainer, number)):
            if (number, step) == (1, 1):
                raise KeyboardInterrupt
            yield loss

    with monkeypatch.context() as patch:
        patch.setattr(DecoderTrainer, "epoch", stopping)
        with pytest.raises(KeyboardInterrupt):
            _run(tmp_path / "two")
    resumed, resumed_history = _run(tmp_path / "two")
    assert resumed_history == history
    assert resumed.keys() == undisturbed.keys()
    for name, value in undisturbed.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_an_epoch_before_the_sparsity_is_reached_is_never_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter((["a red ball", "a blue ball"], *[["ball", "ball"]] * 3))
    monkeypatch.setattr(DecoderTrainer, "dev_captions", lambda _: next(said))
    kept, history = _run(tmp_path)
    assert [epoch["cider"] > 0 for epoch in history] == [True, False, False, False]
    zeros = sum(int((kept[name] == 0).sum()) for name in PRUNED)
    assert zeros / sum(kept[name].size for name in PRUNED) == pytest.approx(SPARSITY, abs=0.01)


def test_an_export_that_lost_the_zeros_is_refused() -> None:
    model, _ = _trainer()
    models = model.decoder.models[1:]
    for weight in prunable(models):
        weight.assign(weight * 0)
    count = sum(weight.numpy().size for weight in prunable(models))
    require_zeros("decoder", models, [Weights("FULLY_CONNECTED", count, count)])
    with pytest.raises(ConversionError, match=r"exported decoder has 10 weights .* lost them"):
        require_zeros("decoder", models, [Weights("FULLY_CONNECTED", count, 10)])


def test_settings_of_the_retraining_keep_no_mean_of_weights() -> None:
    assert (ENCODER_RETRAINING.averaging, SEQUENCE_RETRAINING.averaging) == (0, 0)
