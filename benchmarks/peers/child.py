"""Times one system in a process of its own: `python -m peers.child REQUEST ANSWER BEGIN`.

REQUEST is a file of JSON, `Request`; the answer is written as JSON too, `Answer`. BEGIN is when
the process was asked for, in seconds as `time.time` counts them.
"""

import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edgecap import schema
from edgecap.errors import EdgecapError
from paper.captioners import Captioner, Outputs, Speaker


@dataclass(frozen=True)
class Request:
    """What to caption with what.

    Attributes:
        kind: of `load`.
        files: that the system runs from.
        photos: paths, at least `warm_up` of them, and one.
        words: of every caption.
        threads: of the engine.
        warm_up: captions, of the first photos, before those that count.
        outputs: where `paper.captioners.Outputs` of the first photo go, a `.npz`; "" for nowhere.
    """

    kind: str
    files: tuple[str, ...]
    photos: tuple[str, ...]
    words: int
    threads: int
    warm_up: int
    outputs: str


@dataclass(frozen=True)
class Answer:
    """What one process found.

    Attributes:
        said: the words of each photo.
        cold_start_ms: from the asking for the process to its first caption.
        photo_ms: a caption, from the file to the words, on average over the photos.
        peak_memory_bytes: the process's largest resident size.
        engine: name and version.
    """

    said: tuple[tuple[str, ...], ...]
    cold_start_ms: float
    photo_ms: float
    peak_memory_bytes: int
    engine: str


BUNDLE, ONNX, KERAS, TORCH = "bundle", "onnx", "keras", "torch"


def load(request: Request) -> tuple[Speaker, str]:
    """The system, with the name and version of its engine; nothing of the others is imported."""
    paths = [Path(file) for file in request.files]
    if request.kind == ONNX:
        from peers.onnx_pipeline import ENGINE, OnnxCaptioner

        encoder, decoder, words = paths
        return OnnxCaptioner(encoder, decoder, words, request.threads), ENGINE
    if request.kind == TORCH:
        from peers import torch_pipeline

        folder = paths[0].parent
        captioner = torch_pipeline.TorchCaptioner(folder, folder.name, request.threads)
        return captioner, torch_pipeline.ENGINE
    from paper import child

    return child.load(request.files, request.threads)


def answer(request: Request, begin: float) -> Answer:
    """Captions the photos.

    Raises:
        EngineError: if a caption has not the words that were asked for, or a photo of the
            warm-up has others afterwards.
        EdgecapError: whatever loading or captioning raises.
    """
    photos = [Path(photo) for photo in request.photos]
    captioner, engine = load(request)
    first = captioner.caption(photos[0], request.words)
    cold_start_ms = 1_000 * (time.time() - begin)
    # Imported late: it is no part of the systems.
    from edgecap_bench.memory import peak_memory
    from paper.child import check

    before = [captioner.caption(photo, request.words) for photo in photos[: request.warm_up]]
    said = [captioner.caption(photo, request.words) for photo in photos]
    memory = peak_memory()
    check(request.words, [first], said)
    check(request.words, before, said)
    if request.outputs:
        assert isinstance(captioner, Captioner), "a model that is another's has its outputs"
        _save(captioner.outputs(photos[0]), request.outputs)
    photo_ms = statistics.fmean(one.milliseconds["total"] for one in said)
    return Answer(tuple(one.words for one in said), cold_start_ms, photo_ms, memory, engine)


def _save(outputs: Outputs, path: str) -> None:
    import numpy as np

    np.savez(path, features=outputs.features, scores=outputs.scores)


def main(request_file: str, answer_file: str, begin: str) -> None:
    request = schema.from_value(Request, schema.parse(Path(request_file).read_bytes()))
    content = json.dumps(schema.to_value(answer(request, float(begin))))
    Path(answer_file).write_text(content, encoding="ascii")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except EdgecapError as error:
        sys.exit(str(error))
