"""`edgecap caption FOLDER --output FILE`, stopped, killed, started again and given bad input."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import command_environment
from PIL import Image

from edgecap.cli import main
from edgecap.commands.progress import progress_line
from edgecap_runtime import Captioner

COMMAND = [sys.executable, "-m", "edgecap", "caption"]
# Of a library that takes a while.
PHOTOS = 50


@pytest.fixture
def edgecap(tiny, capfd):
    """Runs the command line in this process; status and lines on standard error."""

    def call(*arguments, bundle=tiny):
        status = main(["caption", "--bundle", str(bundle), *map(str, arguments)])
        output, complaints = capfd.readouterr()
        assert output == ""
        return status, complaints.splitlines()

    return call


@pytest.fixture
def library(photos, tmp_path):
    """A folder of twelve photos, in three folders."""
    folder = tmp_path / "library"
    for index, photo in enumerate(photos):
        place = folder / "abc"[index % 3] / photo.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, place)
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.jsonl"


@pytest.fixture
def no_engine(monkeypatch):
    """Fails a test that loads a model."""

    def load(*_arguments, **_options):
        pytest.fail("a model was loaded")

    return lambda: monkeypatch.setattr(Captioner, "load", load)


def lines(path):
    """The output by path, each once; of CSV the cells as JSON has them."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        for one in found:
            if one["path"].startswith('"'):
                one["path"] = json.loads(one["path"])
    else:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    by_path = {one["path"]: one for one in found}
    assert len(by_path) == len(found)
    return by_path


def words(path):
    return {name: line["caption"] for name, line in lines(path).items()}


def files(library):
    return sorted(str(path) for path in library.rglob("*.png"))


def expected_words(library, captioner):
    return {path: captioner.caption(path).text for path in files(library)}


# A run


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "OUT.JSONL"])
def test_a_library_is_captioned_into_a_file(edgecap, captioner, library, tmp_path, name):
    output = tmp_path / name
    status, notes = edgecap(library, "--output", output)
    assert (status, notes) == (0, [f"{output}: 12 captioned"])
    expected = expected_words(library, captioner)
    assert words(output) == expected
    assert list(words(output)) == list(expected)  # in the order of the names


