"""What a run over a library does with photos that change, and with their sidecars."""

from __future__ import annotations

import errno
import os
import shutil
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

from edgecap.cli import main
from edgecap_runtime import Captioner, sidecar
from edgecap_runtime.found import find
from edgecap_runtime.journal import Journal
from edgecap_runtime.known import Index
from edgecap_runtime.library import CHANGED, Library
from edgecap_runtime.records import KEPT, WRITTEN, Record
from edgecap_runtime.sidecar import PROPERTIES, TEXTS, write_sidecar
from edgecap_runtime.sources import File, Unreachable, walk
from edgecap_runtime.xmp import Packet

OWN = "Grandma's 80th"


@pytest.fixture
def folder(photos, tmp_path):
    """Four photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in photos[:4]:
        shutil.copy(photo, folder)
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.jsonl"


@pytest.fixture
def caption(captioner):
    """Captions photos as a run asks for it, a few ahead."""

    def generate(photos):
        yield from captioner.caption_many(photos)

    return generate


def found(folder):
    return map(find, walk(str(folder)))


def recorded(output, bundle):
    """Records by the photo's name."""
    with Journal(str(output), bundle) as journal:
        lines = output.read_bytes().splitlines(keepends=True)
        offsets = [sum(map(len, lines[:index])) for index in range(len(lines))]
        records = [journal.read(offset) for offset in offsets]
    return {Path(record.path).name: record for record in records}


@pytest.fixture
def bundle(captioner):
    return captioner.bundle.manifest.sha256


# Photos that do not hold still


def test_a_photo_that_changes_while_it_is_read_is_not_written_down(folder, output, bundle, caption):
    def disturbed(photos):
        for result in caption(photos):
            if result.source.name.endswith("01.png"):
                os.utime(result.source.name)
            yield result

    with Journal(str(output), bundle) as journal:
        library = Library(journal)
        complaints = [done.complaint for done in library.run(found(folder), disturbed)]
    assert complaints == [None, f"{folder / '01.png'}: {CHANGED}", None, None]
    assert (library.counts.captioned, library.counts.failed) == (3, 1)
    assert "01.png" not in recorded(output, bundle)
    with Journal(str(output), bundle) as journal:
        again = Library(journal)
        assert [done.complaint for done in again.run(found(folder), caption)] == [None]
    assert len(recorded(output, bundle)) == 4


def test_a_photo_that_vanishes_while_it_is_read_is_a_line_and_the_rest_goes_on(
    folder, output, bundle, caption
):
    def disturbed(photos):
        for photo in photos:
            if photo.name.endswith("02.png"):
                Path(photo.name).unlink()
            yield from caption([photo])

    with Journal(str(output), bundle) as journal:
        done = list(Library(journal).run(found(folder), disturbed))
    assert [one.complaint for one in done if one.complaint] == [f"{folder / '02.png'}: {CHANGED}"]
    assert set(recorded(output, bundle)) == {"00.png", "01.png", "03.png"}


def test_a_photo_that_is_found_twice_at_once_is_captioned_once(folder, output, bundle, caption):
    photos = [one for one in found(folder) for _ in range(3)]
    with Journal(str(output), bundle) as journal:
        library = Library(journal)
        assert len(list(library.run(photos, caption))) == 4
        assert list(library.follow(photos, caption, lambda _: False)) == []


def test_a_postponed_photo_is_not_written_down(folder, output, bundle, caption):
    broken = folder / "bad.png"
    broken.write_bytes(b"no photo")
    postponed = []
    with Journal(str(output), bundle) as journal:
        library = Library(journal)
        for answer in (True, False):
            list(
                library.follow(
                    found(folder), caption, lambda one, yes=answer: postponed.append(one) or yes
                )
            )
            assert library.counts.failed == (not answer)
    assert [one.name for one in postponed] == [str(broken)] * 2
    assert recorded(output, bundle)["bad.png"].error.startswith(f"{broken}: expected JPEG")


def test_what_was_to_do_can_be_counted_while_it_is_done(folder, output, bundle, caption):
    with Journal(str(output), bundle) as journal:
        list(Library(journal).run(found(folder / "00.png"), caption))
        list(Library(journal).run([find(File(str(folder / "00.png")))], caption))
    (folder / "lost.png").symlink_to("nowhere")
    with Journal(str(output), bundle) as journal:
        library = Library(journal)
        assert library.count(found(folder)) == 4
        for _ in library.run(found(folder), caption):
            assert library.count(found(folder)) == 4


def test_a_link_that_leads_nowhere_is_unreachable(tmp_path):
    (tmp_path / "a.png").symlink_to("nowhere")
    photo = find(File(str(tmp_path / "a.png")))
    assert isinstance(photo, Unreachable)
    assert "No such file" in str(photo.error)
    assert find(photo) is photo


