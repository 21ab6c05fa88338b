"""Photos changed in ways that leave their captions true: mirrored, cropped a little, other light.

Letters: `N` photos.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.datasets import CaptionedPhoto
from edgecap.metrics import tokenize
from edgecap_converter.frameworks import import_tensorflow

# Words that a mirror makes untrue.
SIDES = frozenset(("left", "right", "leftmost", "rightmost", "lefthand", "righthand"))
# A crop keeps at least this share of each side: what a caption names is still there.
SMALLEST_CROP = 0.8
# Contrast and brightness change by up to this share.
LIGHT = 0.2


@dataclass(frozen=True)
class Changes:
    """What is done to each of `N` photos."""

    boxes: npt.NDArray[np.float32]
    """`(N, 4)`: top, left, bottom, right as shares of the sides; mirrored if left > right."""
    contrast: npt.NDArray[np.float32]
    """`(N,)`, factors of the distance to the photo's mean."""
    brightness: npt.NDArray[np.float32]
    """`(N,)`, factors of the whole photo."""


def may_be_mirrored(photos: Sequence[CaptionedPhoto]) -> npt.NDArray[np.bool_]:
    """Of which photos no caption names a side: `(N,)`."""
    return np.array(
        [all(SIDES.isdisjoint(tokenize(caption)) for caption in p.captions) for p in photos]
    )


def draw_changes(generator: np.random.Generator, mirrorable: npt.NDArray[np.bool_]) -> Changes:
    """Random changes for photos of which some, `(N,)`, may be mirrored."""
    count = len(mirrorable)
    size = generator.uniform(SMALLEST_CROP, 1, (count, 2))
    start = generator.uniform(0, 1 - size)
    (top, left), (bottom, right) = start.T, (start + size).T
    mirrored = mirrorable & (generator.random(count) < 0.5)
    boxes = (top, np.where(mirrored, right, left), bottom, np.where(mirrored, left, right))
    contrast, brightness = generator.uniform(1 - LIGHT, 1 + LIGHT, (2, count))
    return Changes(
        np.stack(boxes, axis=1).astype(np.float32),
        contrast.astype(np.float32),
        brightness.astype(np.float32),
    )


def change(pixels: Any, boxes: Any, contrast: Any, brightness: Any) -> Any:
    """uint8 `(N, side, side, 3)` -> float32 of the same shape, 0..255, changed as `Changes` say."""
    tensorflow = import_tensorflow()
    count, side = pixels.shape[0], pixels.shape[1]
    cropped = tensorflow.image.crop_and_resize(pixels, boxes, tensorflow.range(count), (side, side))
    mean = tensorflow.reduce_mean(cropped, axis=(1, 2, 3), keepdims=True)
    lit = (cropped - mean) * contrast[:, None, None, None] + mean
    return tensorflow.clip_by_value(lit * brightness[:, None, None, None], 0.0, 255.0)
