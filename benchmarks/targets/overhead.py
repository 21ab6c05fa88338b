"""What our code adds to the engine's own calls in a caption."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgecap import image
from edgecap.errors import EngineError
from edgecap.tokenizer import END_ID, START_ID
from edgecap_bench.picture import drawn_jpeg
from edgecap_runtime import Captioner
from edgecap_runtime.startup import without_engine_notes
from targets.workbench import Result, Workbench, in_turns

MOST_ADDED = 0.05
PAIRS, WARM_UP = 200, 20


def overhead(workbench: Workbench) -> Result:
    """`.caption` of a ready array against the engine calls it makes, in turns.

    Raises:
        EngineError: if the bare calls do not come to the captioner's words.
    """
    with without_engine_notes():
        captioner = Captioner.load(workbench.bundle_path)
    expected = captioner.bundle.manifest.input
    pixels = image.load(drawn_jpeg(), expected.width, expected.height, expected.resampling)
    bare = _bare_calls(captioner, pixels)
    works = (lambda: captioner.caption(pixels), bare)
    whole_ms, bare_ms = in_turns(works, PAIRS, WARM_UP)
    added = whole_ms / bare_ms - 1
    measured = f"{100 * added:.1f} %: {whole_ms:.3f} ms, the calls {bare_ms:.3f} ms"
    details = f"medians of {PAIRS} pairs, threads: {captioner.threads}"
    return Result(f"{measured}; {details}", added <= MOST_ADDED)


def _bare_calls(captioner: Captioner, pixels: image.Array) -> Callable[[], None]:
    """The engine calls of one caption and nothing else, on the captioner's own interpreters.

    The words are given, not searched for. Checked once: the last scores are for the last word.
    """
    pipeline, tokenizer = captioner._pipeline, captioner.bundle.tokenizer
    encoder, decoder = pipeline._encoder, pipeline._decoder
    encode, decode = encoder._interpreter, decoder._interpreter
    ids = [tokenizer.words.index(word) for word in captioner.caption(pixels).words]
    choices = [*ids, END_ID][: captioner.bundle.manifest.maximum_words]
    tokens = [np.array([token], np.int32) for token in (START_ID, *choices[:-1])]

    photo, photo_input = pixels[np.newaxis], encoder._inputs[pipeline._photo]
    encoded = [
        (encoder._views[name], decoder._inputs[name], np.empty_like(value))
        for name, value in pipeline._encoded.items()
    ]
    names = list(pipeline._encoded)
    state = encoded[names.index("state")][2]
    scores = np.empty_like(pipeline._scores)
    token_input, state_input = decoder._inputs["token"], decoder._inputs["state"]
    state_view, scores_view = decoder._views["state"], decoder._views["scores"]

    def bare() -> None:
        encode.set_tensor(photo_input, photo)
        encode.invoke()
        for view, _, value in encoded:
            np.copyto(value, view())
        for _, index, value in encoded:
            decode.set_tensor(index, value)
        for token in tokens:
            decode.set_tensor(token_input, token)
            decode.set_tensor(state_input, state)
            decode.invoke()
            np.copyto(state, state_view())
            np.copyto(scores, scores_view())

    bare()
    chosen = int(scores[0, END_ID:].argmax()) + END_ID
    if chosen != choices[-1]:
        raise EngineError("the bare engine calls do not come to the captioner's words")
    return bare
