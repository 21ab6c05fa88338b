"""What the arguments of `edgecap caption` stand for, and what comes from addresses and pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from edgecap.errors import SourceError, UsageError
from edgecap_runtime.sources import (
    SYSTEM_FOLDERS,
    Address,
    File,
    Pipe,
    Unreachable,
    expand,
    is_one_photo,
    lines,
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with photos, other files, hidden ones and folders in it; the working folder."""
    for name in (
        "b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "deep/er/z.webp", "deep/c.jpeg", "deep/x.csv",
        ".git/d.jpg", "empty/readme.md", "album[1].jpg", "n.jpg/inside.gif",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(argument):
    return [photo.name for photo in expand(argument)]


def complaint(photo):
    with pytest.raises(SourceError) as caught:
        photo.read(1_000_000)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("tree")
def test_a_file_stands_for_itself_whether_it_exists_or_not():
    assert list(expand("b.jpg")) == [File("b.jpg")]
    assert list(expand("notes.txt")) == [File("notes.txt")]
    assert list(expand("missing.jpg")) == [File("missing.jpg")]
    assert os.fspath(File("b.jpg")) == "b.jpg"


@pytest.mark.usefixtures("tree")
def test_a_folder_is_searched_with_all_below_it_in_the_order_of_names():
    assert names(".") == [
        "./a.PNG", "./album[1].jpg", "./b.jpg", "./deep/c.jpeg", "./deep/er/z.webp",
        "./n.jpg/inside.gif",
    ]  # fmt: skip
    assert names("deep/") == ["deep/c.jpeg", "deep/er/z.webp"]


@pytest.mark.usefixtures("tree")
def test_a_folder_without_photos_says_so():
    (photo,) = expand("empty")
    assert "empty: folder without photos" in complaint(photo)


@pytest.mark.usefixtures("tree")
def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_searched(monkeypatch):
    scandir = os.scandir

    def guarded(path):
        if path.endswith("er"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    photos = list(expand("deep"))
    assert [photo.name for photo in photos] == ["deep/c.jpeg", "deep/er"]
    assert "Permission denied" in complaint(photos[1])


def test_links_are_followed_to_photos_and_not_to_folders(tree):
    (tree / "deep" / "round").symlink_to(tree / "deep", target_is_directory=True)
    (tree / "deep" / "also.jpg").symlink_to(tree / "b.jpg")
    (tree / "deep" / "folder.jpg").symlink_to(tree / "empty", target_is_directory=True)
    assert names("deep") == ["deep/also.jpg", "deep/c.jpeg", "deep/er/z.webp"]


def test_links_in_a_circle_are_photos_that_fail(tree):
    (tree / "deep" / "one.jpg").symlink_to(tree / "deep" / "two.jpg")
    (tree / "deep" / "two.jpg").symlink_to(tree / "deep" / "one.jpg")
    assert names("deep") == ["deep/c.jpeg", "deep/er/z.webp", "deep/one.jpg", "deep/two.jpg"]


@pytest.mark.parametrize("name", sorted(SYSTEM_FOLDERS))
def test_what_systems_keep_between_photos_is_left_out(tree, name):
    (tree / "deep" / name).mkdir()
    (tree / "deep" / name / "preview.jpg").touch()
    assert names("deep") == ["deep/c.jpeg", "deep/er/z.webp"]


def test_folders_deeper_than_python_calls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    depth = 1_200
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    Path("x.jpg").touch()
    os.chdir(tmp_path)
    try:
        assert names("d") == ["d/" * depth + "x.jpg"]
    finally:  # pytest itself cannot remove it
        subprocess.run(["rm", "-r", "d"], check=True)


def test_patterns_are_expanded_in_order(tree):
    assert names("*.jpg") == ["album[1].jpg", "b.jpg", "n.jpg/inside.gif"]
    assert names("deep/**/*.w?bp") == ["deep/er/z.webp"]
    assert names(str(tree / "[ab].*")) == [str(tree / "a.PNG"), str(tree / "b.jpg")]


@pytest.mark.usefixtures("tree")
def test_a_file_of_exactly_that_name_is_no_pattern():
    assert list(expand("album[1].jpg")) == [File("album[1].jpg")]


@pytest.mark.usefixtures("tree")
def test_a_pattern_without_a_match_says_so():
    (photo,) = expand("*.tiff")
    assert isinstance(photo, Unreachable)
    assert "*.tiff: no file matches" in complaint(photo)


@pytest.mark.parametrize("address", ["http://a/b.jpg", "https://a/*.jpg", "HTTPS://a/b?c=[1]"])
def test_addresses_are_not_looked_for_on_disk(address):
    assert list(expand(address, timeout=3.0)) == [Address(address, 3.0)]


@pytest.mark.usefixtures("tree")
def test_what_is_one_photo():
    one = ["b.jpg", "missing.jpg", "album[1].jpg", "http://a/*"]
    assert all(is_one_photo(argument) for argument in one)
    assert not any(is_one_photo(argument) for argument in [".", "deep", "*.jpg", "*.tiff"])


@pytest.mark.usefixtures("tree")
def test_names_that_are_not_utf_8():
    Path(os.fsdecode(b"deep/caf\xe9.jpg")).touch()
    assert os.fsdecode(b"deep/caf\xe9.jpg") in names("deep")


@pytest.fixture
def pipe():
    """A reading and a writing file descriptor."""
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_a_photo_from_a_pipe(pipe):
    reading, writing = pipe
    os.write(writing, b"photo")
    os.close(writing)
    assert Pipe("-", reading).read(1_000) == b"photo"
    assert "is empty" in complaint(Pipe("-", reading))


def test_a_closed_pipe_is_explained(pipe):
    os.close(pipe[0])
    assert "cannot be read" in complaint(Pipe("-", pipe[0]))


def test_lines_come_without_ends_and_empty_ones(pipe):
    reading, writing = pipe
    os.write(writing, b"a.jpg\nb c.jpg\r\n\n\r\ncaf\xe9.jpg\nlast")
    os.close(writing)
    assert list(lines(reading)) == ["a.jpg", "b c.jpg", os.fsdecode(b"caf\xe9.jpg"), "last"]


def test_a_line_comes_before_the_next_is_written(pipe):
    reading, writing = pipe
    read = lines(reading)
    for name in ("one", "two"):
        os.write(writing, f"{name}\nbegin".encode())
        os.write(writing, b"\n")
        assert next(read) == name
        assert next(read) == "begin"


def test_what_is_no_list_of_paths_is_refused(tmp_path):
    zeros = tmp_path / "zeros"
    zeros.write_bytes(bytes(2_000_000))
    with zeros.open("rb") as file, pytest.raises(UsageError, match="one path a line"):
        list(lines(file.fileno()))


def test_a_list_that_cannot_be_read_is_refused(pipe):
    os.close(pipe[0])
    with pytest.raises(UsageError, match="cannot be read"):
        list(lines(pipe[0]))


# Addresses


def respond(handler, content=b"photo", kind="image/jpeg", status=200, **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def test_a_photo_from_an_address(serve):
    asked = []

    def answer(handler):
        asked.append((handler.path, handler.headers["User-Agent"]))
        respond(handler)

    address = serve(answer) + "/a photo é.jpg?x=%20[1]"
    assert Address(address, 5).read(1_000) == b"photo"
    ((path, agent),) = asked
    assert path == "/a%20photo%20%C3%A9.jpg?x=%20[1]"
    assert agent.startswith("edgecap/")


def test_a_photo_is_cut_at_the_limit(serve):
    assert len(Address(serve(lambda h: respond(h, b"x" * 200_000)), 5).read(150_000)) == 150_000


@pytest.mark.parametrize(
    "kind", ["text/html; charset=utf-8", "application/xhtml+xml", "text/plain"]
)
def test_what_is_no_photo_is_refused(serve, kind):
    address = serve(lambda handler: respond(handler, b"<html>", kind))
    message = complaint(Address(address, 5))
    assert message.startswith(address)
    assert kind.split(";")[0] in message
    assert "photo" in message


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusing_server_is_quoted(serve, status):
    address = serve(lambda handler: respond(handler, status=status))
    assert f"answered {status}" in complaint(Address(address, 5))


def test_redirections_are_followed_to_http_only(serve):
    there = serve(respond)
    here = serve(lambda handler: respond(handler, status=302, Location=there))
    assert Address(here, 5).read(1_000) == b"photo"
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/x", "data:image/png;base64,eA=="):
        address = serve(lambda handler, place=place: respond(handler, status=302, Location=place))
        assert place.split(":")[0] in complaint(Address(address, 5))


def test_an_endless_redirection_ends(serve):
    address = serve(lambda handler: respond(handler, status=302, Location="/again"))
    assert address in complaint(Address(address, 5))


def test_a_server_that_says_nothing_takes_no_longer_than_the_timeout(serve):
    address = serve(lambda _: time.sleep(3))
    begin = time.monotonic()
    assert "no answer within 0.3 s" in complaint(Address(address, 0.3))
    assert time.monotonic() - begin < 2.5


def test_a_server_that_drips_takes_no_longer_than_the_timeout(serve):
    def drip(handler):
        respond(handler, b"")
        for _ in range(60):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    begin = time.monotonic()
    assert "no answer within 0.4 s" in complaint(Address(serve(drip), 0.4))
    assert time.monotonic() - begin < 2.5


def test_a_connection_that_breaks_off_is_explained(serve):
    address = serve(lambda handler: respond(handler, b"part", Content_Length="1000"))
    assert "after 4 of 1000 bytes" in complaint(Address(address, 5))


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/x.jpg", "http://", "http://127.0.0.1:port/x", "http://[1/x", "http://\n/"],
)
def test_addresses_where_nobody_is(address):
    assert "address" in complaint(Address(address, 2))
