"""Runs what was exported on the runtime that users run, and holds it against the float model.

Letters: `N` photos.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecap.datasets import CaptionedPhoto
from edgecap.errors import ConversionError
from edgecap.manifest import Measured, Tensor
from edgecap.metrics import Scorer, Scores, constant_caption_floor
from edgecap_converter.encoders import Encoder
from edgecap_converter.export import Exported
from edgecap_converter.progress import progress


def measure(
    bundle: Path, photos: Sequence[CaptionedPhoto], split: str, float_captions: Sequence[str]
) -> Measured:
    """Captions photos with the bundle, greedily, and scores both models on them.

    Args:
        bundle: a bundle that the runtime can open.
        photos: whose captions are the references.
        split: the name of their split, for the manifest.
        float_captions: what the Keras model said of each photo.

    Raises:
        ConversionError: if the runtime fails on a photo.
        BundleError, EngineError: if the runtime cannot load the bundle.
    """
    from edgecap_runtime.captioner import Captioner

    captions = []
    results = Captioner.load(bundle).caption_many(photo.path for photo in photos)
    with progress("verifying", len(photos), "photo") as advance:
        for result in results:
            if result.caption is None:
                raise ConversionError(f"verification: the runtime failed ({result.error})")
            captions.append(result.caption.text)
            advance(1)
    references = [photo.captions for photo in photos]
    scorer = Scorer(references)
    pairs = zip(captions, float_captions, strict=True)
    return Measured(
        split=split,
        photos=len(photos),
        decoding="greedy",
        float_model=_scores(scorer.score(float_captions)),
        bundle=_scores(scorer.score(captions)),
        constant_caption=_scores(constant_caption_floor(references)),
        same_captions=sum(ours == theirs for ours, theirs in pairs),
    )


def run_encoder(
    encoder: Exported, photos: npt.NDArray[np.uint8], split: str
) -> npt.NDArray[np.float16]:
    """What the engine gives for uint8 photos `(N, side, side, 3)`: `(N, 1, 1, values)`.

    A grid of one position, in which the outputs stand one after another, in the graph's order.

    Args:
        split: what the user reads beside the progress.

    Raises:
        EngineError: if there is no engine, or it fails.
    """
    from edgecap_runtime.captioner import available_threads
    from edgecap_runtime.interpreter import Network, find_engine

    network = Network(encoder.content, encoder.graph, find_engine(), available_threads())
    outputs = encoder.graph.outputs
    packed = np.empty((len(photos), 1, 1, sum(map(values, outputs))), np.float16)
    with progress(f"encoding {split} as a device does", len(photos), "photo") as advance:
        for photo, row in zip(photos, packed, strict=True):
            network.set("photo", np.ascontiguousarray(photo[np.newaxis]))
            network.invoke()
            row[0, 0] = np.concatenate([network.get(one.name).ravel() for one in outputs])
            advance(1)
    return packed


def values(tensor: Tensor) -> int:
    """How many numbers a graph's tensor has for one photo."""
    return math.prod(tensor.shape[1:])


def require_input_scale(content: bytes, encoder: Encoder) -> None:
    """Refuses a full-int8 graph whose uint8 input does not stand for the encoder's normalization.

    Raises:
        ConversionError: naming both.
    """
    from edgecap_runtime.interpreter import find_engine

    details = find_engine().interpreter(model_content=content).get_input_details()[0]
    scale, zero_point = details["quantization"]
    # The zero point is a whole number, the offset need not be: half a grey level at most.
    if abs(scale * encoder.scale - 1) > 1e-4 or abs(zero_point - encoder.offset) > 0.5:
        raise ConversionError(
            f"the exported input stands for (pixel - {zero_point}) * {scale:g}, expected "
            f"(pixel - {encoder.offset}) / {encoder.scale}: the calibration went wrong"
        )


def require_quality(measured: Measured, maximum_loss: float) -> None:
    """Refuses a bundle that lost more than `maximum_loss` CIDEr points against its float model.

    Raises:
        ConversionError: naming both scores.
    """
    before, after = measured.float_model["cider"], measured.bundle["cider"]
    if before - after > maximum_loss:
        raise ConversionError(
            f"the bundle's CIDEr on {measured.split} is {after:.1f}, its float model's "
            f"{before:.1f}: more than {maximum_loss} points lost. Give more calibration photos, "
            "compress one half less, or allow it with --max-quality-loss "
            f"{math.ceil(before - after)}"
        )


def _scores(scores: Scores) -> dict[str, float]:
    """The scores alone, in percent, as far as they mean something."""
    return {name: round(value, 3) for name, value in scores.as_dict().items() if name != "photos"}
