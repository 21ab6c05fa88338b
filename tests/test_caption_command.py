"""`edgecap caption` as a person or a program runs it."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from conftest import command_environment
from PIL import Image

from edgecap.cli import COMMANDS, main

COMMAND = [sys.executable, "-m", "edgecap", "caption"]


@pytest.fixture
def edgecap(tiny, capfd):
    """Runs the command line in this process, on the tiny bundle; status, output, complaints."""

    def call(*arguments):
        status = main(["caption", "--bundle", str(tiny), *map(str, arguments)])
        output, complaints = capfd.readouterr()
        return status, output.splitlines(), complaints.splitlines()

    return call


@pytest.fixture
def popen(tiny):
    """Starts the command in a process of its own, with pipes."""
    started = []

    def start(*arguments, **options):
        process = subprocess.Popen(
            [*COMMAND, "--bundle", tiny, *arguments],
            env=command_environment(), text=True,
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
               **options},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def one_complaint(complaints):
    (line,) = complaints
    assert line.startswith("edgecap: ")
    return line


# What is printed


def test_one_photo_gives_its_caption_alone(edgecap, captioner, photo):
    assert edgecap(photo) == (0, [captioner.caption(photo).text], [])


def test_the_real_command_prints_nothing_else(run, tiny, captioner, photo):
    done = run("caption", "--bundle", tiny, photo)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == captioner.caption(photo).text + "\n"


def test_several_photos_give_path_tab_caption(edgecap, captioner, photos):
    expected = [f"{photo}\t{captioner.caption(photo).text}" for photo in photos]
    assert edgecap(*photos) == (0, expected, [])
    assert edgecap(photos[0].parent) == (0, expected, [])
    assert edgecap(photos[0].parent / "*.png") == (0, expected, [])


def test_a_folder_of_one_photo_gives_its_path_too(edgecap, captioner, photo, tmp_path):
    shutil.copy(photo, tmp_path / "only.png")
    expected = f"{tmp_path / 'only.png'}\t{captioner.caption(photo).text}"
    assert edgecap(tmp_path) == (0, [expected], [])


def test_json_lines_say_what_the_contract_says(edgecap, captioner, photos, tmp_path):
    status, output, _ = edgecap("--json", *photos, tmp_path / "missing.jpg")
    *good, bad = map(json.loads, output)
    assert status == 1
    for line, photo in zip(good, photos, strict=True):
        caption = captioner.caption(photo)
        assert line["path"] == str(photo)
        assert line["caption"] == caption.text
        assert line["log_probability"] == pytest.approx(caption.log_probability)
        assert line["timings_ms"].keys() == caption.timings_ms.keys()
    assert bad.keys() == {"path", "error"}
    assert bad["path"] == str(tmp_path / "missing.jpg")
    assert "no such file" in bad["error"]


def test_json_for_one_photo_is_one_such_line(edgecap, photo):
    status, (line,), complaints = edgecap("--json", photo)
    assert (status, complaints) == (0, [])
    assert json.loads(line)["path"] == str(photo)


def test_options_reach_the_search(edgecap, captioner, photo, tiny_zip):
    wide = captioner.caption(photo, beam=4, maximum_words=3).text
    options = ("--beam", 4, "--max-words", 3, "--threads", 1, "--backend", "auto")
    assert edgecap(*options, photo)[1] == [wide]
    assert edgecap("--bundle", tiny_zip, photo)[1] == [captioner.caption(photo).text]


def test_help_gives_ranges_defaults_and_an_example(run):
    text = " ".join(run("caption", "--help").stdout.split())
    for part in ("[default: 1; 1<=x<=16]", "[1<=x<=1000]", "[default: auto]", "[1<=x<=64]",
                 "[default: the packaged]", "[default: 20.0; 0<x<=3600.0]",
                 "Example: edgecap caption"):  # fmt: skip
        assert part in text


def test_help_and_version_import_no_command(run):
    code = (
        "import sys; from edgecap.cli import main; main(['--help']); main(['--version']); "
        "print([m for m in sys.modules if m.startswith(('edgecap.commands', 'edgecap_', 'numpy'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=command_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"
    assert run("--version").stdout.startswith("edgecap ")


# Where photos come from


def test_a_photo_on_standard_input(popen, captioner, photo):
    with photo.open("rb") as file:
        output, complaints = popen("-", stdin=file).communicate()
    assert (output, complaints) == (captioner.caption(photo).text + "\n", "")


def test_nothing_on_standard_input(popen):
    process = popen("-", stdin=subprocess.DEVNULL)
    output, complaints = process.communicate()
    assert (process.returncode, output) == (1, "")
    assert "standard input is empty" in one_complaint(complaints.splitlines())


def test_paths_in_a_file(edgecap, captioner, photos, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{photo}\n" for photo in photos[:3]))
    expected = [f"{photo}\t{captioner.caption(photo).text}" for photo in photos[:3]]
    assert edgecap("--from", listed)[1] == expected
    assert edgecap("--from", listed, photos[5])[1] == [
        f"{photos[5]}\t{captioner.caption(photos[5]).text}", *expected,
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["missing.txt", "."])
def test_a_list_that_cannot_be_read_is_wrong_usage(edgecap, tmp_path, place):
    status, output, complaints = edgecap("--from", tmp_path / place)
    assert (status, output) == (2, [])
    assert "--from" in one_complaint(complaints)


def test_paths_on_standard_input_are_answered_one_by_one(popen, captioner, photos):
    """As a program uses it that keeps the model loaded: it asks again when it was answered."""
    process = popen("--from", "-", "--json")
    for photo in [*photos[:3], Path("missing.jpg"), photos[3]]:
        process.stdin.write(f"{photo}\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert answer["path"] == str(photo)
        if photo.is_file():
            assert answer["caption"] == captioner.caption(photo).text
        else:
            assert "no such file" in answer["error"]
    process.stdin.close()
    assert process.wait(timeout=20) == 1


def answer_with(content, kind):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def test_a_photo_from_an_address(edgecap, serve, captioner, photo):
    address = serve(answer_with(photo.read_bytes(), "image/png")) + "/photo"
    assert edgecap(address) == (0, [captioner.caption(photo).text], [])


def test_addresses_that_send_html_or_nothing_in_time(edgecap, serve, captioner, photo):
    html = serve(answer_with(b"<html>", "text/html"))
    lying = serve(answer_with(b"<html>", "image/jpeg"))
    silent = serve(lambda _: time.sleep(2))
    status, output, complaints = edgecap("--timeout", 0.3, html, lying, silent, photo)
    assert status == 1
    assert output == [f"{photo}\t{captioner.caption(photo).text}"]
    for address, line, part in zip(
        (html, lying, silent),
        complaints,
        ("text/html, not a photo", "<html>", "no answer within 0.3 s"),
        strict=True,
    ):
        assert line.startswith(f"edgecap: {address}: ")
        assert part in line


# Names


ODD_NAMES = [b"caf\xe9.png", b"tab\there.png", b"new\nline.png", b"[x].png", b"\x1b[31m.png"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_one_line_each(run, tiny, captioner, photo, tmp_path, name):
    shutil.copy(photo, os.fsencode(tmp_path) + b"/" + name)
    done = run("caption", "--bundle", tiny, tmp_path, text=False)
    path, caption = done.stdout.rstrip(b"\n").split(b"\t")
    assert caption.decode() == captioner.caption(photo).text
    shown = name.replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\x1b", b"\\x1b")
    assert (path, done.stderr, done.returncode) == (
        os.fsencode(tmp_path / "") + b"/" + shown,
        b"",
        0,
    )
    done = run("caption", "--bundle", tiny, "--json", tmp_path)
    assert os.fsencode(json.loads(done.stdout)["path"]) == os.fsencode(tmp_path) + b"/" + name


def test_odd_names_of_photos_that_fail_are_one_line_each(run, tiny, tmp_path):
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    done = run("caption", "--bundle", tiny, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == len(ODD_NAMES)
    assert "\x1b" not in done.stderr


def test_a_terminal_that_knows_only_ascii(run, tiny, photo, tmp_path):
    shutil.copy(photo, tmp_path / "naïve 日本.png")
    environment = {**command_environment(), "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = run("caption", "--bundle", tiny, tmp_path, env={**environment, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0
    assert "na\\xefve \\u65e5\\u672c.png\t" in done.stdout


# Photos that cannot be captioned: the others are, and the status is 1


def png_header(width, height):
    """A PNG file that promises so many pixels."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def truncated_jpeg():
    file = io.BytesIO()
    Image.effect_noise((200, 200), 90).convert("RGB").save(file, "JPEG")
    return file.getvalue()[: len(file.getvalue()) // 2]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("missing.jpg", None, "no such file"),
        ("empty.jpg", b"", "empty"),
        ("text.jpg", b"this is no photo, it is text", "expected JPEG"),
        ("truncated.jpg", truncated_jpeg(), "cut short"),
        ("huge.png", png_header(30_000, 30_000), "30000 x 30000"),
    ],
)
def test_a_broken_photo_is_one_line_and_the_others_are_captioned(
    edgecap, captioner, photos, tmp_path, name, content, part
):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    expected = [f"{photo}\t{captioner.caption(photo).text}" for photo in photos[:2]]
    status, output, complaints = edgecap(photos[0], path, photos[1])
    assert (status, output) == (1, expected)
    assert one_complaint(complaints).startswith(f"edgecap: {path}: ")
    assert part in complaints[0]
    assert edgecap(path) == (1, [], complaints)


