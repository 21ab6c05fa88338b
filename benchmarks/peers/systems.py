"""The systems that are compared: what each is, where it runs, and how its files are made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecap.bundle import Bundle
from edgecap.datasets import CaptionedPhoto, select
from edgecap_runtime import default_bundle
from paper.systems import INT8 as INT8_BOUND
from peers import models
from peers.architectures import SMOLVLM, VIT_GPT2, parameters
from peers.child import BUNDLE, KERAS, ONNX, TORCH
from peers.environments import Environment, make

OURS = "edgecap-litert"
ONNX_INT8 = "onnxruntime-int8"


@dataclass(frozen=True)
class Peer:
    """One system, whether its files are there or not.

    Attributes:
        name: by which the record refers to it.
        title: what it is, for people.
        environment: a name of `environments.recipes`.
        kind: of `child.load`.
        random_weights: whether what it says means nothing.
        parameters: how many weights; None where the files are the better measure.
        make: the files that it runs from, made if they are missing; ConversionError if they
            cannot be.
        is_same_model: whether its words and outputs can be held against `OURS`.
    """

    name: str
    title: str
    environment: str
    kind: str
    random_weights: bool
    parameters: int | None
    make: Callable[[], tuple[Path, ...]]
    is_same_model: bool = False


@dataclass(frozen=True)
class System:
    """A peer that is ready to run."""

    peer: Peer
    environment: Environment
    files: tuple[Path, ...]


BOUND = INT8_BOUND
"""How far outputs of the same model may be from `OURS`, which is int8: some percent."""

SAME_CAPTIONS = 0.6
"""The least share of photos that get the same words from the same model on any engine.

Rounding alone changes one in five; quantized unsoundly, more than half are others (README.md).
"""


def peers(photos: Sequence[CaptionedPhoto], work: Path, python: str) -> list[Peer]:
    """All of them; nothing is made yet.

    Args:
        photos: of the corpus; the train split calibrates.
        work: keeps what is made.
        python: for the environments.
    """
    bundle = default_bundle()

    def onnx(mode: str) -> tuple[Path, ...]:
        conversion = make("conversion", work, python)
        sha256 = Bundle.open(bundle).manifest.sha256
        folder = work / f"onnx-{sha256[:12]}-{conversion.version}"
        return models.OnnxFiles(bundle, folder, conversion).make(mode, select(photos, "train"))

    def torch(name: str) -> tuple[Path, ...]:
        return models.random_weights(name, work, make("torch", work, python))

    def ours(name: str, title: str, environment: str) -> Peer:
        return Peer(name, title, environment, BUNDLE, False, None, lambda: (bundle,), True)

    def converted(name: str, title: str, mode: str) -> Peer:
        files = partial(onnx, mode)
        return Peer(name, title, "onnxruntime", ONNX, False, None, files, True)

    def random(name: str, title: str) -> Peer:
        files = partial(torch, name)
        return Peer(name, title, "torch", TORCH, True, parameters(name), files)

    return [
        ours(OURS, "the packaged bundle, LiteRT", "litert"),
        ours("edgecap-tflite-runtime", "the packaged bundle, tflite-runtime", "tflite-runtime"),
        converted("onnxruntime-float32", "the same weights in float32", models.FLOAT),
        converted(ONNX_INT8, "these quantized by ONNX Runtime's own tools", models.INT8),
        Peer(
            "seed-keras", "the paper's pipeline: VGG16, Keras `predict` a word", "tensorflow",
            KERAS, True, None, lambda: models.keras_files(photos, work),
        ),
        random(VIT_GPT2, "ViT-B/16 and GPT-2 small, transformers, greedy"),
        random(SMOLVLM, "SigLIP-B/16 and SmolLM2-135M, transformers, greedy, one tile"),
    ]  # fmt: skip
