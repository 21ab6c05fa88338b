"""One turn of one bundle, in a process of its own: `python -m edgecap_bench.worker`.

Reads a `Request` from standard input and writes an `Answer`, or a `Refusal`, to standard output,
each as JSON. What a model takes of memory, and what an engine remembers, ends with the process.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecap import schema
from edgecap.errors import EdgecapError
from edgecap_bench.conditions import Setup, setup
from edgecap_bench.latency import WORD, Latency, measure
from edgecap_bench.memory import peak_memory, resident_memory
from edgecap_runtime.startup import without_engine_notes

if TYPE_CHECKING:
    from edgecap_runtime import Captioner


@dataclass(frozen=True)
class Request:
    """What to measure: `runs` captions, and for each thread as many in bulk."""

    bundle: str
    threads: int | None
    backend: str
    photo: str
    warm_up: int
    runs: int


@dataclass(frozen=True)
class Answer:
    """One process's share of a result.

    Attributes:
        multiply_accumulates: of the graphs, by the stage in which each runs.
        load_ms: from a path to a captioner, every module imported before.
        resident_bytes, peak_bytes: after the last caption, before `caption_many`.
        bulk_photos, captions_per_second: of `caption_many`.
    """

    name: str
    commit: str
    setup: Setup
    multiply_accumulates: dict[str, int]
    load_ms: float
    latency: Latency
    resident_bytes: int | None
    peak_bytes: int | None
    bulk_photos: int
    captions_per_second: float


@dataclass(frozen=True)
class Refusal:
    """Why there is no answer, in one line."""

    error: str


def answer(request: Request) -> Answer:
    """Measures; raises whatever loading and captioning raise."""
    from edgecap_runtime import Captioner, pipeline
    from edgecap_runtime.interpreter import find_engine

    assert pipeline  # imported, as the engine is: only the loading is timed
    find_engine(request.backend)
    photo = Path(request.photo).read_bytes()
    begin = time.perf_counter()
    captioner = Captioner.load(request.bundle, threads=request.threads, backend=request.backend)
    loaded = time.perf_counter()
    latency = measure(captioner, photo, request.runs, request.warm_up)
    memory = resident_memory(), peak_memory()
    manifest = captioner.bundle.manifest
    return Answer(
        name=manifest.name,
        commit=manifest.origin.commit,
        setup=setup(captioner),
        multiply_accumulates={
            "encoder": manifest.encoder.multiply_accumulates,
            WORD: manifest.decoder.multiply_accumulates,
        },
        load_ms=1_000 * (loaded - begin),
        latency=latency,
        resident_bytes=memory[0],
        peak_bytes=memory[1],
        bulk_photos=captioner.threads * request.runs,
        captions_per_second=_rate(captioner, photo, request),
    )


def _rate(captioner: Captioner, photo: bytes, request: Request) -> float:
    """Captions a second in bulk, counted from when every thread's graphs are warm."""
    warm_up, photos = (captioner.threads * n for n in (max(1, request.warm_up), request.runs))
    results = captioner.caption_many([photo] * (warm_up + photos))
    for done, result in enumerate(results, start=1):
        if result.error is not None:
            raise result.error
        if done == warm_up:
            begin = time.perf_counter()
    return photos / (time.perf_counter() - begin)


def main() -> None:
    """Answers the request on standard input."""
    request = schema.from_value(Request, schema.parse(sys.stdin.buffer.read()))
    try:
        with without_engine_notes():
            found: Answer | Refusal = answer(request)
    except EdgecapError as error:
        found = Refusal(str(error))
    print(json.dumps(schema.to_value(found)))


if __name__ == "__main__":
    main()