def test_what_is_known_of_a_photo_takes_little_memory():
    def record(number):
        return Record(f"/a/path/{number}.jpg", "a", -1.0, None, None, 10**6, 10**18 + number, "b")

    index = Index("b")
    tracemalloc.start()
    for number in range(20_000):
        index.put(record(number), number * 400)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken / 20_000 < 250
    assert index.get("/a/path/7.jpg").mtime_ns == 10**18 + 7


# Sidecars


@pytest.fixture
def edgecap(tiny, capfd):
    def call(*arguments):
        status = main(["caption", "--bundle", str(tiny), *map(str, arguments)])
        return status, capfd.readouterr().err.splitlines()

    return call


def said(photo):
    packet = Packet(Path(f"{photo}.xmp").read_bytes(), PROPERTIES)
    return {packet.text(one) for one in TEXTS}


def own_sidecar(photo):
    write_sidecar(str(photo), OWN)
    path = Path(f"{photo}.xmp")
    path.write_text(path.read_text().replace("CaptionSHA256", "Other"))


def test_sidecars_are_written_beside_all_photos(edgecap, folder, output, captioner, bundle):
    assert edgecap(folder, "--output", output, "--sidecar", "xmp")[0] == 0
    for photo in folder.glob("*.png"):
        assert said(photo) == {captioner.caption(photo).text}
    assert {one.sidecar for one in recorded(output, bundle).values()} == {WRITTEN}


def test_sidecars_come_later_without_a_model(edgecap, folder, output, captioner, monkeypatch):
    edgecap(folder, "--output", output)
    monkeypatch.setattr(Captioner, "load", None)
    request = (folder, "--output", output, "--sidecar", "xmp")
    for _ in range(2):
        assert edgecap(*request) == (0, [f"{output}: 0 captioned, 4 done before"])
        before = output.read_bytes()
        monkeypatch.setattr(sidecar, "_write", None)  # the second time there is nothing to write
    assert output.read_bytes() == before
    for photo in folder.glob("*.png"):
        assert said(photo) == {captioner.caption(photo).text}


def test_own_words_are_kept_counted_and_overwritten_when_asked(
    edgecap, folder, output, captioner, bundle, monkeypatch
):
    photo = folder / "01.png"
    own_sidecar(photo)
    request = (folder, "--output", output, "--sidecar", "xmp")
    status, (line,) = edgecap(*request)
    kept = "1 kept somebody's own words: --overwrite replaces them"
    assert (status, line) == (0, f"{output}: 4 captioned, {kept}")
    assert recorded(output, bundle)["01.png"].sidecar == KEPT
    assert said(photo) == {OWN}
    assert edgecap(*request) == (0, [f"{output}: 0 captioned, 4 done before"])
    monkeypatch.setattr(Captioner, "load", None)
    assert edgecap(*request, "--overwrite") == (0, [f"{output}: 0 captioned, 4 done before"])
    assert said(photo) == {captioner.caption(photo).text}
    assert {one.sidecar for one in recorded(output, bundle).values()} == {WRITTEN}


def test_a_library_that_takes_no_sidecars_is_one_line_and_nothing_is_lost(
    edgecap, folder, output, bundle, monkeypatch
):
    def read_only(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    request = (folder, "--output", output, "--sidecar", "xmp")
    with monkeypatch.context() as patch:
        patch.setattr(sidecar, "whole_file", read_only)
        status, (complaint, summary) = edgecap(*request)
    assert status == 1
    assert complaint == (
        f"edgecap: {folder}: no sidecar can be written there (Read-only file system): "
        "make it writable, or leave out --sidecar"
    )
    assert summary == f"{output}: 4 captioned, 4 without a sidecar"
    assert {one.sidecar for one in recorded(output, bundle).values()} == {None}
    monkeypatch.setattr(Captioner, "load", None)  # the captions are there
    assert edgecap(*request)[0] == 0
    assert all(said(photo) for photo in folder.glob("*.png"))


def test_a_broken_sidecar_is_one_line_and_left_as_it_is(edgecap, folder, output):
    broken = folder / "00.png.xmp"
    broken.write_text("no xml")
    status, (complaint, summary) = edgecap(folder, "--output", output, "--sidecar", "xmp")
    assert (status, summary) == (1, f"{output}: 4 captioned, 1 without a sidecar")
    assert complaint.startswith(f"edgecap: {broken}: is broken XML")
    assert broken.read_text() == "no xml"


def test_a_new_caption_takes_the_place_of_ours(folder, output, bundle, caption):
    photo = folder / "00.png"
    write_sidecar(str(photo), "what another bundle said")
    with Journal(str(output), bundle) as journal:
        library = Library(journal, partial(write_sidecar, overwrite=False))
        list(library.run(found(folder), caption))
    assert said(photo) == {recorded(output, bundle)["00.png"].caption}
