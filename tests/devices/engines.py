"""The two engines on x86, and why their words are not always the same.

LiteRT hands int8 graphs to XNNPACK, which rounds each product of sums and scale once, in float32.
Both engines' own kernels round it twice, in fixed point. With these, LiteRT says what
tflite-runtime says.
"""

import json
from collections.abc import Iterator

from lean_install import SMALLEST, Environment, require
from workshop import HERE, Kernels, Outcome, Workshop

NAME = "x86-64 Linux, tflite-runtime"


def check(workshop: Workshop) -> Iterator[Outcome | Kernels]:
    """tflite-runtime against LiteRT as it comes, and with its own kernels.

    Raises:
        Broken: if the words differ with LiteRT's own kernels too.
    """
    environment = Environment(workshop.folder("engines"), workshop.old_python)
    environment.pip("install", *SMALLEST)
    environment.pip("install", "--no-deps", workshop.wheel)
    pillow = f"pillow=={workshop.versions(environment)['pillow']}"
    xnnpack, own = (
        workshop.reference("ai-edge-litert", pillow, kernels=kernels)
        for kernels in ("default", "built-in")
    )
    yield workshop.check(NAME, "natively", environment, xnnpack)
    outcome = workshop.check(NAME, "natively", environment, own)
    require(not outcome.comparison.parted, "equal words with LiteRT's own kernels", outcome)
    yield outcome
    photo = min(workshop.photos.iterdir())
    printed = xnnpack.environment.run("python", HERE / "operations.py", photo)
    slower = own.recording.encoder_ms / xnnpack.recording.encoder_ms
    yield Kernels(json.loads(printed), slower)