def test_no_permission(edgecap, photos, monkeypatch):
    """Simulated, as these tests may run as root, who may do anything."""
    really_stat = os.stat

    def guarded(path, *arguments, **options):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path) == str(photos[0]):
            raise PermissionError(13, "Permission denied", str(photos[0]))
        return really_stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", guarded)
    status, output, complaints = edgecap(photos[0], photos[1])
    assert (status, len(output)) == (1, 1)
    assert "permission denied" in one_complaint(complaints)
    assert "access rights" in complaints[0]


def test_folders_and_patterns_without_photos(edgecap, captioner, photo, tmp_path):
    (tmp_path / "notes.txt").touch()
    status, output, complaints = edgecap(tmp_path, tmp_path / "*.jpg", photo)
    assert (status, output) == (1, [f"{photo}\t{captioner.caption(photo).text}"])
    assert "folder without photos" in complaints[0]
    assert "no file matches" in complaints[1]
    assert edgecap(tmp_path)[0] == 1


# Wrong usage and broken bundles: status 2 and 1, one line, nothing on standard output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "expected IMAGE..."),
        (["--bogus", "x.jpg"], "--bogus"),
        (["--beam", "0", "x.jpg"], "1<=x<=16"),
        (["--beam", "x", "x.jpg"], "--beam"),
        (["--max-words", "1001", "x.jpg"], "1<=x<=1000"),
        (["--threads", "0", "x.jpg"], "1<=x<=64"),
        (["--timeout", "0", "x.jpg"], "0<x<=3600"),
        (["--backend", "onnx", "x.jpg"], "litert"),
        (["-", "-"], "once"),
        (["-", "--from", "-"], "once"),
    ],
)
def test_wrong_usage_is_one_line_and_points_to_the_help(capfd, arguments, part):
    assert main(["caption", *arguments]) == 2
    output, complaints = capfd.readouterr()
    assert output == ""
    assert part in one_complaint(complaints.splitlines())
    assert "edgecap caption --help" in complaints


