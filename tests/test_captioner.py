"""Photos to captions through the Python API, on the tiny bundle and the engine installed here."""

from __future__ import annotations

import dataclasses
import io
import itertools
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import command_environment
from PIL import Image

from edgecap import image as photo_loading
from edgecap.errors import BundleError, EngineError, ImageError, SourceError, UsageError
from edgecap.manifest import DECODER, ENCODER, TOKENIZER
from edgecap_runtime import Caption, Captioner, default_bundle
from edgecap_runtime.bulk import LOOK_AHEAD, in_order

STAGES = ["decode", "resize", "encoder", "decoder", "total"]


@pytest.fixture(scope="module")
def expected(captioner, photos):
    """Each photo's words, captioned alone."""
    return [captioner.caption(photo).words for photo in photos]


# One photo


def test_a_caption_says_text_words_likelihood_and_times(captioner, photo):
    caption = captioner.caption(photo)
    assert isinstance(caption, Caption)
    assert caption.text == " ".join(caption.words)
    assert set(caption.words) <= set(captioner.bundle.tokenizer.words)
    assert caption.log_probability < 0
    assert list(caption.timings_ms) == STAGES
    assert all(time >= 0 for time in caption.timings_ms.values())
    parts = sum(caption.timings_ms[stage] for stage in STAGES[:-1])
    assert parts == pytest.approx(caption.timings_ms["total"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        caption.text = "another"


def test_different_photos_have_different_captions(expected):
    assert len(set(expected)) > 1


def test_the_same_photo_in_any_form_has_the_same_caption(captioner, photo):
    size = captioner.bundle.manifest.input
    content = photo.read_bytes()
    with Image.open(photo) as picture:
        picture.load()
    ready = photo_loading.load(photo, size.width, size.height, size.resampling)
    forms = [str(photo), photo, content, io.BytesIO(content), picture, np.asarray(picture), ready]
    captions = [captioner.caption(form) for form in forms]
    assert len({(caption.words, caption.log_probability) for caption in captions}) == 1
    assert captions[-1].timings_ms["decode"] == captions[-1].timings_ms["resize"] == 0


def test_an_array_that_is_not_contiguous(captioner, photo):
    with Image.open(photo) as picture:
        small = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR))
    mirrored = small[:, ::-1]
    assert captioner.caption(mirrored) != captioner.caption(small)
    assert captioner.caption(mirrored).words == captioner.caption(mirrored.copy()).words


def test_a_zip_file_and_a_folder_give_the_same_captions(captioner, tiny_zip, photo):
    ours, theirs = captioner.caption(photo), Captioner.load(tiny_zip).caption(photo)
    assert (ours.words, ours.log_probability) == (theirs.words, theirs.log_probability)


def test_a_wider_beam_never_finds_a_worse_average(captioner, photos):
    for photo in photos:
        greedy, wide = captioner.caption(photo), captioner.caption(photo, beam=16)
        longest = captioner.bundle.manifest.maximum_words
        choices = [min(len(one.words) + 1, longest) for one in (greedy, wide)]
        averages = [one.log_probability / n for one, n in zip((greedy, wide), choices, strict=True)]
        assert averages[1] >= averages[0] - 1e-6


def test_maximum_words_cuts_the_caption(captioner, photo):
    whole = captioner.caption(photo).words
    assert len(whole) > 2
    assert captioner.caption(photo, maximum_words=2).words == whole[:2]


@pytest.mark.parametrize(
    "arguments", [{"beam": 0}, {"beam": 17}, {"maximum_words": 0}, {"maximum_words": 1_001}]
)
def test_what_is_out_of_range_is_refused(captioner, photo, arguments):
    with pytest.raises(UsageError, match=next(iter(arguments))):
        captioner.caption(photo, **arguments)
    with pytest.raises(UsageError, match=next(iter(arguments))):
        captioner.caption_many([photo], **arguments)


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_impossible_numbers_of_threads_are_refused(captioner, tiny, threads):
    with pytest.raises(UsageError, match="threads"):
        Captioner.load(tiny, threads=threads)
    with pytest.raises(UsageError, match="workers"):
        captioner.caption_many([], workers=threads)


def test_a_missing_bundle_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="no bundle at"):
        Captioner.load(tmp_path / "none.edgecap")


def test_a_bundle_for_newer_engines_is_refused_before_it_is_loaded(remade):
    oldest = {"ai-edge-litert": "99.0", "tflite-runtime": "99.0"}
    # An engine would complain of what it does not know, as of these bytes.
    unknown = {ENCODER: b"from the future", DECODER: b"from the future"}
    with pytest.raises(EngineError, match=r"99\.0 or newer, this is"):
        Captioner.load(remade(unknown, oldest_engines=oldest))


def test_a_vocabulary_of_another_size_than_the_decoder_is_refused(remade, opened):
    words = opened.tokenizer.words
    other = type(opened.tokenizer)([*words, "more"])
    with pytest.raises(BundleError, match="make the bundle again"):
        Captioner.load(remade({TOKENIZER: other.to_json()}))


def test_a_photo_that_cannot_be_read_leaves_the_captioner_ready(captioner, photo, expected):
    with pytest.raises(ImageError):
        captioner.caption(b"no photo")
    assert captioner.caption(photo).words == expected[0]


def test_what_fetching_a_photo_raises_passes_through(captioner):
    class Gone:
        def read(self, maximum_bytes):
            raise SourceError(f"gone, {maximum_bytes > 0}")

    with pytest.raises(SourceError, match="gone, True"):
        captioner.caption(Gone())


