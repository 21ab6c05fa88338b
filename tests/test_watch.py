"""Photos that arrive in a folder: each when it is complete, however it comes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import command_environment
from PIL import Image

from edgecap_runtime import notify
from edgecap_runtime import watch as watching
from edgecap_runtime.found import Found
from edgecap_runtime.watch import Watch

NOTIFIED, POLLING = "notified", "polling"
needs_watchdog = pytest.mark.skipif(
    find_spec("watchdog") is None, reason="the extra 'watch' is not installed"
)
# The extra holds nothing for Python 3.10.
TOLD = [NOTIFIED] if sys.version_info >= (3, 11) else []
WAYS = [*(pytest.param(one, marks=needs_watchdog) for one in TOLD), POLLING]


@pytest.fixture(params=WAYS)
def way(request):
    """How arrivals are noticed: the system tells, or the folders are looked through."""
    return request.param


class Following:
    """A watch whose photos come into a queue."""

    def __init__(self, folder, poll):
        self.said = []
        self.come = queue.Queue()
        self.watch = Watch([str(folder)], poll, self.said.append)
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self):
        for photo in self.watch.photos():
            self.come.put(photo)

    def names(self, *wanted, seconds=20.0):
        """The names that come until those wanted have; without any, in so many seconds."""
        found, end = set(), time.monotonic() + seconds
        while time.monotonic() < end and not (wanted and found >= set(wanted)):
            with contextlib.suppress(queue.Empty):
                found.add(Path(self.come.get(timeout=0.02).name).name)
        return found

    def close(self):
        self.watch.close()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()


@pytest.fixture
def follow(way, monkeypatch, request):
    """Watches a folder."""

    def start(folder, settled=0.4):
        monkeypatch.setattr(watching, "SETTLED_SECONDS", settled)
        if way == POLLING:
            monkeypatch.setitem(sys.modules, "watchdog", None)
        following = Following(folder, None if way == NOTIFIED else 0.1)
        request.addfinalizer(following.close)
        return following

    return start


def test_a_photo_comes_whatever_way_it_takes(follow, photos, tmp_path):
    folder, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    (folder / "below").mkdir(parents=True)
    elsewhere.mkdir()
    following = follow(folder)
    shutil.copy(photos[0], folder / "copied.png")
    shutil.copy(photos[1], folder / ".upload")
    (folder / ".upload").rename(folder / "below" / "renamed.png")
    shutil.copy2(photos[2], elsewhere / "moved.png")
    (elsewhere / "moved.png").rename(folder / "moved.png")
    os.link(photos[3], folder / "linked.png")
    wanted = {"copied.png", "renamed.png", "moved.png", "linked.png"}
    assert following.names(*wanted) == wanted


def test_a_photo_that_changes_comes_again(follow, photos, tmp_path):
    following = follow(tmp_path)
    path = tmp_path / "a.png"
    shutil.copy(photos[0], path)
    following.names("a.png")
    time.sleep(0.05)
    path.write_bytes(photos[4].read_bytes())
    status = path.stat()
    expected = Found(str(path), status.st_size, status.st_mtime_ns)
    while following.come.get(timeout=20) != expected:
        pass


def test_folders_that_come_bring_their_photos(follow, photos, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    following = follow(folder)
    (folder / "new" / "deep").mkdir(parents=True)
    shutil.copy(photos[0], folder / "new" / "deep" / "a.png")
    assert "a.png" in following.names("a.png")
    shutil.copytree(photos[0].parent, tmp_path / "tree" / "below")
    (tmp_path / "tree").rename(folder / "moved")
    expected = {photo.name for photo in photos}
    assert following.names(*expected) >= expected
    shutil.copy(photos[1], folder / "moved" / "below" / "later.png")
    assert "later.png" in following.names("later.png")


def test_what_is_no_photo_of_the_owners_does_not_come(follow, photos, tmp_path):
    following = follow(tmp_path)
    odd = os.fsdecode(b"caf\xe9.png")
    for name in (".hidden.png", ".git/x.png", "@eaDir/x.png", "a/.cache/x.png", "notes.txt", odd):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos[0], tmp_path / name)
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    assert following.names(seconds=1.5) == {odd}


def test_a_file_that_still_grows_is_waited_for(follow, tmp_path):
    following = follow(tmp_path, settled=1.0)
    with (tmp_path / "slow.png").open("wb") as file:
        for _ in range(20):
            file.write(bytes(50))
            file.flush()
            assert following.names(seconds=0.1) == set()
    assert following.names("slow.png") == {"slow.png"}


def test_what_cannot_be_read_is_said_once(follow, way, tmp_path):
    following = follow(tmp_path)
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    if way == POLLING:
        assert following.names("lost.png") == {"lost.png"}
    assert following.names(seconds=1.0) == set()


def test_a_folder_that_goes_and_comes_back(follow, way, photos, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    following = follow(folder)
    folder.rmdir()
    assert following.names("here") == {"here"}
    if way == NOTIFIED:
        assert following.said[-1] == "the system tells no more: looking every 10 s"
    else:
        folder.mkdir()
        shutil.copy(photos[0], folder / "a.png")
        assert following.names("a.png") == {"a.png"}


def test_who_is_told_does_not_wait_and_who_looks_does(follow, way, photos, tmp_path):
    following = follow(tmp_path, settled=1_000.0)
    shutil.copy(photos[0], tmp_path / "closed.png")
    shutil.copy(photos[0], tmp_path / ".part")
    (tmp_path / ".part").rename(tmp_path / "renamed.png")
    if way == NOTIFIED:
        assert following.said == [f"watching {tmp_path}, told by the system"]
        wanted = {"closed.png", "renamed.png"}
        assert following.names(*wanted) == wanted
    else:
        assert following.said[-1] == f"watching {tmp_path}, looking every 0.1 s"
        assert following.names(seconds=1.0) == set()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "inotify watch limit reached"), "inotify watch limit reached"),
        (ImportError("no watchdog"), "watchdog is not installed (extra 'watch')"),
    ],
)
def test_where_the_system_does_not_tell_the_folders_are_looked_through(
    tmp_path, monkeypatch, error, reason
):
    def refuse(*_):
        raise error

    monkeypatch.setattr(watching, "Notifier", refuse)
    said = []
    Watch([str(tmp_path)], None, said.append).close()
    assert said == [
        f"the system does not tell what arrives: {reason}",
        f"watching {tmp_path}, looking every 10 s",
    ]


def test_a_photo_that_fails_is_tried_again_while_it_is_young(follow, photos, tmp_path):
    following = follow(tmp_path, settled=0.1)
    path = tmp_path / "a.png"
    shutil.copy(photos[0], path)
    following.names("a.png")
    status = path.stat()
    assert following.watch.postpone(Found(str(path), status.st_size, status.st_mtime_ns))
    assert following.names("a.png") == {"a.png"}
    old = status.st_mtime_ns - 61 * 10**9
    assert not following.watch.postpone(Found(str(path), status.st_size, old))


def test_importing_it_needs_no_watchdog():
    assert not hasattr(notify, "Observer")


# The command


@pytest.fixture
def watch(tiny, way, tmp_path):
    """Starts the command; gives the process, its folder and its output."""
    started = []
    folder, output = tmp_path / "photos", tmp_path / "out.jsonl"
    folder.mkdir()

    def start(*arguments):
        environment = command_environment()
        if way == POLLING:  # a package of that name that cannot be imported
            (tmp_path / "without").mkdir(exist_ok=True)
            (tmp_path / "without" / "watchdog.py").write_text("raise ImportError")
            environment["PYTHONPATH"] = f"{tmp_path / 'without'}:{environment['PYTHONPATH']}"
            arguments = (*arguments, "--poll", "1")
        process = subprocess.Popen(
            [sys.executable, "-m", "edgecap", "caption", folder, "--bundle", tiny,
             "--output", output, "--watch", *arguments],
            env=environment, text=True, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        for line in process.stderr:
            if line.startswith("watching"):
                break
        return process, folder, output

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def captions(output, count, process, seconds=60.0):
    """The lines of the output by the photo's name, once there are so many."""
    end = time.monotonic() + seconds
    while (content := output.read_text()).count("\n") < count:
        assert time.monotonic() < end, content
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    lines = map(json.loads, content.splitlines())
    return {Path(line["path"]).name: line.get("caption") for line in lines}


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].splitlines()
    return process.returncode, said