@pytest.mark.parametrize("arguments", [[], ["capton"], ["--bogus"]])
def test_wrong_usage_of_the_program_itself(run, arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "edgecap --help" in one_complaint(done.stderr.splitlines())


def test_a_missing_bundle_is_wrong_usage(run, photo, tmp_path):
    done = run("caption", "--bundle", tmp_path / "none.edgecap", photo)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no bundle at" in one_complaint(done.stderr.splitlines())


def test_a_bundle_of_an_unknown_version(run, remade, photo):
    bundle = remade(version=99)
    done = run("caption", "--bundle", bundle, photo)
    assert (done.returncode, done.stdout) == (1, "")
    assert "version 99 is unknown" in one_complaint(done.stderr.splitlines())


def test_an_engine_too_old_for_the_bundle(run, remade, photo):
    bundle = remade(oldest_engines={"ai-edge-litert": "99.0", "tflite-runtime": "99.0"})
    done = run("caption", "--bundle", bundle, photo)
    assert (done.returncode, done.stdout) == (1, "")
    assert "99.0 or newer, this is" in one_complaint(done.stderr.splitlines())


# The surroundings


def test_a_closed_output_ends_it_quietly(popen, photos):
    process = popen(*[photos[0].parent] * 50)
    process.stdout.readline()
    process.stdout.close()
    complaints = process.stderr.read()
    assert process.wait(timeout=20) == 141
    assert complaints == ""


def test_no_room_for_the_output(popen, photo):
    with Path("/dev/full").open("w") as full:
        process = popen(photo, stdout=full)
        complaints = process.communicate()[1]
    assert process.returncode == 1
    assert "No space left" in one_complaint(complaints.splitlines())


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files(tiny, photo, closed):
    command = f"exec '{sys.executable}' -m edgecap caption --bundle '{tiny}' '{photo}' {closed}"
    done = subprocess.run(
        ["sh", "-c", command],
        env=command_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_interrupted_while_it_waits_for_paths(popen, photo):
    process = popen("--from", "-")
    process.stdin.write(f"{photo}\n")
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, complaints = process.communicate(timeout=20)
    assert (process.returncode, output) == (130, "")
    assert one_complaint(complaints.splitlines()) == "edgecap: interrupted"


def test_an_unexpected_error_is_one_line_unless_asked_for_more(monkeypatch, capfd, tiny, photo):
    from edgecap_runtime import Captioner

    def fail(*_arguments, **_options):
        raise ZeroDivisionError("a fault\nof two lines")

    monkeypatch.setattr(Captioner, "caption", fail)
    monkeypatch.delenv("EDGECAP_DEBUG", raising=False)
    assert main(["caption", "--bundle", str(tiny), str(photo)]) == 1
    line = one_complaint(capfd.readouterr().err.splitlines())
    assert "ZeroDivisionError" in line
    assert "EDGECAP_DEBUG=1" in line
    monkeypatch.setenv("EDGECAP_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["caption", "--bundle", str(tiny), str(photo)])


def test_the_engines_notes_are_dropped_and_nothing_else(capfd):
    from edgecap_runtime.startup import without_engine_notes

    with without_engine_notes():
        os.write(2, b"INFO: Created a delegate\nWARNING: look here\nINFO: another\nlast")
    assert capfd.readouterr().err == "WARNING: look here\nlast"