def test_a_line_says_what_the_contract_says_and_which_file_it_was(
    edgecap, captioner, library, output
):
    edgecap(library, "--output", output)
    for path, line in lines(output).items():
        caption, status = captioner.caption(path), Path(path).stat()
        assert line["log_probability"] == pytest.approx(caption.log_probability)
        assert line["timings_ms"].keys() == caption.timings_ms.keys()
        assert (line["size"], line["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
        assert line["bundle"] == captioner.bundle.manifest.sha256


def test_nothing_is_done_twice_and_no_model_loaded_for_nothing(edgecap, library, output, no_engine):
    edgecap(library, "--output", output)
    before, written = output.read_bytes(), output.stat().st_ino
    no_engine()
    assert edgecap(library, "--output", output) == (0, [f"{output}: 0 captioned, 12 done before"])
    assert (output.read_bytes(), output.stat().st_ino) == (before, written)


def test_new_and_changed_photos_are_done(edgecap, captioner, library, photos, output):
    edgecap(library, "--output", output)
    first, second, third = files(library)[:3]
    shutil.copy(photos[5], first)  # other content
    os.utime(second)  # the same content, later
    shutil.copy(photos[6], library / "new.png")
    Path(third).unlink()
    assert edgecap(library, "--output", output)[1] == [f"{output}: 3 captioned, 9 done before"]
    found = words(output)
    assert found.pop(third)  # the file may be on a disk that is not there today
    assert found == expected_words(library, captioner)


def test_another_bundle_does_all_again(edgecap, library, output, remade):
    edgecap(library, "--output", output)
    before = lines(output)
    other = remade(name="other")
    assert edgecap(library, "--output", output, bundle=other)[1] == [f"{output}: 12 captioned"]
    after = lines(output)
    assert after.keys() == before.keys()
    assert not any(after[path]["bundle"] == before[path]["bundle"] for path in before)


def test_force_does_all_again(edgecap, library, output):
    edgecap(library, "--output", output)
    output.write_text(output.read_text().replace('"caption": "', '"caption": "never said: '))
    assert edgecap(library, "--output", output)[1] == [f"{output}: 0 captioned, 12 done before"]
    assert "never said" in output.read_text()
    assert edgecap(library, "--output", output, "--force")[1] == [f"{output}: 12 captioned"]
    assert "never said" not in output.read_text()
    assert len(lines(output)) == 12


def test_a_part_of_a_library_leaves_the_rest_of_the_file(edgecap, captioner, library, output):
    edgecap(library / "a", "--output", output)
    edgecap(library / "b", library / "b", "--output", output)
    edgecap(library / "c" / "*.png", *files(library / "c"), "--output", output)
    assert words(output) == expected_words(library, captioner)


def test_photos_in_a_list(edgecap, captioner, library, output, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(files(library)))
    assert edgecap("--from", listed, "--output", output)[0] == 0
    assert words(output) == expected_words(library, captioner)


def test_options_reach_the_search(edgecap, captioner, library, output):
    edgecap(library, "--output", output, "--beam", 4, "--max-words", 3, "--threads", 1)
    for path, text in words(output).items():
        assert text == captioner.caption(path, beam=4, maximum_words=3).text


# Photos that fail


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_failed_photos_are_listed_and_tried_again_when_asked(
    edgecap, captioner, library, tmp_path, monkeypatch, name
):
    output, bad = tmp_path / name, library / "b" / "bad.png"
    bad.write_bytes(b"this is no photo")
    status, notes = edgecap(library, "--output", output)
    assert (status, len(notes), notes[-1]) == (1, 2, f"{output}: 12 captioned, 1 failed")
    assert notes[0].startswith(f"edgecap: {bad}: expected JPEG")
    assert lines(output)[str(bad)]["error"] == notes[0].removeprefix("edgecap: ")

    with monkeypatch.context() as patch:
        patch.setattr(Captioner, "load", None)
        known = "12 done before, 1 failed before: --retry tries again"
        assert edgecap(library, "--output", output) == (1, [f"{output}: 0 captioned, {known}"])
    status, notes = edgecap(library, "--output", output, "--retry")
    assert (status, notes[-1]) == (1, f"{output}: 0 captioned, 1 failed, 12 done before")
    assert len(lines(output)) == 13

    shutil.copy(files(library)[0], bad)  # another file: no need to ask
    assert edgecap(library, "--output", output)[0] == 0
    assert words(output) == expected_words(library, captioner)


def test_links_that_lead_nowhere_or_in_a_circle(edgecap, library, output):
    (library / "loop.png").symlink_to(library / "loop.png")
    (library / "lost.png").symlink_to(library / "nowhere.png")
    (library / "a" / "round").symlink_to(library, target_is_directory=True)
    status, notes = edgecap(library, "--output", output)
    assert (status, notes[-1]) == (1, f"{output}: 12 captioned, 2 failed")
    assert "loop.png: cannot be reached (Too many levels of symbolic links)" in notes[0]
    assert "lost.png: cannot be reached (No such file" in notes[1]
    assert len(lines(output)) == 12
    status, notes = edgecap(library, "--output", output)  # said again: it is still so
    assert (status, len(notes)) == (1, 3)


def test_a_folder_that_cannot_be_read(edgecap, library, output, monkeypatch):
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", guarded)
        status, notes = edgecap(library, "--output", output)
    assert (status, notes[-1]) == (1, f"{output}: 8 captioned, 1 failed")
    assert notes[0] == (
        f"edgecap: {library / 'b'}: folder cannot be read (Permission denied): "
        "check its access rights"
    )
    assert edgecap(library, "--output", output) == (
        0,
        [f"{output}: 4 captioned, 8 done before"],
    )


def test_a_folder_without_photos_and_an_address(edgecap, tmp_path, output, no_engine):
    no_engine()
    (tmp_path / "empty").mkdir()
    status, notes = edgecap(tmp_path / "empty", "http://127.0.0.1:9/x.jpg", "--output", output)
    assert (status, notes[-1]) == (1, f"{output}: 0 captioned, 2 failed")
    assert "folder without photos" in notes[0]
    assert "is an address" in notes[1]


def test_what_systems_keep_between_photos_is_passed_over(edgecap, library, photo, output):
    for name in (".thumbnails", "@eaDir", "#recycle", "a/@eaDir", "lost+found"):
        (library / name).mkdir()
        shutil.copy(photo, library / name / "x.png")
    shutil.copy(photo, library / ".hidden.png")
    assert edgecap(library, "--output", output)[1] == [f"{output}: 12 captioned"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_odd_names_are_lines_of_their_own_and_known_again(edgecap, photo, tmp_path, name):
    folder, output = tmp_path / "odd", tmp_path / name
    folder.mkdir()
    names = [b"caf\xe9.png", b"new\nline.png", b"tab\t.png", b"a,\"b'.png", b"\\u0041.png",
             b"[x]*.png", b"\x1b[31m.png", "日本.png".encode()]  # fmt: skip
    for one in names:
        shutil.copy(photo, os.fsencode(folder) + b"/" + one)
    assert edgecap(folder, "--output", output) == (0, [f"{output}: {len(names)} captioned"])
    assert output.read_bytes().count(b"\n") == len(names) + (output.suffix == ".csv")
    found = {os.fsencode(path).rpartition(b"/")[2] for path in lines(output)}
    assert found == set(names)
    done = f"{output}: 0 captioned, {len(names)} done before"
    assert edgecap(folder, "--output", output) == (0, [done])


def test_names_that_begin_as_formulas(edgecap, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(photo, "=1+1.png")
    shutil.copy(photo, "-x.png")
    for _ in range(2):
        assert edgecap("--output", "out.csv", "--", "=1+1.png", "-x.png")[0] == 0
    assert set(words(tmp_path / "out.csv")) == {"=1+1.png", "-x.png"}
    with (tmp_path / "out.csv").open(newline="") as file:
        assert all(cell[:1] not in "=+-@" for row in csv.reader(file) for cell in row[:2] if cell)


def test_the_output_may_lie_among_the_photos(edgecap, library):
    output = library / "a" / "captions.csv"
    assert edgecap(library, "--output", output)[0] == 0
    assert edgecap(library, "--output", output)[1] == [f"{output}: 0 captioned, 12 done before"]


# Wrong requests


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["x", "--force"], "--force needs --output"),
        (["x", "--retry"], "--retry needs --output"),
        (["x", "--sidecar", "xmp"], "--sidecar needs --output"),
        (["x", "--watch"], "--watch needs --output"),
        (["x", "--output", "o.csv", "--overwrite"], "--overwrite needs --sidecar"),
        (["x", "--output", "o.csv", "--poll", "5"], "--poll needs --watch"),
        (["x", "--output", "o.csv", "--watch", "--poll", "0"], "1<=x<=86400"),
        (["x", "--output", "o.csv", "--sidecar", "exif"], "xmp"),
        (["x", "--output", "o.csv", "--json"], "--output FILE.jsonl"),
        (["-", "--output", "o.csv"], "leave out the -"),
        (["x", "--output", "o.txt"], ".jsonl or .csv"),
        (["x", "--output", "none/o.csv"], "its folder does not exist"),
        (["missing", "--output", "o.csv", "--watch"], "--watch is for folders"),
        ([".", "--from", "/dev/null", "--output", "o.csv", "--watch"], "--watch is for folders"),
    ],
)
def test_a_wrong_request_is_one_line(capfd, tmp_path, monkeypatch, arguments, part):
    monkeypatch.chdir(tmp_path)
    assert main(["caption", *arguments]) == 2
    output, complaints = capfd.readouterr()
    (line,) = complaints.splitlines()
    assert (output, line.startswith("edgecap: ")) == ("", True)
    assert part in line
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_ours_is_left_as_it_is(edgecap, library, output, no_engine):
    no_engine()
    output.write_text("my notes\n")
    status, (line,) = edgecap(library, "--output", output)
    assert (status, output.read_text()) == (2, "my notes\n")
    assert f"{output}: exists, and is no output of this version" in line


def test_what_the_command_prints_with_json_is_no_such_file(edgecap, run, tiny, library, output):
    output.write_text(run("caption", "--bundle", tiny, "--json", library).stdout)
    assert edgecap(library, "--output", output)[0] == 2


@pytest.mark.parametrize("fault", ["missing", "broken"])
def test_a_bad_bundle_makes_no_output(edgecap, library, output, remade, tmp_path, fault):
    bundle = tmp_path / "none.edgecap" if fault == "missing" else remade(version=99)
    status, (line,) = edgecap(library, "--output", output, bundle=bundle)
    assert status == (2 if fault == "missing" else 1)
    assert str(bundle) in line
    assert not output.exists()


# Ends


@pytest.fixture
def slow_library(tmp_path):
    """Photos that take longer to read than a process to be stopped."""
    folder = tmp_path / "slow"
    folder.mkdir()
    Image.effect_noise((800, 800), 90).convert("RGB").save(folder / "000.png")
    for index in range(1, PHOTOS):
        os.link(folder / "000.png", folder / f"{index:03}.png")
    return folder


@pytest.fixture
def start(tiny):
    """Starts the command in a process of its own."""
    started = []

    def call(*arguments, **options):
        process = subprocess.Popen(
            [*COMMAND, "--bundle", tiny, *arguments],
            env=command_environment(), text=True, stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_for_lines(output, count, process):
    """Until the output has so many lines."""
    while not output.exists() or output.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def without_times(path):
    return {name: {**line, "timings_ms": None} for name, line in lines(path).items()}


def test_killed_again_and_again_every_photo_is_there_once(
    edgecap, start, slow_library, output, tmp_path
):
    whole = tmp_path / "whole.jsonl"
    assert edgecap(slow_library, "--output", whole)[0] == 0
    moments = sorted(random.Random(7).sample(range(1, PHOTOS - 10), 5))
    for lines_before in moments:
        process = start(slow_library, "--output", output, "--threads", "2")
        wait_for_lines(output, lines_before, process)
        process.kill()
        process.wait()
        assert output.read_bytes().endswith(b"\n")
    assert edgecap(slow_library, "--output", output)[0] == 0
    assert without_times(output) == without_times(whole)
    assert list(lines(output)) == list(lines(whole))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_says_how_to_go_on(edgecap, start, slow_library, output, number):
    process = start(slow_library, "--output", output, "--threads", "1")
    wait_for_lines(output, 2, process)
    process.send_signal(number)
    complaints = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    (line,) = complaints.splitlines()
    done = len(lines(output))
    assert 2 <= done < PHOTOS
    assert line == (f"edgecap: interrupted, the same command goes on; {output}: {done} captioned")
    rest = f"{output}: {PHOTOS - done} captioned, {done} done before"
    assert edgecap(slow_library, "--output", output) == (0, [rest])


def test_two_runs_on_one_output(edgecap, start, slow_library, output):
    process = start(slow_library, "--output", output, "--threads", "1")
    wait_for_lines(output, 1, process)
    status, (line,) = edgecap(slow_library, "--output", output)
    assert (status, line) == (
        1,
        f"edgecap: {output}: another edgecap is writing it: let that one end, or choose another "
        "--output",
    )
    assert process.wait(timeout=60) == 0
    assert len(lines(output)) == PHOTOS


def test_a_full_disk_stops_it_with_one_line_and_it_goes_on(edgecap, start, library, output):
    """A limit on the size of files stands for the disk."""
    process = start(
        library, "--output", output,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
    )  # fmt: skip
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 1
    assert line.startswith(f"edgecap: cannot write {output} (File too large)")
    done = len(lines(output))
    assert 0 < done < 12
    assert edgecap(library, "--output", output)[1] == [
        f"{output}: {12 - done} captioned, {done} done before"
    ]
    assert len(lines(output)) == 12


def test_a_line_that_was_cut_is_said_and_done_again(edgecap, captioner, library, output):
    edgecap(library, "--output", output)
    output.write_bytes(output.read_bytes()[:-30])
    assert edgecap(library, "--output", output)[1] == [
        f"{output}: a line was cut short, its photo is captioned again",
        f"{output}: 1 captioned, 11 done before",
    ]
    assert words(output) == expected_words(library, captioner)


def test_on_a_terminal_the_time_left_is_shown_in_one_place(tiny, slow_library, output):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--bundle", tiny, slow_library, "--output", output, "--threads", "1"],
        env=command_environment(), stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    # Where the other side is closed, a terminal gives an error and no end.
    with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123
        while chunk := terminal.read(65_536):
            shown += chunk
    assert process.wait(timeout=60) == 0
    *progress, summary = shown.decode().replace("\r\n", "\n").removesuffix("\n").split("\r")
    assert summary == f"\x1b[K{output}: {PHOTOS} captioned"
    assert any(f" of {PHOTOS} photos, " in one and "left\x1b[K" in one for one in progress)


@pytest.mark.parametrize(
    ("done", "total", "rate", "line"),
    [
        (120, None, 2.0, "120 photos, 2.0 a second"),
        (120, 1_000, 4.0, "120 of 1,000 photos, 4.0 a second, 4 min left"),
        (10, 100_000, 1.0, "10 of 100,000 photos, 1.0 a second, 27 h 46 min left"),
        (99, 100, 3.0, "99 of 100 photos, 3.0 a second, 0 s left"),
        (5, 4, 5.0, "5 of 4 photos, 5.0 a second, 0 s left"),
    ],
)
def test_what_a_line_of_progress_says(done, total, rate, line):
    assert progress_line(done, total, rate) == line
