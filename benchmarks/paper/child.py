"""Times one system in a process of its own: `python -m paper.child REQUEST ANSWER`.

REQUEST is a file of JSON, `Request`; the answer is written as JSON too, `Answer`.
"""

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecap import schema
from edgecap.errors import EdgecapError, EngineError
from edgecap_bench.memory import peak_memory
from paper.captioners import STAGES, Captioner, Said


@dataclass(frozen=True)
class Request:
    """What to caption with what.

    Attributes:
        files: encoder, decoder and words of the paper's pipeline, or one bundle.
        photos: paths, at least `warm_up` of them.
        words: of every caption.
        threads: of the engine.
        warm_up: captions, of the first photos, before those that count.
        outputs: where `captioners.Outputs` of the first photo go, a `.npz`; "" for nowhere.
    """

    files: tuple[str, ...]
    photos: tuple[str, ...]
    words: int
    threads: int
    warm_up: int
    outputs: str


@dataclass(frozen=True)
class Answer:
    """`said` has the words of each photo, `stages_ms` the mean over the photos of each stage."""

    said: tuple[tuple[str, ...], ...]
    stages_ms: dict[str, float]
    peak_memory_bytes: int
    engine: str


def load(files: tuple[str, ...], threads: int) -> tuple[Captioner, str]:
    """The captioner of a system, with the name and version of its engine."""
    paths = [Path(file) for file in files]
    if len(paths) == 1:
        from paper.our_pipeline import OurCaptioner

        return OurCaptioner(paths[0], threads), _engine()
    from paper.their_pipeline import KERAS_FILE, TheirCaptioner, load_networks
    from paper.their_text import TheirTokenizer

    encoder, decoder, words = paths
    networks = load_networks(encoder, decoder, threads)
    tokenizer = TheirTokenizer.from_json(words.read_bytes())
    is_keras = encoder.suffix == KERAS_FILE
    return TheirCaptioner(networks, tokenizer), _keras() if is_keras else _engine()


def _engine() -> str:
    from edgecap_runtime.interpreter import find_engine

    engine = find_engine()
    return f"{engine.distribution} {engine.version}"


def _keras() -> str:
    from importlib.metadata import version

    return f"tf-keras {version('tf-keras')}, tensorflow {version('tensorflow')}"


def answer(request: Request) -> Answer:
    """Captions the photos.

    Raises:
        EngineError: if a caption has not the words that were asked for, or a photo of the
            warm-up has others afterwards.
        EdgecapError: whatever loading or captioning raises.
    """
    captioner, engine = load(request.files, request.threads)
    photos = [Path(photo) for photo in request.photos]
    before = [captioner.caption(photo, request.words) for photo in photos[: request.warm_up]]
    said = [captioner.caption(photo, request.words) for photo in photos]
    memory = peak_memory()
    assert memory is not None, "TensorFlow's pipeline is measured on Linux and macOS"
    check(request.words, before, said)
    if request.outputs:
        outputs = captioner.outputs(photos[0])
        np.savez(request.outputs, features=outputs.features, scores=outputs.scores)
    means = {stage: statistics.fmean(one.milliseconds[stage] for one in said) for stage in STAGES}
    return Answer(tuple(one.words for one in said), means, memory, engine)


def check(words: int, before: list[Said], said: list[Said]) -> None:
    """That what was timed was the work it should be.

    Args:
        words: that every caption must have.
        before: the warm-up, of the first photos.
        said: of all photos.

    Raises:
        EngineError: if a caption has another length, or a photo has other words than before.
    """
    for one in (*before, *said):
        if len(one.words) != words:
            raise EngineError(f"expected {words} words, the system said {len(one.words)}")
    for first, second in zip(before, said, strict=False):
        if first.words != second.words:
            raise EngineError(
                f"the same photo was {' '.join(first.words)!r} and then "
                f"{' '.join(second.words)!r}: expected the same words each time"
            )


def main(request_file: str, answer_file: str) -> None:
    request = schema.from_value(Request, schema.parse(Path(request_file).read_bytes()))
    content = json.dumps(schema.to_value(answer(request)))
    Path(answer_file).write_text(content, encoding="ascii")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except EdgecapError as error:
        sys.exit(str(error))