def test_what_arrives_is_captioned_until_it_is_ended(watch, captioner, photos):
    process, folder, output = watch("--sidecar", "xmp")
    for photo in photos[:3]:
        shutil.copy(photo, folder)
    (folder / "new").mkdir()
    shutil.copy(photos[3], folder / "new")
    expected = {photo.name: captioner.caption(photo).text for photo in photos[:4]}
    assert captions(output, 4, process) == expected
    assert (folder / "new" / f"{photos[3].name}.xmp").exists()
    status, said = stop(process)
    assert (status, said) == (0, [f"{output}: 4 captioned"])


def test_started_again_it_knows_what_was_there(watch, photos):
    process, folder, output = watch()
    shutil.copy(photos[0], folder)
    captions(output, 1, process)
    assert stop(process)[0] == 0
    process, folder, output = watch()
    shutil.copy(photos[1], folder)
    captions(output, 2, process)
    status, said = stop(process, signal.SIGINT)
    end = f"interrupted, the same command goes on; {output}: 1 captioned, 1 done before"
    assert (status, said) == (130, [f"edgecap: {end}"])


def test_a_writer_that_pauses_is_no_fault(watch, captioner, photos, tmp_path):
    """For longer than a file has to stay the same: it is tried, fails, and is tried again."""
    picture = tmp_path / "large.png"
    Image.effect_noise((300, 300), 90).convert("RGB").save(picture)
    content = picture.read_bytes()
    process, folder, output = watch()
    with (folder / "a.png").open("wb") as file:
        file.write(content[:50_000])
        file.flush()
        time.sleep(6)
        assert output.read_text() == ""
        file.write(content[50_000:])
    assert captions(output, 1, process) == {"a.png": captioner.caption(picture).text}
    shutil.copy(photos[0], folder / "b.png")
    assert set(captions(output, 2, process)) == {"a.png", "b.png"}
    status, said = stop(process)
    assert (status, said) == (0, [f"{output}: 2 captioned"])


def test_a_photo_that_stays_broken_is_written_down_in_the_end(watch):
    process, folder, output = watch()
    broken = folder / "broken.jpg"
    broken.write_bytes(b"this is no photo")
    os.utime(broken, (1e9, 1e9))
    assert captions(output, 1, process) == {"broken.jpg": None}
    status, said = stop(process)
    assert (status, said[-1]) == (0, f"{output}: 0 captioned, 1 failed")
    assert any(f"{broken}: expected JPEG" in line for line in said)
