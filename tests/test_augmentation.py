"""Changed photos: what is drawn, and that the pixels follow it."""

from pathlib import Path

import numpy as np
import pytest

from edgecap.datasets import CaptionedPhoto
from edgecap_converter.augmentation import (
    LIGHT,
    SMALLEST_CROP,
    change,
    draw_changes,
    may_be_mirrored,
)


def test_a_photo_whose_captions_name_a_side_is_not_mirrored() -> None:
    def photo(*captions: str) -> CaptionedPhoto:
        return CaptionedPhoto(Path("a.jpg"), captions, "train")

    photos = [photo("a dog", "it runs"), photo("a dog", "Left, a cat ."), photo("bright light")]
    assert may_be_mirrored(photos).tolist() == [True, False, True]
    changes = draw_changes(np.random.default_rng(0), np.array([True] * 500 + [False] * 500))
    mirrored = changes.boxes[:, 1] > changes.boxes[:, 3]
    assert 150 < mirrored[:500].sum() < 350
    assert not mirrored[500:].any()


def test_changes_stay_small_and_inside() -> None:
    changes = draw_changes(np.random.default_rng(0), np.ones(1000, np.bool_))
    assert changes.boxes.min() >= 0
    assert changes.boxes.max() <= 1
    sides = np.abs(changes.boxes[:, 2:] - changes.boxes[:, :2])
    assert sides.min() >= SMALLEST_CROP - 1e-6
    assert sides.max() - sides.min() > 0.15
    for factors in (changes.contrast, changes.brightness):
        assert np.abs(factors - 1).max() <= LIGHT


def test_pixels_are_cropped_mirrored_and_lit() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 3), np.uint8)
    whole, one = np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32)

    def changed(box: object, contrast: object = one, brightness: object = one) -> np.ndarray:
        return change(photo, box, contrast, brightness).numpy()

    np.testing.assert_allclose(changed(whole), photo, atol=1e-3)
    mirrored = np.array([[0, 1, 1, 0]], np.float32)
    np.testing.assert_allclose(changed(mirrored), photo[:, :, ::-1], atol=1e-3)
    # Corners of a crop are pixels of the photo where the box meets them: rows 2 to 5 of 0 to 7.
    crop = changed(np.array([[2 / 7, 2 / 7, 5 / 7, 5 / 7]], np.float32))
    np.testing.assert_allclose(crop[0, [0, 0, -1, -1], [0, -1, 0, -1]],
                               photo[0, [2, 2, 5, 5], [2, 5, 2, 5]], atol=1e-2)  # fmt: skip
    darker = changed(whole, brightness=one * np.float32(0.5))
    np.testing.assert_allclose(darker, photo * 0.5, atol=1e-2)
    flat = changed(whole, contrast=one * 0)
    np.testing.assert_allclose(flat, np.full_like(flat, photo.mean()), rtol=1e-4)
    assert changed(whole, brightness=one * 3).max() == pytest.approx(255)
