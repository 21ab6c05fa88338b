"""`edgecap caption --json`, with what the networks gave on the way; run by a target's Python.

python record.py RECORD.npz KERNELS ARGUMENT...

ARGUMENTs are those of `edgecap caption`. KERNELS is "default", or "built-in" for the engine's own
kernels where it would hand the graphs to XNNPACK. The record holds, for each photo in turn:

    photo_0                         uint8, (1, height, width, 3): what the encoder was given
    keys_0, features_0, state_0     what the encoder gave
    steps_0                         float64, (T, 4): the two best words at each step, their scores
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from edgecap.cli import main
from edgecap.tokenizer import END_ID
from edgecap_runtime import interpreter, pipeline

record, kernels = sys.argv[1:3]
arrays: dict[str, np.ndarray[Any, Any]] = {}
steps: list[list[tuple[float, ...]]] = []


class Network(interpreter.Network):
    """Writes down what it gives."""

    def __init__(self, content: bytes, graph: Any, engine: Any, threads: int) -> None:
        if kernels == "built-in":
            package = sys.modules[engine.interpreter.__module__]
            mode = package.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            made = partial(engine.interpreter, experimental_op_resolver_type=mode)
            engine = engine._replace(interpreter=made)
        super().__init__(content, graph, engine, threads)
        self._graph = graph

    def set(self, name: str, value: Any) -> None:
        super().set(name, value)
        if name == "photo":
            arrays[f"photo_{len(steps)}"] = value.copy()

    def invoke(self) -> None:
        super().invoke()
        names = [tensor.name for tensor in self._graph.outputs]
        if "scores" not in names:
            arrays.update({f"{name}_{len(steps)}": self.get(name) for name in names})
            steps.append([])
            return
        scores = self.get("scores")[0, END_ID:].astype(np.float64)
        first, second = np.argsort(-scores, kind="stable")[:2]
        steps[-1].append((first + END_ID, second + END_ID, scores[first], scores[second]))


if not hasattr(Image.Image, "has_transparency_data"):  # Pillow before 10.1, as Debian 12 has it
    Image.Image.has_transparency_data = property(  # type: ignore[attr-defined]
        lambda image: (
            image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
        )
    )
pipeline.Network = Network  # type: ignore[misc]
status = main(["caption", "--json", "--threads", "1", *sys.argv[3:]])
arrays.update({f"steps_{number}": np.array(taken) for number, taken in enumerate(steps)})
np.savez(record, **arrays)
sys.exit(status)
