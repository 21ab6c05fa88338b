"""A rounded encoder learns from the float one."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_captioner import SMALL, small_captioner

from edgecap.metrics import Scorer
from edgecap_converter import checkpoints
from edgecap_converter.epochs import run_epochs
from edgecap_converter.matching import EncoderMatcher, distance
from edgecap_converter.model import Model
from edgecap_converter.plan import MatchingSettings
from edgecap_converter.quantization_aware import aware_encoder

SETTINGS = MatchingSettings(epochs=3, photos=4, learning_rate=1e-2)
SCORER = Scorer([["a red ball"]] * 8)
ALL = np.ones(8, np.bool_)


@pytest.fixture
def teacher() -> Model:
    """A model for photos of 16 x 16."""
    return small_captioner()


PHOTOS = np.random.default_rng(7).integers(0, 256, (8, 16, 16, 3), np.uint8)


def _student(teacher: Model) -> Model:
    """The teacher, rounded, and with an encoder that forgot a little."""
    student = aware_encoder(teacher, PHOTOS)
    generator = np.random.default_rng(5)
    for part in (student.network, student.decoder.projection):
        for variable in part.weights:
            if variable.name.endswith("kernel:0"):
                noise = generator.normal(0, 0.2, variable.shape) * np.abs(variable).mean()
                variable.assign_add(noise.astype(np.float32))
    return student


def _matcher(student: Model, teacher: Model, epochs: int = SETTINGS.epochs) -> EncoderMatcher:
    settings = dataclasses.replace(SETTINGS, epochs=epochs)
    return EncoderMatcher(student, teacher, settings, ALL, PHOTOS, PHOTOS)


def _apart(student: Model, teacher: Model) -> float:
    pixels = SMALL.normalize(PHOTOS)
    found, true = (m.decoder.photo(m.network(pixels)) for m in (student, teacher))
    return float(distance(found, true))


def test_the_student_comes_near_its_teacher_and_nothing_else_changes(teacher: Model) -> None:
    student = _student(teacher)
    before, of_teacher = student.weights(), teacher.weights()
    apart = _apart(student, teacher)
    matcher = _matcher(student, teacher, epochs=30)
    losses = [np.mean(list(matcher.epoch(number))) for number in range(30)]
    assert np.mean(losses[-3:]) < 0.3 * losses[0]
    assert _apart(student, teacher) < 0.3 * apart
    for name, value in teacher.weights().items():
        np.testing.assert_array_equal(value, of_teacher[name], err_msg=name)
    for name, value in student.weights().items():
        learned = name.startswith(("first", "last", "projection")) and name.endswith("kernel")
        assert np.array_equal(value, before[name]) != learned or name.endswith("bias"), name


def test_a_run_stopped_in_its_second_epoch_ends_like_an_undisturbed_one(
    teacher: Model, tmp_path: Path, interrupted: Any
) -> None:
    def run(folder: str) -> tuple[checkpoints.Arrays, Any]:
        matcher = _matcher(_student(teacher), teacher)
        return run_epochs(matcher, 3, SCORER, tmp_path / folder, "test")

    undisturbed, history = run("one")
    with interrupted(EncoderMatcher):
        run("two")
    resumed, resumed_history = run("two")
    assert resumed_history == history
    for name, value in undisturbed.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_distance_is_a_share_of_the_variance_whatever_the_scale() -> None:
    true = {"one": np.float32([1, 3]), "other": np.float32([100, 300])}
    assert float(distance(true, true)) == 0
    found = {"one": np.float32([1, 3]), "other": np.float32([200, 300])}
    assert float(distance(found, true)) == pytest.approx(0.5 * 5_000 / 10_000)
    constant = {"state": np.zeros((2, 3), np.float32)}
    assert float(distance(constant, constant)) == 0
