"""Captions from a child process; graphs that turn on their engine when they see a white photo."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from edgecap.errors import BundleError, EngineError, ImageError, SourceError, UsageError
from edgecap.manifest import ENCODER
from edgecap_runtime import isolated
from edgecap_runtime.interpreter import find_engine
from edgecap_runtime.isolated import IsolatedCaptioner
from edgecap_runtime.sources import Unreachable

HERE = Path(__file__).resolve().parent
SECONDS = 20.0


@pytest.fixture(scope="module")
def captions(tiny):
    """The tiny bundle in a child."""
    captioner = IsolatedCaptioner(tiny, seconds=SECONDS)
    yield captioner
    captioner.close()


@pytest.fixture
def folder(tmp_path, photo):
    """Two sound photos with a white one between them."""
    place = tmp_path / "photos"
    place.mkdir()
    Image.open(photo).save(place / "a.png")
    Image.new("RGB", (32, 32), "white").save(place / "b.png")
    Image.open(photo).save(place / "c.png")
    return place


@pytest.fixture
def hostile(remade):
    """The tiny bundle, all hashes in order, with an encoder out of `make_hostile_graphs.py`."""

    def make(name):
        return remade({ENCODER: (HERE / "data" / f"{name}.tflite").read_bytes()})

    return make


def said(captioner, paths):
    """Texts, and None for each photo that failed; the complaints."""
    results = list(captioner.caption_many(paths))
    complaints = [str(result.error) for result in results if result.error]
    assert all("\n" not in one for one in complaints)
    return [result.caption and result.caption.text for result in results], complaints


def child_of(captioner):
    return captioner._child._process


def test_the_words_are_those_of_a_captioner_in_this_process(captions, captioner, photos):
    for photo in photos:
        expected = captioner.caption(photo)
        for form in (photo, str(photo), io.BytesIO(photo.read_bytes())):
            caption = captions.caption(form)
            assert (caption.text, caption.words) == (expected.text, expected.words)
            assert caption.log_probability == pytest.approx(expected.log_probability)
            assert caption.timings_ms.keys() == expected.timings_ms.keys()
    assert captions.caption(photos[0], beam=3, maximum_words=2).words == (
        captioner.caption(photos[0], beam=3, maximum_words=2).words
    )


def test_what_is_wrong_with_photos_and_requests_is_said_as_ever(captions, photo, tmp_path):
    before = child_of(captions).pid
    with pytest.raises(ImageError, match="no such file"):
        captions.caption(tmp_path / "none.jpg")
    named = io.BytesIO(b"text")
    named.name = "x.jpg"
    with pytest.raises(ImageError, match=r"x\.jpg: expected JPEG"):
        captions.caption(named)
    with pytest.raises(UsageError, match="beam"):
        captions.caption(photo, beam=99)
    with pytest.raises(SourceError, match="gone"):
        captions.caption(Unreachable("x", "gone"))
    assert captions.caption(photo).text
    assert child_of(captions).pid == before


def test_a_graph_that_never_ends_costs_its_photo_only(hostile, folder):
    captioner = IsolatedCaptioner(hostile("hangs"), seconds=SECONDS)
    paths = sorted(folder.iterdir())
    assert captioner.caption(paths[0]).timings_ms
    captioner._seconds = 2.0
    begin = time.monotonic()
    with pytest.raises(EngineError, match="took more than 2 s on this photo"):
        captioner.caption(paths[1])
    assert time.monotonic() - begin < SECONDS
    captioner._seconds = SECONDS
    assert captioner.caption(paths[2]).timings_ms
    captioner.close()


def test_a_graph_that_takes_all_memory_costs_its_photo_only(hostile, folder):
    captioner = IsolatedCaptioner(hostile("grows"), seconds=SECONDS)
    texts, complaints = said(captioner, sorted(folder.iterdir()))
    captioner.close()
    assert [text is None for text in texts] == [False, True, False]
    assert len(complaints) == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_child_that_crashes_is_started_again(tiny, photo, captioner, number):
    captions = IsolatedCaptioner(tiny, seconds=SECONDS)
    first = child_of(captions).pid
    os.kill(first, number)
    with pytest.raises(EngineError, match=f"crashed \\({number.name}\\) on this photo"):
        captions.caption(photo)
    assert captions.caption(photo).words == captioner.caption(photo).words
    assert child_of(captions).pid != first
    captions.close()


def test_a_graph_that_is_cut_off_ends_the_child_or_is_refused(remade, opened):
    """tflite-runtime crashes on it, LiteRT refuses it."""
    path = remade({ENCODER: opened.encoder[: len(opened.encoder) // 2]})
    with pytest.raises(EngineError) as caught:
        IsolatedCaptioner(path, seconds=SECONDS)
    assert "\n" not in str(caught.value)
    if find_engine().distribution == "ai-edge-litert":
        assert "cannot load the graph 'encode'" in str(caught.value)


def test_a_bundle_that_is_not_sound_is_refused_before_there_is_a_child(tmp_path, monkeypatch):
    (tmp_path / "x.edgecap").write_bytes(b"none")
    monkeypatch.setattr(isolated, "_Child", None)
    with pytest.raises(BundleError):
        IsolatedCaptioner(tmp_path / "x.edgecap")
    monkeypatch.setattr(isolated.sys, "platform", "darwin")
    with pytest.raises(UsageError, match="--isolate needs Linux"):
        IsolatedCaptioner()


def test_the_child_has_limits_and_ends_with_its_parent(captions):
    pid = child_of(captions).pid
    limits = Path(f"/proc/{pid}/limits").read_text()
    table = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert int(table["Max address space"]) < 10_000_000_000
    assert int(table["Max cpu time"]) < 1_000
    assert table["Max file size"] == table["Max core file size"] == "0"
    captions.close()
    assert not Path(f"/proc/{pid}").exists()


def test_from_the_command_line_with_a_folder_and_with_an_output(run, hostile, folder, tmp_path):
    bundle = hostile("grows")
    options = ("--bundle", bundle, "--isolate")
    lines = run("caption", folder, *options)
    assert lines.returncode == 1, lines.stderr
    names = [Path(line.split("\t")[0]).name for line in lines.stdout.splitlines()]
    assert names == ["a.png", "c.png"], lines.stderr
    assert lines.stderr.count("\n") == 1
    output = tmp_path / "out.jsonl"
    library = run("caption", folder, *options, "--output", output)
    assert library.returncode == 1, library.stderr
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert ["error" in record for record in records] == [False, True, False]