def test_the_packaged_bundle_lies_inside_the_package():
    import edgecap_runtime.captioner

    assert (
        default_bundle().parent.parent
        == type(default_bundle())(edgecap_runtime.captioner.__file__).parent
    )


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, edgecap_runtime; "
        "print({'numpy', 'PIL', 'ai_edge_litert', 'tflite_runtime'} & set(sys.modules)); "
        "from edgecap_runtime import Captioner, Caption, Result; print(Caption.__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=command_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["set()", "edgecap_runtime.pipeline"]


# Many photos


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_many_photos_come_in_order_with_the_words_each_has_alone(
    captioner, photos, expected, workers
):
    results = list(captioner.caption_many(photos * 3, workers=workers))
    assert [result.source for result in results] == photos * 3
    assert [result.caption.words for result in results] == expected * 3
    assert all(result.error is None for result in results)


def test_beam_and_maximum_words_hold_for_many_photos_too(captioner, photos):
    results = captioner.caption_many(photos, beam=3, maximum_words=3)
    alone = [captioner.caption(photo, beam=3, maximum_words=3).words for photo in photos]
    assert [result.caption.words for result in results] == alone


def test_broken_photos_stop_nothing(captioner, photos, expected, tmp_path):
    missing = tmp_path / "missing.png"
    results = list(captioner.caption_many([photos[0], missing, b"text", photos[1]]))
    assert [result.caption and result.caption.words for result in results] == [
        expected[0], None, None, expected[1],
    ]  # fmt: skip
    assert [type(result.error) for result in results] == [
        type(None), ImageError, ImageError, type(None),
    ]  # fmt: skip
    assert str(missing) in str(results[1].error)


def test_no_photos_no_results(captioner):
    assert list(captioner.caption_many([])) == []


def test_an_endless_stream_is_read_only_a_little_ahead(captioner, photos, expected):
    taken = itertools.count()

    def endless():
        while True:
            next(taken)
            yield photos[0]

    results = captioner.caption_many(endless(), workers=2)
    first = [next(results).caption.words for _ in range(20)]
    results.close()
    assert first == [expected[0]] * 20
    assert next(taken) <= 20 + 2 * LOOK_AHEAD


def test_eight_threads_on_one_captioner_get_the_same_words(captioner, photos, expected):
    with ThreadPoolExecutor(8) as pool:
        words = list(pool.map(lambda photo: captioner.caption(photo).words, photos * 20))
    assert words == expected * 20


def test_two_streams_of_one_captioner_do_not_mix(captioner, photos, expected):
    with ThreadPoolExecutor(2) as pool:
        ahead, back = pool.map(
            lambda order: [r.caption.words for r in captioner.caption_many(order, workers=2)],
            (photos * 5, photos[::-1] * 5),
        )
    assert ahead == expected * 5
    assert back == expected[::-1] * 5


GROWTH = """
import gc, sys, tracemalloc
from edgecap_runtime import Captioner

captioner, photos = Captioner.load(sys.argv[1], threads=1), sys.argv[2:]

def memory_after(count):
    for result in captioner.caption_many(photos * count, workers=2):
        assert result.caption
    gc.collect()
    return tracemalloc.get_traced_memory()[0]

tracemalloc.start()
before = memory_after(20)
print(memory_after(60) - before)
"""


def test_memory_stays_as_it_is_over_many_captions(tiny, photos):
    # A process of its own: other tests' threads take memory too.
    grown = subprocess.run(
        [sys.executable, "-c", GROWTH, tiny, *photos],
        capture_output=True, text=True, check=True, env=command_environment(),
    )  # fmt: skip
    # 720 captions: one kept state of each would be six times that.
    assert int(grown.stdout) < 60_000


# The ordered threads themselves


def test_outcomes_are_given_while_the_stream_waits():
    """As when a program writes a path, and waits for the caption before it writes the next."""
    asked, answered = threading.Semaphore(0), []

    def stream():
        for item in range(5):
            asked.acquire()
            yield item

    outcomes = in_order(stream(), [lambda item: item * 10] * 3)
    for _ in range(5):
        asked.release()
        answered.append(next(outcomes))
    assert answered == [0, 10, 20, 30, 40]
    assert list(outcomes) == []


def test_a_slow_item_holds_its_place():
    def work(item):
        time.sleep(0.1 if item == 0 else 0)
        return item

    assert list(in_order(range(9), [work] * 4)) == list(range(9))


def test_an_error_in_the_stream_comes_after_what_was_before_it():
    def stream():
        yield 1
        yield 2
        raise UsageError("no more")

    outcomes = in_order(stream(), [lambda item: item] * 2)
    assert [next(outcomes), next(outcomes)] == [1, 2]
    with pytest.raises(UsageError, match="no more"):
        next(outcomes)


def test_an_unexpected_error_in_a_worker_is_not_lost():
    outcomes = in_order([2, 1, 0], [lambda item: 2 // item])
    assert [next(outcomes), next(outcomes)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(outcomes)


def test_closing_waits_for_what_is_being_done_and_takes_nothing_more():
    done, taken = [], []

    def stream():
        for item in itertools.count():
            taken.append(item)
            yield item

    def work(item):
        time.sleep(0.02)
        done.append(item)

    outcomes = in_order(stream(), [work] * 2)
    next(outcomes)
    outcomes.close()
    finished, seen = len(done), len(taken)
    time.sleep(0.1)
    assert (len(done), len(taken)) == (finished, seen)


def test_an_error_calls_a_photo_by_its_name(captioner: Captioner, tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no photo")
    with (
        path.open("rb") as file,
        pytest.raises(ImageError, match=r"broken\.jpg: expected") as opened,
    ):
        captioner.caption(file)
    with pytest.raises(ImageError) as by_path:
        captioner.caption(path)
    assert str(opened.value) == str(by_path.value)
    assert str(by_path.value).startswith(f"{path}: ")
