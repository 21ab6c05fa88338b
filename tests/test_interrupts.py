"""Ctrl-C in every stage of a caption: one line, nothing half-written, and the next run goes on."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess

import pytest

from edgecap.cli import main
from edgecap_runtime import isolated

LOADING = (
    ("edgecap.bundle", "read_manifest"),
    ("edgecap_runtime.interpreter", "find_engine"),
    ("edgecap_runtime.interpreter", "Network.__init__"),
)
CAPTIONING = (
    ("edgecap.image", "decode"),
    ("edgecap.image", "resize"),
    ("edgecap_runtime.interpreter", "Network.invoke"),
    ("edgecap_runtime.pipeline", "join_words"),
)
PRINTING = (("edgecap.commands.caption", "print_line"),)
WRITING = (
    ("edgecap_runtime.journal", "Journal.append"),
    ("edgecap_runtime.sidecar", "whole_file"),
    ("edgecap.files", "os.fsync"),
)
ASKING = (("edgecap_runtime.isolated", "_Child.ask"),)


@pytest.fixture
def ctrl_c(monkeypatch):
    """`ctrl_c(module, name, call)`: Ctrl-C comes when that function is called for that time."""

    def at(module, name, call):
        *path, last = name.split(".")
        place = importlib.import_module(module)
        for part in path:
            place = getattr(place, part)
        original, calls = getattr(place, last), []

        def interrupting(*arguments, **named):
            calls.append(None)
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGINT)
            return original(*arguments, **named)

        monkeypatch.setattr(place, last, interrupting)
        return calls

    return at


@pytest.fixture
def library(photos, tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    for path in photos:
        shutil.copyfile(path, folder / path.name)
    return folder


def interrupted(capfd, arguments):
    """The one line that an interrupted command says, and what it printed before."""
    assert main([str(argument) for argument in arguments]) == 130
    printed, complaints = capfd.readouterr()
    (line,) = complaints.splitlines()
    return line, printed


def temporary_files(folder):
    return [path for path in folder.rglob("*") if path.name[0] == "." or path.suffix == ".partial"]


@pytest.mark.parametrize(("module", "name"), [*LOADING, *CAPTIONING, *PRINTING])
@pytest.mark.parametrize("threads", [1, 2])
def test_photos(ctrl_c, capfd, tiny, photos, module, name, threads):
    command = ["caption", "--bundle", tiny, "--threads", threads, *photos]
    called = ctrl_c(module, name, call=1)
    line, printed = interrupted(capfd, command)
    assert called
    assert line == "edgecap: interrupted"
    assert printed.count("\n") <= 1
    assert main([str(argument) for argument in command]) == 0
    assert capfd.readouterr().out.startswith(printed)


@pytest.mark.parametrize(("module", "name"), [*LOADING, *CAPTIONING, *PRINTING])
def test_one_photo(ctrl_c, capfd, tiny, photo, module, name):
    ctrl_c(module, name, call=1)
    line, _ = interrupted(capfd, ["caption", "--bundle", tiny, photo])
    assert line == "edgecap: interrupted"


@pytest.mark.parametrize("call", [1, 3])  # while it starts, and at the second photo
def test_isolated_photos(ctrl_c, monkeypatch, capfd, tiny, photos, call):
    children = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            children.append(self.pid)

    monkeypatch.setattr(isolated.subprocess, "Popen", Recorded)
    ctrl_c(*ASKING[0], call=call)
    line, _ = interrupted(capfd, ["caption", "--bundle", tiny, "--isolate", *photos])
    assert line == "edgecap: interrupted"
    assert children
    for child in children:
        with pytest.raises(ChildProcessError):  # it is gone, and was waited for
            os.waitpid(child, os.WNOHANG)


@pytest.mark.parametrize(("module", "name"), [*LOADING[1:], *CAPTIONING, *WRITING])
def test_a_library(ctrl_c, capfd, tiny, library, tmp_path, module, name):
    output = tmp_path / "captions.jsonl"
    command = ["caption", "--bundle", tiny, library, "--output", output, "--sidecar", "xmp"]
    # The second photo's, but where there is only one.
    ctrl_c(module, name, call=1 if (module, name) in LOADING else 2)
    line, _ = interrupted(capfd, command)
    assert line.startswith("edgecap: interrupted")
    content = output.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    assert main([str(argument) for argument in command]) == 0
    done = [json.loads(one)["path"] for one in output.read_text().splitlines()]
    assert sorted(done) == sorted(map(str, library.glob("*.png")))
    assert all(path.with_name(f"{path.name}.xmp").exists() for path in library.glob("*.png"))
    assert temporary_files(tmp_path) == []
