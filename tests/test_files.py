"""Folders for what is not finished, left by processes that were killed or still in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from conftest import command_environment

from edgecap.bundle import Bundle, write_bundle
from edgecap.errors import BundleError
from edgecap.files import temporary_folder

HOLD = """
import sys, time
from pathlib import Path
from edgecap.errors import BundleError
from edgecap.files import temporary_folder
with temporary_folder(Path(sys.argv[1]), "export-") as folder:
    (folder / "old").write_text("half")
    print(folder.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has a temporary folder in use; its name, and the process."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env=command_environment(),
    )  # fmt: skip
    assert child.stdout is not None
    yield child.stdout.readline().strip(), child
    child.kill()
    child.wait()
    child.stdout.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_gone_at_the_end_however_that_comes(tmp_path):
    with temporary_folder(tmp_path, "export-") as folder:
        (folder / "file").touch()
        assert names(tmp_path) == [folder.name]
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path, "export-"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, holder):
    name, child = holder
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert names(tmp_path) == [name]
    rescued = []
    with temporary_folder(tmp_path, "export-", rescued.append) as folder:
        assert names(tmp_path) == [folder.name]
    assert [path.name for path in rescued] == [name]


def test_what_another_process_uses_is_left_alone(tmp_path, holder):
    name, _ = holder
    with temporary_folder(tmp_path, "export-") as folder:
        assert names(tmp_path) == sorted([folder.name, name])
    assert names(tmp_path) == [name]


def test_one_in_another(tmp_path):
    with temporary_folder(tmp_path, "export-") as outer, temporary_folder(outer, "step-") as inner:
        assert inner.parent == outer
        with temporary_folder(tmp_path, "export-") as beside:
            assert names(tmp_path) == sorted([outer.name, beside.name])
    assert names(tmp_path) == []


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "training-1").mkdir()
    with temporary_folder(tmp_path, "export-"):
        pass
    assert names(tmp_path) == ["training-1"]


def test_a_bundle_that_a_killed_process_had_moved_aside_comes_back(
    opened, members, tmp_path, monkeypatch
):
    path = tmp_path / "x.edgecap"
    write_bundle(path, opened.manifest, members)
    aside = tmp_path / ".x.edgecap.killed"
    aside.mkdir()
    path.rename(aside / "old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="No space left"):  # the next run fails, too
        write_bundle(path, opened.manifest, members)
    assert Bundle.open(path).manifest == opened.manifest
    assert names(tmp_path) == ["x.edgecap"]
